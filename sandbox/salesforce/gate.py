"""What every REST data call of Salesforce passes: session, version, quota, concurrency, injected faults.

REST guide "Status Codes and Error Responses"; "API Request Limits and Allocations".
"""

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from aiohttp import web

from sandbox import faults
from sandbox.grants import Grant
from sandbox.replies import NotJsonError, RefusedError
from sandbox.salesforce.catalog import object_type
from sandbox.salesforce.errors import refuse
from sandbox.salesforce.schema import ObjectType
from sandbox.salesforce.store import Org
from sandbox.salesforce.writing import Writer
from sandbox.state import JOURNAL_ACCOUNT, SandboxState, state_of
from sandbox.switches import SalesforceSwitches

OLDEST_VERSION = 50
MOST_URI_CHARS = 16_384
_VERSION = re.compile(r"v(\d+)\.0\Z")
_DATA_SCOPES = frozenset({"api", "full"})


@dataclass(frozen=True, slots=True)
class Call:
    """One authenticated data call."""

    request: web.Request
    state: SandboxState
    org: Org
    grant: Grant

    @property
    def switches(self) -> SalesforceSwitches:
        """The Salesforce switches as they are now."""
        return self.state.switches.salesforce

    @property
    def version(self) -> str:
        """The version segment of the path, such as ``v67.0``."""
        return self.request.match_info["version"]

    def object_type(self, name: str) -> ObjectType:
        """Return the sObject that the path names.

        Raises:
            RefusedError: 404 NOT_FOUND, there is none.
        """
        kind = object_type(name, with_state_codes=self.switches.state_country_picklists)
        if kind is None:
            raise refuse(404, "NOT_FOUND", "The requested resource does not exist")
        return kind

    def writer(self) -> Writer:
        """Return a writer under this call's headers, with a fresh undo log."""
        self.org.begin()
        header = self.request.headers.get("Sforce-Duplicate-Rule-Header", "")
        return Writer(self.org, self.switches, re.search(r"allowSave\s*=\s*true", header, re.IGNORECASE) is not None)


DataHandler = Callable[[Call], Awaitable[web.Response]]


def session_grant(request: web.Request) -> Grant:
    """Return the grant of the request's bearer token.

    Raises:
        RefusedError: 401, there is no live session.
    """
    scheme, _, value = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() not in {"bearer", "oauth"} or not value:
        raise refuse(401, "INVALID_AUTH_HEADER", "INVALID_HEADER_TYPE")
    book = state_of(request).grants["salesforce"]
    access = book.access_token(value.strip())
    if access is None or access.is_revoked or access.is_expired(book.clock()):
        raise refuse(401, "INVALID_SESSION_ID", "Session expired or invalid")
    return access.grant


def data_call(handler: DataHandler) -> faults.Handler:
    """Turn a data handler into a handler of the server."""

    async def wrapped(request: web.Request) -> web.StreamResponse:
        state = state_of(request)
        switches = state.switches.salesforce
        spoiled = await faults.intercepted(request, state, "salesforce")
        if spoiled is not None:
            return spoiled
        grant = session_grant(request)
        org = state.accounts.orgs[grant.approval.account_id]
        request[JOURNAL_ACCOUNT] = org.org_id
        org.calls_in_flight += 1
        try:
            await faults.wait_latency(switches)
            response = await _admitted(Call(request, state, org, grant), handler)
        finally:
            org.calls_in_flight -= 1
        response.headers["Sforce-Limit-Info"] = f"api-usage={org.api_calls}/{switches.daily_quota}"
        return await faults.delivered(request, state, switches, response)

    return wrapped


async def _admitted(call: Call, handler: DataHandler) -> web.Response:
    try:
        _check_request(call)
        _check_limits(call)
        call.org.api_calls += 1
        return await handler(call)
    except RefusedError as error:
        return error.to_response()
    except NotJsonError as error:
        message = f"{error} at [line:{error.line}, column:{error.column}]"
        return refuse(400, "JSON_PARSER_ERROR", message).to_response()


def _check_request(call: Call) -> None:
    if len(call.request.raw_path) > MOST_URI_CHARS:
        raise refuse(414, "URI_TOO_LONG", "The URI is too long")
    if call.request.can_read_body and call.request.content_type != "application/json":
        raise refuse(415, "UNSUPPORTED_MEDIA_TYPE", "Content-Type header specified in HTTP request is not supported")
    if not _DATA_SCOPES & set(call.grant.approval.scopes):
        raise refuse(403, "INVALID_SESSION_ID", "This session is not valid for use with the REST API")
    match = _VERSION.match(call.version)
    if match is None or not OLDEST_VERSION <= int(match[1]) <= call.switches.newest_version:
        raise refuse(404, "NOT_FOUND", "The requested resource does not exist")


def _check_limits(call: Call) -> None:
    switches, org = call.switches, call.org
    if switches.take("error_500_next"):
        raise refuse(500, "UNKNOWN_EXCEPTION", "An unexpected error occurred. Please include this ErrorId: 1234-5678")
    if switches.take("quota_exceeded_next") or org.api_calls >= switches.daily_quota:
        raise refuse(403, "REQUEST_LIMIT_EXCEEDED", "TotalRequests Limit exceeded.")
    is_crowded = bool(switches.concurrent_limit) and org.calls_in_flight > switches.concurrent_limit
    if switches.take("concurrent_exceeded_next") or is_crowded:
        message = "ConcurrentRequests (Concurrent API Requests) Limit exceeded."
        raise refuse(403, "REQUEST_LIMIT_EXCEEDED", message)
