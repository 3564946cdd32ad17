"""What HubSpot's errors mean: one table for codes, one function for statuses, one reader for validation texts.

Sources: developers.hubspot.com/docs/api-reference/error-handling (statuses, multi-status errors),
developers.hubspot.com/docs/developer-tooling/platform/usage-guidelines (429 and `policyName`).
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from crm.adapters.outcome import VendorError
from crm.errors import (
    AccessTokenRejected,
    CallRefused,
    CrmError,
    CrmUnavailable,
    GiveUp,
    PermissionDenied,
    QuotaExhausted,
    RateLimited,
)
from crm.http import Reply
from schemas.failure import FailureCategory

_BAD, _MAP = FailureCategory.BAD_DATA, FailureCategory.MAPPING

#: HubSpot's `error`, `code`, `subCategory` or `category` -> the public failure.
#: https://developers.hubspot.com/docs/api-reference/error-handling
TABLE: Final[Mapping[str, VendorError]] = {
    "PROPERTY_DOESNT_EXIST": VendorError("unknown_field", _MAP, retryable=False, hint="map to a property that exists"),
    "READ_ONLY_VALUE": VendorError("read_only_field", _MAP, retryable=False, hint="map to a property that can be set"),
    "INVALID_EMAIL": VendorError("invalid_email", _BAD, retryable=False, hint="correct the e-mail address"),
    "INVALID_OPTION": VendorError("invalid_option", _BAD, retryable=False, hint="use one of the property's options"),
    "INVALID_INTEGER": VendorError("invalid_value", _BAD, retryable=False, hint="send a whole number"),
    "INVALID_LONG": VendorError("invalid_value", _BAD, retryable=False, hint="send a whole number"),
    "INVALID_NUMBER": VendorError("invalid_value", _BAD, retryable=False, hint="send a number"),
    "INVALID_DATE": VendorError("invalid_value", _BAD, retryable=False, hint="send a date as YYYY-MM-DD"),
    "INVALID_BOOLEAN": VendorError("invalid_value", _BAD, retryable=False, hint="send true or false"),
    "INVALID_PHONE_NUMBER": VendorError("invalid_value", _BAD, retryable=False, hint="send it with its country code"),
    "VALUE_TOO_LONG": VendorError("value_too_long", _BAD, retryable=False, hint="shorten the value"),
    "PROPERTY_VALUE_TOO_LONG": VendorError("value_too_long", _BAD, retryable=False, hint="shorten the value"),
    "REQUIRED_FIELD": VendorError("required_field_missing", _BAD, retryable=False, hint="send a value for it"),
    "MISSING_REQUIRED_PROPERTY": VendorError("required_field_missing", _BAD, retryable=False, hint="send a value"),
    "VALIDATION_ERROR": VendorError("invalid_value", _BAD, retryable=False, hint="correct the value"),
    "OBJECT_NOT_FOUND": VendorError(
        "record_gone", FailureCategory.NOT_FOUND, retryable=False, hint="the record was deleted or merged in HubSpot"
    ),
    "CONFLICT": VendorError(
        "duplicate_detected", FailureCategory.CONFLICT, retryable=False, hint="merge the two records in HubSpot"
    ),
    "OBJECT_ALREADY_EXISTS": VendorError(
        "duplicate_detected", FailureCategory.CONFLICT, retryable=False, hint="merge the two records in HubSpot"
    ),
    "CONTACT_EXISTS": VendorError(
        "duplicate_detected", FailureCategory.CONFLICT, retryable=False, hint="merge the two records in HubSpot"
    ),
    "DUPLICATE_UNIQUE_PROPERTY_VALUE": VendorError(
        "duplicate_detected", FailureCategory.CONFLICT, retryable=False, hint="merge the two records in HubSpot"
    ),
    "RATE_LIMITS": VendorError("rate_limited", FailureCategory.LIMIT, retryable=True, hint="send it again later"),
    "MISSING_SCOPES": VendorError(
        "permission_denied", FailureCategory.PERMISSION, retryable=False, hint="reconnect with the scopes it names"
    ),
    "FORBIDDEN": VendorError(
        "permission_denied", FailureCategory.PERMISSION, retryable=False, hint="give the connected user the rights"
    ),
}

#: Codes after which the cached property metadata may be out of date.
STALE_METADATA: Final = frozenset({"PROPERTY_DOESNT_EXIST", "READ_ONLY_VALUE", "INVALID_OPTION", "REQUIRED_FIELD"})

#: Seconds to wait where HubSpot names none: its official clients' own choices.
#: https://github.com/HubSpot/hubspot-api-nodejs (RetryDecorator)
_WAIT_S: Final[Mapping[str, float]] = {"TEN_SECONDLY_ROLLING": 10.0, "SECONDLY": 1.0}
_LOCKED_WAIT_S, _MOVING_WAIT_S, _SERVER_WAIT_S, _QUOTA_WAIT_S = 2.0, 3600.0, 2.0, 3600.0
_LONGEST_WAIT_S = 86_400.0
_EXISTING_ID = re.compile(r"Existing ID:\s*(\d+)|\b(\d+) already has that value")


@dataclass(frozen=True, slots=True)
class Reason:
    """One reason that HubSpot gave for a refusal: its code, its text, the property if it named one."""

    code: str | None
    message: str
    crm_field: str | None = None


def existing_id(reasons: tuple[Reason, ...]) -> str | None:
    """The id of the record that stands in the way, where a reason names it; else None.

    HubSpot says `Contact already exists. Existing ID: 123`, or for other unique properties
    `Cannot set PropertyValueCoordinates…: 123 already has that value`.
    """
    for reason in reasons:
        found = _EXISTING_ID.search(reason.message)
        if found:
            return found.group(1) or found.group(2)
    return None


def reasons_of(body: Any) -> tuple[Reason, ...]:
    """Every reason in an error object: the list inside its message, else its `errors[]`, else the object itself.

    Args:
        body: A StandardError of a batch reply or the body of a refused call; anything else is one reason without code.
    """
    if not isinstance(body, Mapping):
        return (Reason(None, "HubSpot gave no reason"),)
    message = str(body.get("message") or "HubSpot gave no reason")
    inside = _from_message(message) or _from_errors(body.get("errors"))
    code = body.get("subCategory") if body.get("subCategory") in TABLE else body.get("category") or body.get("error")
    return inside or (Reason(str(code) if code else None, message),)


def _from_message(message: str) -> tuple[Reason, ...]:
    """`Property values were not valid: [{…}]` -> one reason for each property."""
    start = message.find("[{")
    if start < 0:
        return ()
    try:
        items, _end = json.JSONDecoder().raw_decode(message[start:])
    except ValueError:
        return ()
    return tuple(
        Reason(_text(item.get("error")), str(item.get("message") or "not valid"), _text(item.get("name")))
        for item in items
        if isinstance(item, Mapping)
    )


def _from_errors(items: Any) -> tuple[Reason, ...]:
    """`errors: [{message, code, context: {propertyName: […]}}]` -> reasons."""
    if not isinstance(items, list):
        return ()
    found = []
    for item in items:
        if isinstance(item, Mapping) and item.get("message"):
            context = item.get("context")
            names = context.get("propertyName") if isinstance(context, Mapping) else None
            name = names[0] if isinstance(names, list) and names else item.get("in")
            code = item.get("code") or item.get("subCategory")
            found.append(Reason(_text(code), str(item["message"]), _text(name)))
    return tuple(found)


def _text(value: Any) -> str | None:
    return str(value) if value else None


def raise_for_status(reply: Reply, *, what: str) -> None:
    """Return on 2xx; else raise the error that says what the caller must do.

    Args:
        reply: What HubSpot answered.
        what: Verb and path without query, for the log: `POST /crm/objects/2026-09/contacts/batch/upsert`.

    Raises:
        AccessTokenRejected: 401.
        PermissionDenied: 403.
        RateLimited, QuotaExhausted: 429, by `policyName`.
        CrmUnavailable: 423 (locked), 477 (account is being moved), any 5xx.
        CallRefused: any other 4xx; `may_split` on 400 and 409.
        GiveUp: anything else (a redirect).
    """
    if 200 <= reply.status < 300:  # noqa: PLR2004 - the statuses speak for themselves here
        return
    raise error_of(reply, what=what)


def error_of(reply: Reply, *, what: str) -> CrmError:
    """The error of a reply that is not 2xx; see `raise_for_status`."""
    body = reply.json()
    fields = body if isinstance(body, Mapping) else {}
    known: dict[str, str | None] = {
        "crm_code": _text(fields.get("category") or fields.get("errorType")),
        "request_id": _text(fields.get("correlationId")),
    }
    words = _text(fields.get("message")) or "no reason given"
    detail = f"HubSpot answered {reply.status} to {what}: {words[:300]}"
    return _by_status(reply, detail, words[:300], fields, known)


def _by_status(
    reply: Reply, detail: str, words: str, fields: Mapping[str, Any], known: dict[str, str | None]
) -> CrmError:
    status = reply.status
    if status == 401:  # noqa: PLR2004
        return AccessTokenRejected(detail, public="HubSpot refused the access token", **known)
    if status == 403:  # noqa: PLR2004
        return PermissionDenied(detail, public=f"HubSpot: {words}", **known)
    if status == 429:  # noqa: PLR2004
        return _limit(reply, detail, _text(fields.get("policyName")), known)
    if status in {423, 477} or status >= 500:  # noqa: PLR2004
        return _unavailable(reply, detail, known)
    if status >= 400:  # noqa: PLR2004
        reason = reasons_of(fields)[0]
        return CallRefused(
            detail,
            public=f"HubSpot: {words}",
            http_status=status,
            may_split=status in {400, 409},
            field=reason.crm_field,
            crm_code=reason.code or known["crm_code"],
            request_id=known["request_id"],
        )
    return GiveUp(detail, public=f"HubSpot answered {status}", **known)


def _limit(reply: Reply, detail: str, policy: str | None, known: dict[str, str | None]) -> CrmError:
    told = retry_after_s(reply)
    known = {**known, "crm_code": policy or known["crm_code"]}
    if policy == "DAILY":
        wait_s = told if told is not None else _QUOTA_WAIT_S
        return QuotaExhausted(detail, public="HubSpot's daily quota is used up", retry_after_s=wait_s, **known)
    wait_s = told if told is not None else _WAIT_S.get(policy or "", 10.0)
    return RateLimited(detail, public="HubSpot's rate limit is reached", retry_after_s=wait_s, **known)


def _unavailable(reply: Reply, detail: str, known: dict[str, str | None]) -> CrmError:
    told = retry_after_s(reply)
    default = {423: _LOCKED_WAIT_S, 477: _MOVING_WAIT_S}.get(reply.status, _SERVER_WAIT_S)
    return CrmUnavailable(
        detail,
        public=f"HubSpot answered {reply.status}",
        retry_after_s=told if told is not None else default,
        # 423 and 477 are refusals at the door; after any 5xx the write may have been carried out.
        may_have_arrived=reply.status >= 500,  # noqa: PLR2004
        **known,
    )


def retry_after_s(reply: Reply) -> float | None:
    """`Retry-After` in seconds, at most a day: the longest that HubSpot documents (477); None when it is absent."""
    told = reply.retry_after_s
    return None if told is None else min(told, _LONGEST_WAIT_S)
