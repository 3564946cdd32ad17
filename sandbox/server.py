"""The sandbox as a server: as a coroutine, in a thread for tests, or as a process (``python -m sandbox``)."""

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Self

from aiohttp import web

from sandbox import control
from sandbox.config import SandboxConfig
from sandbox.hubspot import routes as hubspot_routes
from sandbox.hubspot.errors import Problem
from sandbox.journal import JournalEntry
from sandbox.replies import NotJsonError, RefusedError
from sandbox.salesforce import routes as salesforce_routes
from sandbox.salesforce.errors import refuse
from sandbox.state import JOURNAL_ACCOUNT, JOURNAL_FAULT, JOURNAL_RECORDS, STATE, SandboxState, crm_of, state_of

_MOST_BODY_BYTES = 32 * 1024 * 1024
_MOST_LINE_BYTES = 128 * 1024
_START_TIMEOUT_S = 10.0
_STOP_TIMEOUT_S = 10.0
_DRAIN_S = 1.0
_BACKLOG = 2048
_SECRET_PATHS = ("/hubspot/oauth/v1/access-tokens/", "/hubspot/oauth/v1/refresh-tokens/")


@web.middleware
async def _outermost(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """Write the journal, and turn refusals into replies."""
    crm = crm_of(request.path)
    if crm is None:
        return await _replied(request, handler)
    journal, at, started = state_of(request).journal, time.time(), time.perf_counter()
    journal.started(crm)
    status = 500
    try:
        response = await _replied(request, handler)
        status = response.status
        return response
    finally:
        resource = request.match_info.route.resource
        path = next((prefix + "..." for prefix in _SECRET_PATHS if request.path.startswith(prefix)), request.path)
        entry = JournalEntry(
            at=at,
            crm=crm,
            method=request.method,
            path=path,
            route=resource.canonical if resource else "(no such route)",
            status=status,
            account=request.get(JOURNAL_ACCOUNT),
            records=request.get(JOURNAL_RECORDS),
            duration_ms=round((time.perf_counter() - started) * 1000, 3),
            fault=request.get(JOURNAL_FAULT),
        )
        journal.ended(entry)


async def _replied(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    try:
        return await handler(request)
    except RefusedError as error:
        return error.to_response()
    except web.HTTPClientError as error:
        return _unrouted(request, error)
    except NotJsonError as error:
        return web.json_response({"problem": str(error)}, status=400)


def _unrouted(request: web.Request, error: web.HTTPClientError) -> web.Response:
    """Answer a URL or method that does not exist in the shape of the CRM that was asked."""
    crm = crm_of(request.path)
    if crm is None:
        return web.json_response({"problem": error.reason}, status=error.status)
    if crm == "hubspot":
        return (
            Problem("OBJECT_NOT_FOUND", f"Unable to process this request: {error.reason}", error.status)
            .refusal()
            .to_response()
        )
    code = "METHOD_NOT_ALLOWED" if isinstance(error, web.HTTPMethodNotAllowed) else "NOT_FOUND"
    return refuse(error.status, code, "The requested resource does not exist").to_response()


class RunningSandbox:
    """A sandbox that listens; made by ``start``."""

    def __init__(self, runner: web.AppRunner, state: SandboxState) -> None:
        self._runner = runner
        self._state = state
        self.origin = state.origin
        self.seed = state.seed

    async def stop(self) -> None:
        """Let hanging calls go, close every connection and the socket."""
        self._state.is_stopping = True
        await self._runner.cleanup()


async def start(host: str = "127.0.0.1", port: int = 0, config: SandboxConfig | None = None) -> RunningSandbox:
    """Listen on ``host`` and ``port`` (0 = a free one) and return at once.

    Raises:
        OSError: The port cannot be listened on.
    """
    app = web.Application(middlewares=[_outermost], client_max_size=_MOST_BODY_BYTES)
    app.add_routes([*salesforce_routes.routes(), *hubspot_routes.routes(), *control.routes()])
    listening = web.AppRunner(
        app,
        access_log=None,
        shutdown_timeout=_DRAIN_S,
        max_line_size=_MOST_LINE_BYTES,
        max_field_size=_MOST_LINE_BYTES,
    )
    # The origin is known only when the port is; the state must be in the application before it is frozen.
    state = SandboxState(config or SandboxConfig(), "")
    app[STATE] = state
    await listening.setup()
    try:
        site = web.TCPSite(listening, host, port, backlog=_BACKLOG)
        await site.start()
    except OSError:
        await listening.cleanup()
        raise
    bound_port = listening.addresses[0][1]
    state.origin = state.config.origin or f"http://{host}:{bound_port}"
    return RunningSandbox(listening, state)


async def serve(
    host: str = "127.0.0.1",
    port: int = 0,
    config: SandboxConfig | None = None,
    *,
    on_ready: Callable[[str], None] | None = None,
) -> None:
    """Serve until cancelled; ``on_ready`` is called with the origin once it listens."""
    running = await start(host, port, config)
    try:
        if on_ready is not None:
            on_ready(running.origin)
        await asyncio.Event().wait()
    finally:
        await running.stop()


class SandboxServer:
    """A sandbox in a thread of its own, with its own event loop; for tests. Also a context manager."""

    def __init__(self, config: SandboxConfig | None = None, *, host: str = "127.0.0.1", port: int = 0) -> None:
        self._config = config
        self._host = host
        self._port = port
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopping: asyncio.Event | None = None
        self._thread: threading.Thread | None = None
        self._failure: BaseException | None = None
        self.origin = ""

    def start(self) -> Self:
        """Start the thread and wait until it listens; ``origin`` is set then.

        Raises:
            OSError: The port cannot be listened on.
            TimeoutError: It did not come up in time.
        """
        ready = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(ready,), name="sandbox", daemon=True)
        self._thread.start()
        if not ready.wait(_START_TIMEOUT_S):
            raise TimeoutError("the sandbox did not start in time")
        if self._failure is not None:
            raise self._failure
        return self

    def stop(self) -> None:
        """Stop listening and end the thread; harmless when it is stopped already."""
        if self._loop is not None and self._stopping is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._stopping.set)
        if self._thread is not None:
            self._thread.join(_STOP_TIMEOUT_S)
            self._thread = None

    def _run(self, ready: threading.Event) -> None:
        try:
            asyncio.run(self._main(ready))
        except BaseException as error:  # noqa: BLE001  handed to the thread that waits in start
            self._failure = error
        finally:
            ready.set()

    async def _main(self, ready: threading.Event) -> None:
        self._loop, self._stopping = asyncio.get_running_loop(), asyncio.Event()
        running = await start(self._host, self._port, self._config)
        self.origin = running.origin
        ready.set()
        await self._stopping.wait()
        await running.stop()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
