"""What Salesforce's error codes mean: one table for records, one rule for whole calls. Pure.

Sources: developer.salesforce.com, REST API Developer Guide, errorcodes.htm ("Status Codes and Error Responses"); SOAP
API Developer Guide, "Core Data Types Used in API Calls: StatusCode" (the codes of single records).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from crm.adapters.outcome import VendorError, own_failure, translate
from crm.errors import (
    AccessTokenRejected,
    CallRefused,
    ConfigurationFault,
    CrmError,
    CrmUnavailable,
    PermissionDenied,
    QuotaExhausted,
    RateLimited,
)
from crm.http import Reply
from crm.text import scrub
from schemas.failure import FailureCategory as Category
from schemas.result import Failure

_PERMISSION: Final = VendorError(
    "permission_denied", Category.PERMISSION, hint="the connected user needs more rights on this record or field"
)
_GONE: Final = VendorError("record_gone", Category.NOT_FOUND, hint="the record was deleted in Salesforce")
_UNAVAILABLE: Final = VendorError(
    "crm_unavailable", Category.UNAVAILABLE, retryable=True, hint="send the record again later"
)
_LOCKED: Final = VendorError(
    "record_locked", Category.UNAVAILABLE, retryable=True, hint="another change held the record; send it again"
)
_DUPLICATE: Final = VendorError(
    "duplicate_detected",
    Category.CONFLICT,
    hint="a similar record exists; merge them in Salesforce or match on its key",
)
_COLLATERAL: Final = VendorError(
    "rolled_back", Category.UNAVAILABLE, retryable=True, hint="another record of the call was at fault; send it again"
)
# Salesforce gives it the code of a field that does not exist: it is told by its text alone.
_NO_RELATED: Final = "INVALID_FIELD: Foreign key external ID"
_BAD_VALUE: Final = VendorError("invalid_value", Category.BAD_DATA, hint="correct the value")
_READ_ONLY: Final = VendorError("read_only_field", Category.MAPPING, hint="map to a field that can be written")
_RULE: Final = VendorError("validation_rule", Category.BAD_DATA, hint="an admin's rule refused it; its words are above")

#: statusCode of one record -> what it means to the reader.
RECORD_ERRORS: Final[Mapping[str, VendorError]] = {
    "REQUIRED_FIELD_MISSING": VendorError(
        "required_field_missing", Category.BAD_DATA, hint="fill the field or give its mapping a default value"
    ),
    "STRING_TOO_LONG": VendorError("value_too_long", Category.BAD_DATA, hint="shorten it or map to a longer field"),
    "INVALID_EMAIL_ADDRESS": VendorError("invalid_email", Category.BAD_DATA, hint="correct the e-mail address"),
    "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST": VendorError(
        "invalid_option", Category.BAD_DATA, hint="use one of the field's options or map the value to one"
    ),
    "FIELD_INTEGRITY_EXCEPTION": VendorError(
        "invalid_value",
        Category.BAD_DATA,
        hint="correct the value; an org with state and country picklists takes their full names only",
    ),
    "NUMBER_OUTSIDE_VALID_RANGE": _BAD_VALUE,
    "INVALID_TYPE_ON_FIELD_IN_RECORD": _BAD_VALUE,
    "JSON_PARSER_ERROR": _BAD_VALUE,
    "MISSING_ARGUMENT": _BAD_VALUE,
    "INVALID_ID_FIELD": _BAD_VALUE,
    "FIELD_CUSTOM_VALIDATION_EXCEPTION": _RULE,
    "CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY": _RULE,
    "FIELD_FILTER_VALIDATION_EXCEPTION": _RULE,
    "INVALID_FIELD_FOR_INSERT_UPDATE": _READ_ONLY,
    "INVALID_FIELD": VendorError("unknown_field", Category.MAPPING, hint="correct the mapping"),
    _NO_RELATED: VendorError(
        "related_record_not_found", Category.NOT_FOUND, hint="push the record that it refers to first"
    ),
    "INVALID_TYPE": VendorError("unknown_object", Category.MAPPING, hint="correct the object's name"),
    "DUPLICATE_VALUE": _DUPLICATE,
    "DUPLICATES_DETECTED": _DUPLICATE,
    "DUPLICATE_DML_EXCEPTION": _DUPLICATE,
    "DUPLICATE_EXTERNAL_ID": VendorError(
        "several_matches", Category.CONFLICT, hint="several records hold this key; merge them in Salesforce"
    ),
    "ENTITY_IS_DELETED": _GONE,
    "INVALID_CROSS_REFERENCE_KEY": _GONE,
    "MALFORMED_ID": _GONE,
    "NOT_FOUND": _GONE,
    "CANNOT_UPDATE_CONVERTED_LEAD": VendorError(
        "record_converted", Category.CONFLICT, hint="the lead became a contact; push to Contact instead"
    ),
    "INSUFFICIENT_ACCESS_OR_READONLY": _PERMISSION,
    "INSUFFICIENT_ACCESS_ON_CROSS_REFERENCE_ENTITY": _PERMISSION,
    "INSUFFICIENT_ACCESS": _PERMISSION,
    "DELETE_FAILED": VendorError(
        "delete_refused", Category.CONFLICT, hint="other records depend on it; remove or move them in Salesforce first"
    ),
    "ENTITY_IS_LOCKED": VendorError(
        "approval_pending", Category.CONFLICT, hint="an approval process holds the record; send it again afterwards"
    ),
    "ALL_OR_NONE_OPERATION_ROLLED_BACK": _COLLATERAL,
    "PROCESSING_HALTED": _COLLATERAL,
    "UNABLE_TO_LOCK_ROW": _LOCKED,
    "STORAGE_LIMIT_EXCEEDED": VendorError("storage_full", Category.LIMIT, hint="free storage in Salesforce"),
    "UNKNOWN_EXCEPTION": _UNAVAILABLE,
    "SERVER_UNAVAILABLE": _UNAVAILABLE,
    "QUERY_TIMEOUT": _UNAVAILABLE,
    "REQUEST_RUNNING_TOO_LONG": _UNAVAILABLE,
}

#: The record behind a stored link is no longer one to write to: look it up again.
GONE_CODES: Final = frozenset(
    {"ENTITY_IS_DELETED", "INVALID_CROSS_REFERENCE_KEY", "NOT_FOUND", "MALFORMED_ID", "CANNOT_UPDATE_CONVERTED_LEAD"}
)
FIELD_CODES: Final = frozenset({"INVALID_FIELD", "INVALID_FIELD_FOR_INSERT_UPDATE", "INVALID_TYPE_ON_FIELD_IN_RECORD"})
_BUSY_CODES: Final = frozenset(
    {"QUERY_TIMEOUT", "UNABLE_TO_LOCK_ROW", "SERVER_UNAVAILABLE", "REQUEST_RUNNING_TOO_LONG"}
)
_FOREIGN_KEY: Final = "Foreign key external ID"
_OK = range(200, 300)


@dataclass(frozen=True, slots=True)
class SalesforceMessage:
    """One error of a reply: `errorCode` of a whole call or `statusCode` of a record."""

    code: str
    text: str
    fields: tuple[str, ...] = ()


def messages_in(content: Any) -> list[SalesforceMessage]:
    """The errors in a JSON value: an array of them, or a bare object; anything else holds none."""
    entries = content if isinstance(content, list) else [content]
    return [_message(entry) for entry in entries if isinstance(entry, dict)]


def record_failure(message: SalesforceMessage, morket_field_of: Mapping[str, str]) -> Failure:
    """The public failure of one record's error."""
    crm_field = message.fields[0] if message.fields else None
    known = _by_its_text(message) or RECORD_ERRORS.get(message.code)
    table = {message.code: known} if known is not None else {}
    return translate(table, message.code, message.text, crm_field, morket_field_of)


def is_stale_field(message: SalesforceMessage) -> bool:
    """True when what we remember of the object's fields is no longer so."""
    return message.code in FIELD_CODES and not _is_unknown_relation(message)


def _by_its_text(message: SalesforceMessage) -> VendorError | None:
    """What an error means whose code says too little."""
    if _is_unknown_relation(message):
        return RECORD_ERRORS[_NO_RELATED]
    if message.code in GONE_CODES and not is_gone(message):
        return RECORD_ERRORS["FIELD_INTEGRITY_EXCEPTION"]
    if message.code == "CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY" and "UNABLE_TO_LOCK_ROW" in message.text:
        return _LOCKED
    return None


def _is_unknown_relation(message: SalesforceMessage) -> bool:
    return message.code in ("INVALID_FIELD", "INVALID_CROSS_REFERENCE_KEY") and _FOREIGN_KEY in message.text


def is_gone(message: SalesforceMessage) -> bool:
    """True when the record itself can no longer be written to: the same codes also speak of records it refers to."""
    return message.code in GONE_CODES and not set(message.fields) - {"Id", "id"} and not _is_unknown_relation(message)


def record_failures(messages: Sequence[SalesforceMessage], morket_field_of: Mapping[str, str]) -> tuple[Failure, ...]:
    """The public failures of one record; never empty."""
    failures = tuple(record_failure(message, morket_field_of) for message in messages)
    return failures or (own_failure("crm_refused", "Salesforce refused the record and gave no reason"),)


def raise_for_status(reply: Reply, *, writes: bool) -> None:
    """Raise what a reply other than 2xx means.

    Args:
        reply: Of a data call.
        writes: The call may have changed something: after a 5xx nobody knows.

    Raises:
        AccessTokenRejected, PermissionDenied, QuotaExhausted, RateLimited, CrmUnavailable: see `crm.errors`.
        CallRefused, ConfigurationFault: as there.
    """
    if reply.status in _OK:
        return
    found = messages_in(reply.json())
    first = found[0] if found else SalesforceMessage("", _text_of(reply))
    raise _error(reply, first, writes=writes)


def _text_of(reply: Reply) -> str:
    """What a reply without Salesforce's error form says; the HTML of a gateway says nothing to anybody."""
    if reply.status == 300:  # noqa: PLR2004
        return "several records hold this key"
    return reply.text(120) if reply.status in range(400, 500) and not reply.body.lstrip().startswith(b"<") else ""


def _error(reply: Reply, message: SalesforceMessage, *, writes: bool) -> CrmError:
    answer = f"Salesforce answered {reply.status} {message.code}".rstrip()
    text = f"{answer}: {scrub(message.text)}".rstrip(": ")
    code = message.code or None
    if reply.status >= 500 or message.code in _BUSY_CODES:  # noqa: PLR2004 - the class of status
        arrived = writes and reply.status >= 500  # noqa: PLR2004
        return CrmUnavailable(text, retry_after_s=reply.retry_after_s, crm_code=code, may_have_arrived=arrived)
    if reply.status == 401:  # noqa: PLR2004
        return AccessTokenRejected(text, crm_code=code)
    if reply.status in (403, 420, 429):
        return _limit_or_permission(reply, message, text)
    if reply.status == 410:  # noqa: PLR2004
        return ConfigurationFault(
            text, public="this Salesforce API version is retired", code="crm_refused", crm_code=code
        )
    field = message.fields[0] if message.fields else None
    return CallRefused(text, http_status=reply.status, may_split=reply.status in (400, 409), field=field, crm_code=code)


def _limit_or_permission(reply: Reply, message: SalesforceMessage, text: str) -> CrmError:
    if message.code == "REQUEST_LIMIT_EXCEEDED" and "TotalRequests" in message.text:
        return QuotaExhausted(text, retry_after_s=reply.retry_after_s, crm_code=message.code)
    if message.code == "REQUEST_LIMIT_EXCEEDED" or reply.status != 403:  # noqa: PLR2004
        return RateLimited(text, retry_after_s=reply.retry_after_s, crm_code=message.code or None)
    return PermissionDenied(text, crm_code=message.code or None)


def _message(entry: Mapping[str, Any]) -> SalesforceMessage:
    fields = entry.get("fields")
    names = tuple(str(name) for name in fields) if isinstance(fields, list) else ()
    code = entry.get("statusCode") or entry.get("errorCode") or entry.get("error") or ""
    return SalesforceMessage(str(code), str(entry.get("message") or entry.get("error_description") or ""), names)
