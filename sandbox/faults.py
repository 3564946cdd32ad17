"""Faults that a switch asks for and that both CRMs share: latency, hangs, cut connections, HTML pages, token faults."""

import asyncio
from collections.abc import Awaitable, Callable

from aiohttp import web

from sandbox.config import Crm
from sandbox.replies import RefusedError
from sandbox.state import SandboxState, crm_of, state_of
from sandbox.switches import CrmSwitches

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

_HANG_CHECK_S = 0.05
_HTML_PAGE = (
    "<!doctype html><html><head><title>{0}</title></head><body><h1>{0}</h1><p>Reference #18.4c</p></body></html>"
)
_MILLISECONDS = 1000


def html_503(switches: CrmSwitches) -> web.Response:
    """Return the page of an edge server whose back end is away."""
    return web.Response(
        status=503,
        text=_HTML_PAGE.format("Service Unavailable"),
        content_type="text/html",
        headers=retry_after(switches),
    )


def retry_after(switches: CrmSwitches) -> dict[str, str]:
    """Return the ``Retry-After`` header that the switch asks for, if any."""
    return {"Retry-After": str(switches.retry_after_s)} if switches.retry_after_s else {}


async def wait_latency(switches: CrmSwitches) -> None:
    """Wait as long as the switch ``latency_ms`` says."""
    if switches.latency_ms:
        await asyncio.sleep(switches.latency_ms / _MILLISECONDS)


async def hang(request: web.Request, state: SandboxState) -> web.StreamResponse:
    """Keep the connection open without an answer until the client leaves or the sandbox stops."""
    # aiohttp announces a client's leaving only by cancelling handlers, which would undo writes under way elsewhere.
    while not state.is_stopping and request.transport is not None and not request.transport.is_closing():  # noqa: ASYNC110
        await asyncio.sleep(_HANG_CHECK_S)
    return web.Response(status=504)


def cut(request: web.Request) -> web.Response:
    """Cut the connection in place of a reply; what is returned reaches nobody."""
    if request.transport is not None:
        request.transport.abort()
    return web.Response(status=504)


def oauth_call(handler: Handler) -> Handler:
    """Give an OAuth endpoint the injected latency."""

    async def wrapped(request: web.Request) -> web.StreamResponse:
        await wait_latency(state_of(request).crm_switches(_crm(request)))
        return await handler(request)

    return wrapped


def token_call(handler: Handler) -> Handler:
    """Give a token endpoint the injected latency and the faults of ``token_fault``."""

    async def wrapped(request: web.Request) -> web.StreamResponse:
        crm = _crm(request)
        switches = state_of(request).crm_switches(crm)
        await request.read()  # what has arrived is carried out, also when the client is gone after the latency
        await wait_latency(switches)
        fault = switches.token_fault
        if fault == "none" or not switches.take("token_fault_next"):
            return await handler(request)
        if fault == "lost_reply":
            await handler(request)
            return cut(request)
        return _token_fault(crm, switches)

    return wrapped


def _token_fault(crm: Crm, switches: CrmSwitches) -> web.Response:
    kind = switches.token_fault
    if kind == "500":
        return web.Response(status=500, text="Internal Server Error")
    if kind == "html":
        return web.Response(text=_HTML_PAGE.format("Please sign in"), content_type="text/html")
    if kind == "empty":
        return web.Response()
    if kind == "rate_limited":
        body = {"error": "rate_limit_exceeded", "error_description": "too many requests"}
        return RefusedError(400 if crm == "salesforce" else 429, body, retry_after(switches)).to_response()
    body = {"error": "invalid_grant", "error_description": "expired access/refresh token"}
    if crm == "hubspot":
        body |= {"status": "BAD_REFRESH_TOKEN", "message": "missing or invalid refresh token"}
    return RefusedError(400, body).to_response()


def _crm(request: web.Request) -> Crm:
    crm = crm_of(request.path)
    if crm is None:
        raise web.HTTPNotFound
    return crm
