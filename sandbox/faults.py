"""Faults that a switch asks for and that both CRMs share: latency, hangs, cut connections, HTML pages, token faults.

A data call passes ``intercepted`` before it is looked at and ``delivered`` after it was carried out.
"""

import asyncio
import socket
import struct
from collections.abc import Awaitable, Callable

from aiohttp import web

from sandbox.config import Crm
from sandbox.replies import RefusedError
from sandbox.state import JOURNAL_FAULT, SandboxState, crm_of, state_of
from sandbox.switches import CrmSwitches

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

_HANG_CHECK_S = 0.05
_HTML_PAGE = (
    "<!doctype html><html><head><title>{0}</title></head><body><h1>{0}</h1><p>Reference #18.4c</p></body></html>"
)
_MILLISECONDS = 1000
_DRIPS = 20
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)


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


def cut(request: web.Request) -> None:
    """Cut the connection; what is answered after that reaches nobody."""
    if request.transport is not None:
        request.transport.abort()


def reset(request: web.Request) -> web.Response:
    """Reset the connection (TCP RST) in place of a reply; what is returned reaches nobody."""
    connection = request.transport.get_extra_info("socket") if request.transport is not None else None
    if connection is not None:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
    cut(request)
    return web.Response(status=504)


async def intercepted(request: web.Request, state: SandboxState, crm: Crm) -> web.StreamResponse | None:
    """Return what a data call meets in place of being carried out, or ``None``; draws the random faults too."""
    switches = state.crm_switches(crm)
    if switches.random_fault_percent:
        chance = state.choices(f"random faults of {crm}")
        if chance.uniform(0, 100) < switches.random_fault_percent:
            switches.spoil(chance.choice(switches.random_faults))
    if _takes(request, switches, "hang_next"):
        return await hang(request, state)
    if _takes(request, switches, "reset_next"):
        await request.read()  # a client that is still sending would see a broken pipe instead
        return reset(request)
    return html_503(switches) if _takes(request, switches, "html_503_next") else None


async def delivered(
    request: web.Request, state: SandboxState, switches: CrmSwitches, response: web.Response
) -> web.StreamResponse:
    """Send the reply of a data call that was carried out; or hold it back, cut it or let it drip."""
    if _takes(request, switches, "hang_after_next"):
        return await hang(request, state)
    if _takes(request, switches, "lose_reply_next"):
        cut(request)
        return response
    if _takes(request, switches, "cut_body_next"):
        return await _in_pieces(request, response, pieces=2, pause_s=0, is_cut=True)
    if _takes(request, switches, "slow_reply_next"):
        pause_s = switches.slow_reply_ms / _MILLISECONDS / _DRIPS
        return await _in_pieces(request, response, pieces=_DRIPS, pause_s=pause_s)
    return response


def _takes(request: web.Request, switches: CrmSwitches, name: str) -> bool:
    is_spoiled = switches.take(name)
    if is_spoiled:
        request[JOURNAL_FAULT] = name
    return is_spoiled


async def _in_pieces(
    request: web.Request, response: web.Response, *, pieces: int, pause_s: float, is_cut: bool = False
) -> web.StreamResponse:
    """Send head and body apart, the body in pieces with a pause before each; with ``is_cut`` the last never comes."""
    body = response.body if isinstance(response.body, bytes) else b""
    stream = web.StreamResponse(status=response.status, headers=response.headers)
    if body:
        stream.content_length = len(body)
    await stream.prepare(request)
    size = -(-len(body) // pieces) or 1
    starts = range(0, size * pieces, size)
    for start in starts[:-1] if is_cut else starts:
        await asyncio.sleep(pause_s)
        if start < len(body):
            await stream.write(body[start : start + size])
    if is_cut:
        cut(request)
    return stream


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
            request[JOURNAL_FAULT] = "token_fault_next"
            response = await handler(request)
            cut(request)
            return response
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
