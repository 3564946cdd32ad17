"""HubSpot's replies as errors: which class a refused call is, and every reason inside a body.

Sources: developers.hubspot.com/docs/api-reference/error-handling (statuses, multi-status errors),
developers.hubspot.com/docs/developer-tooling/platform/usage-guidelines (429 and `policyName`). The tables: `codes`.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from crm.adapters.hubspot.codes import TABLE, status_meaning
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

__all__ = ["TABLE", "Reason", "error_of", "existing_id", "raise_for_status", "reasons_of", "retry_after_s"]

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
    category = status_meaning(reply.status).category
    if reply.status < 400:  # noqa: PLR2004 - a redirect, which is never followed
        return GiveUp(detail, public=f"HubSpot answered {reply.status}", **known)
    if category is FailureCategory.AUTHORIZATION:
        return AccessTokenRejected(detail, public="HubSpot refused the access token", **known)
    if category is FailureCategory.PERMISSION:
        return PermissionDenied(detail, public=f"HubSpot: {words}{_scopes_named(fields)}", **known)
    if category is FailureCategory.LIMIT:
        return _limit(reply, detail, _text(fields.get("policyName")), known)
    if category is FailureCategory.UNAVAILABLE:
        return _unavailable(reply, detail, known)
    reason = reasons_of(fields)[0]
    return CallRefused(
        detail,
        public=f"HubSpot: {words}",
        http_status=reply.status,
        may_split=reply.status in {400, 409},
        field=reason.crm_field,
        crm_code=reason.code or known["crm_code"],
        request_id=known["request_id"],
    )


def _scopes_named(fields: Mapping[str, Any]) -> str:
    """` (a, b)`: the scopes that a 403 names, in its own context or in that of its `errors`."""
    errors = fields.get("errors")
    places = [fields, *(errors if isinstance(errors, list) else ())]
    contexts = [place.get("context") for place in places if isinstance(place, Mapping)]
    named = [context.get("requiredGranularScopes") for context in contexts if isinstance(context, Mapping)]
    scopes = [str(scope)[:60] for names in named if isinstance(names, list) for scope in names[:10]]
    return f" ({', '.join(dict.fromkeys(scopes))})" if scopes else ""


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
