"""What every data call of HubSpot passes: token, scope, rate limits, injected faults.

Developer documentation "API usage guidelines and limits" and "Error handling".
"""

import time
import uuid
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Literal

from aiohttp import web

from sandbox import faults
from sandbox.grants import AccessToken, Grant
from sandbox.hubspot.catalog import object_type
from sandbox.hubspot.errors import Problem, not_found, validation
from sandbox.hubspot.schema import ObjectType
from sandbox.hubspot.store import Portal
from sandbox.hubspot.values import NotScalarError
from sandbox.hubspot.writing import Writer
from sandbox.replies import NotJsonError, RefusedError
from sandbox.state import JOURNAL_ACCOUNT, SandboxState, state_of
from sandbox.switches import HubspotSwitches

_ASSOCIATIONS_VERSION = "v4"
WINDOW_S = 10.0
_RATE_MESSAGE = {
    "TEN_SECONDLY_ROLLING": "You have reached your ten_secondly_rolling limit.",
    "SECONDLY": "You have reached your secondly limit.",
    "DAILY": "You have reached your daily limit.",
}
Access = Literal["read", "write", "schemas", "none"]


@dataclass(frozen=True, slots=True)
class Call:
    """One authenticated data call."""

    request: web.Request
    state: SandboxState
    portal: Portal
    grant: Grant

    @property
    def switches(self) -> HubspotSwitches:
        """The HubSpot switches as they are now."""
        return self.state.switches.hubspot

    @property
    def kind(self) -> ObjectType:
        """The object type that the path names.

        Raises:
            RefusedError: 400, there is none.
        """
        name = self.request.match_info["type"]
        kind = object_type(name)
        if kind is None:
            raise validation(f"Unable to infer object type from: {name}").refusal()
        return kind

    def writer(self) -> Writer:
        """Return a writer for the path's object type, with a fresh undo log."""
        self.portal.begin()
        return Writer(self.portal, self.kind, self.switches, self.request.match_info["version"])


DataHandler = Callable[[Call], Awaitable[web.Response]]


def live_token(request: web.Request) -> AccessToken:
    """Return the request's bearer token.

    Raises:
        RefusedError: 401, it is missing, unknown, revoked or expired.
    """
    scheme, _, value = request.headers.get("Authorization", "").partition(" ")
    book = state_of(request).grants["hubspot"]
    access = book.access_token(value.strip()) if scheme.lower() == "bearer" else None
    if access is None or access.is_revoked:
        message = "Authentication credentials not found. This API supports OAuth 2.0 authentication."
        raise Problem("INVALID_AUTHENTICATION", message, status=401).refusal()
    if access.is_expired(book.clock()):
        ago = int(book.clock() - access.expires_at)
        message = f"The OAuth token used to make this call expired {ago} second(s) ago."
        raise Problem("EXPIRED_AUTHENTICATION", message, status=401).refusal()
    return access


def data_call(handler: DataHandler, access: Access, *, is_search: bool = False) -> faults.Handler:
    """Turn a data handler into a handler of the server; ``access`` names the scope that it needs."""

    async def wrapped(request: web.Request) -> web.StreamResponse:
        state = state_of(request)
        switches = state.switches.hubspot
        spoiled = await faults.intercepted(request, state, "hubspot")
        if spoiled is not None:
            return spoiled
        grant = live_token(request).grant
        portal = state.accounts.portals[grant.approval.account_id]
        request[JOURNAL_ACCOUNT] = grant.approval.account_id
        await faults.wait_latency(switches)
        response = await _admitted(Call(request, state, portal, grant), handler, access, is_search=is_search)
        if not is_search:
            response.headers.update(_rate_headers(switches, portal, grant))
        return await faults.delivered(request, state, switches, response)

    return wrapped


async def _admitted(call: Call, handler: DataHandler, access: Access, *, is_search: bool) -> web.Response:
    try:
        if call.request.match_info["version"] not in {*call.switches.api_versions, _ASSOCIATIONS_VERSION}:
            raise not_found("Unable to find a resource for this path").refusal()
        if call.request.can_read_body and call.request.content_type != "application/json":
            raise Problem("UNSUPPORTED_MEDIA_TYPE", "Unsupported Media Type", status=415).refusal()
        _check_faults(call.switches)
        _check_rate(call, is_search=is_search)
        _check_scope(call, access)
        return await handler(call)
    except RefusedError as error:
        return error.to_response()
    except NotJsonError as error:
        message = f"Invalid input JSON on line {error.line}, column {error.column}: {error}"
        return validation(message).refusal().to_response()
    except NotScalarError:
        message = "Invalid input JSON on line 1, column 1: Cannot deserialize value of type `java.lang.String`"
        return validation(message).refusal().to_response()


def _check_faults(switches: HubspotSwitches) -> None:
    if switches.take("error_500_next"):
        raise Problem("INTERNAL_ERROR", "internal error", status=500).refusal()
    if switches.take("locked_423_next"):
        raise Problem("LOCKED", "This resource is locked; wait before you try again.", status=423).refusal()
    if switches.take("moving_477_next"):
        message = "This account is being moved to another data center."
        raise Problem("MIGRATION_IN_PROGRESS", message, status=477).refusal(faults.retry_after(switches))


def _check_rate(call: Call, *, is_search: bool) -> None:
    switches = call.switches
    if switches.take("rate_limited_next"):
        raise _rate_limited(switches, switches.rate_limit_policy)
    if is_search:
        if not _count(call.portal.call_times["search"], switches.search_per_second_limit, 1.0):
            raise _rate_limited(switches, "SECONDLY")
    elif not _count(_window(call.portal, call.grant), switches.ten_secondly_limit, WINDOW_S):
        raise _rate_limited(switches, "TEN_SECONDLY_ROLLING")


def _window(portal: Portal, grant: Grant) -> deque[float]:
    return portal.call_times[f"app {grant.approval.client_id}"]


def _count(times: deque[float], limit: int, window_s: float) -> bool:
    """Count a call into a rolling window; tell whether it is within the limit (0 = none)."""
    now = time.monotonic()
    while times and now - times[0] >= window_s:
        times.popleft()
    if limit and len(times) >= limit:
        return False
    times.append(now)
    return True


def _rate_limited(switches: HubspotSwitches, policy: str) -> RefusedError:
    body: dict[str, Any] = {
        "status": "error",
        "message": _RATE_MESSAGE[policy],
        "correlationId": str(uuid.uuid4()),
        "policyName": policy,
        "requestId": str(uuid.uuid4()),
    }
    is_old_shape = switches.rate_limit_body == "errorType"
    body |= {"errorType": "RATE_LIMIT"} if is_old_shape else {"category": "RATE_LIMITS"}
    return RefusedError(429, body, faults.retry_after(switches))


def _rate_headers(switches: HubspotSwitches, portal: Portal, grant: Grant) -> dict[str, str]:
    if not switches.ten_secondly_limit:
        return {}
    left = max(0, switches.ten_secondly_limit - len(_window(portal, grant)))
    return {
        "X-HubSpot-RateLimit-Max": str(switches.ten_secondly_limit),
        "X-HubSpot-RateLimit-Remaining": str(left),
        "X-HubSpot-RateLimit-Interval-Milliseconds": str(int(WINDOW_S * 1000)),
    }


def _check_scope(call: Call, access: Access) -> None:
    if access == "none":
        return
    name = call.kind.name
    allowed = {f"crm.objects.{name}.{access}"}
    if access == "schemas":
        allowed = {f"crm.schemas.{name}.read", f"crm.objects.{name}.read"}
    if not allowed & set(call.grant.approval.scopes):
        raise _missing_scopes(call.switches, sorted(allowed))


def _missing_scopes(switches: HubspotSwitches, scopes: list[str]) -> RefusedError:
    message = "This app hasn't been granted all required scopes to make this call."
    context = {"requiredGranularScopes": scopes}
    if switches.missing_scopes_in == "context":
        return Problem("MISSING_SCOPES", message, status=403, context=context).refusal()
    refusal = Problem("MISSING_SCOPES", message, status=403).refusal()
    refusal.body["errors"] = [{"message": "One or more of the following scopes are required.", "context": context}]
    return refusal
