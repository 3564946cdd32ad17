"""Failures as other programs read them: a closed list of categories, an open list of codes.

A reader decides by `category` and `retryable`; `code` is stable and says precisely what happened. New codes
may appear at any time, new categories only with a new event type.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class FailureCategory(StrEnum):
    """What kind of thing went wrong, so that a reader knows whose turn it is; in words: `CATEGORIES`."""

    CONTRACT = "contract"
    BAD_DATA = "bad_data"
    MAPPING = "mapping"
    CONFLICT = "conflict"
    NOT_FOUND = "not_found"
    PERMISSION = "permission"
    AUTHORIZATION = "authorization"
    CONFIGURATION = "configuration"
    LIMIT = "limit"
    UNAVAILABLE = "unavailable"
    INTERNAL = "internal"


#: Category -> what it means for a reader. `docs/errors.md` prints this table.
CATEGORIES: Final[dict[FailureCategory, str]] = {
    FailureCategory.CONTRACT: "the command does not follow the contract: its publisher must change it",
    FailureCategory.BAD_DATA: "a value was refused: correct the record",
    FailureCategory.MAPPING: "the field mapping does not fit the CRM: correct the mapping",
    FailureCategory.CONFLICT: "another record stands in the way (duplicates, several matches)",
    FailureCategory.NOT_FOUND: "the record or object is not there",
    FailureCategory.PERMISSION: "the connected user may not do this in the CRM",
    FailureCategory.AUTHORIZATION: "the connection is missing or a person must reconnect it",
    FailureCategory.CONFIGURATION: "an operator of this service must change a setting",
    FailureCategory.LIMIT: "the CRM's rate limit, quota or storage is used up",
    FailureCategory.UNAVAILABLE: "the CRM did not answer, or answered that it cannot now",
    FailureCategory.INTERNAL: "a fault of this service",
}


@dataclass(frozen=True, slots=True)
class CommandFailure:
    """One way in which a whole command can fail: its category, whether sending it again may help, and a hint."""

    category: FailureCategory
    retryable: bool
    hint: str


#: Code of a failed command -> what it means. `docs/errors.md` prints this table.
COMMAND_FAILURES: Final[dict[str, CommandFailure]] = {
    "invalid_command": CommandFailure(
        FailureCategory.CONTRACT,
        retryable=False,
        hint="correct the named fields; the JSON Schema is schemas/json/command.v1.json",
    ),
    "key_mismatch": CommandFailure(
        FailureCategory.CONTRACT,
        retryable=False,
        hint="use the message key {workspace_id}:{integration}, so that order can be kept",
    ),
    "command_id_reused": CommandFailure(
        FailureCategory.CONTRACT,
        retryable=False,
        hint="give every command an id of its own; this id was used with another body",
    ),
    "not_supported_yet": CommandFailure(
        FailureCategory.CONTRACT, retryable=False, hint="leave the named option at its default"
    ),
    "expired": CommandFailure(
        FailureCategory.CONTRACT,
        retryable=True,
        hint="the command waited past its expires_at; send it again with a later one",
    ),
    "unknown_workspace": CommandFailure(
        FailureCategory.CONTRACT, retryable=False, hint="create the workspace first, or correct workspace_id"
    ),
    "unknown_integration": CommandFailure(
        FailureCategory.CONTRACT, retryable=False, hint="use one of the integrations that this service lists"
    ),
    "integration_not_configured": CommandFailure(
        FailureCategory.CONFIGURATION, retryable=True, hint="an operator must set the client id and secret of this CRM"
    ),
    "not_connected": CommandFailure(
        FailureCategory.AUTHORIZATION,
        retryable=True,
        hint="connect this CRM to the workspace, then send the command again",
    ),
    "reauth_required": CommandFailure(
        FailureCategory.AUTHORIZATION,
        retryable=True,
        hint="a person must reconnect this CRM, then send the command again",
    ),
    "no_mapping_for_entity": CommandFailure(
        FailureCategory.MAPPING, retryable=False, hint="use person or company, or save field mappings for this object"
    ),
    "delete_not_allowed": CommandFailure(
        FailureCategory.PERMISSION,
        retryable=False,
        hint="allow deletes in the settings of this connection, or use another mode",
    ),
    "invalid_match_field": CommandFailure(
        FailureCategory.MAPPING, retryable=False, hint="match on a mapped Morket field or on crm:<unique CRM field>"
    ),
    "invalid_cursor": CommandFailure(
        FailureCategory.CONTRACT, retryable=False, hint="pass back a cursor exactly as it came, for the same entity"
    ),
    "permission_denied": CommandFailure(
        FailureCategory.PERMISSION,
        retryable=False,
        hint="the connected user needs more rights in the CRM; reconnect afterwards",
    ),
    "crm_refused": CommandFailure(
        FailureCategory.BAD_DATA,
        retryable=False,
        hint="the CRM refused the call as a whole; its own words are in the message",
    ),
    "rate_limited": CommandFailure(
        FailureCategory.LIMIT,
        retryable=True,
        hint="the CRM kept refusing for its rate limit; send the command again later",
    ),
    "quota_exhausted": CommandFailure(
        FailureCategory.LIMIT,
        retryable=True,
        hint="the CRM's daily API quota is used up; send the command again tomorrow",
    ),
    "crm_unavailable": CommandFailure(
        FailureCategory.UNAVAILABLE,
        retryable=True,
        hint="the CRM did not answer within retry_for; send the command again later",
    ),
    "backlog_full": CommandFailure(
        FailureCategory.LIMIT,
        retryable=True,
        hint="too many commands wait for this connection; send the command again later",
    ),
    "outcome_not_storable": CommandFailure(
        FailureCategory.INTERNAL,
        retryable=False,
        hint="the CRM was called, but its answer could not be stored; look into the CRM",
    ),
    "internal_error": CommandFailure(
        FailureCategory.INTERNAL,
        retryable=True,
        hint="a fault of this service; its log has the details under the command id",
    ),
}
