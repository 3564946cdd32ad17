"""Sockets that know when their call must be over.

A read timeout of urllib3 holds for one read; a server that drips a byte a second keeps such a call alive for ever.
Here each read and each write gets only what is left of the call: all of it, headers included, ends at the deadline.
"""

import http.client
import io
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from requests.adapters import HTTPAdapter
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.connection import HTTPConnection, HTTPSConnection

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

_WRITE_BYTES = 64 * 1024
_current = threading.local()


@contextmanager
def calls_until(deadline: float) -> Iterator[None]:
    """Let the calls of this thread end at `deadline` (monotonic seconds)."""
    _current.deadline = deadline
    try:
        yield
    finally:
        del _current.deadline


def _seconds_left() -> float:
    left: float = _current.deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError("the call's time is over")
    return left


class _DeadlineReader(socket.SocketIO):
    """The raw stream under a reply's headers and body."""

    def __init__(self, sock: socket.socket) -> None:
        super().__init__(sock, "r")
        sock._io_refs += 1  # type: ignore[attr-defined]  # noqa: SLF001 - what socket.makefile does for its streams
        self._socket = sock

    def readinto(self, b: "WriteableBuffer") -> int | None:
        """Read once, for at most what is left of the call."""
        self._socket.settimeout(_seconds_left())
        return super().readinto(b)


class _DeadlineSocket:
    """What `http.client.HTTPResponse` needs of a socket: one stream to read from."""

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock

    def makefile(self, *_mode: Any) -> io.BufferedReader:
        """The buffered stream of the reply."""
        return io.BufferedReader(_DeadlineReader(self._socket))


def _response(sock: Any, *args: Any, **rest: Any) -> http.client.HTTPResponse:
    stand_in: Any = _DeadlineSocket(sock)
    return http.client.HTTPResponse(stand_in, *args, **rest)


def _write(connection: HTTPConnection, data: Any) -> None:
    """Write in pieces, for a TLS socket's timeout holds for one piece and not for `sendall` as a whole."""
    view = memoryview(data)
    for start in range(0, len(view), _WRITE_BYTES):
        connection.sock.settimeout(_seconds_left())
        connection.sock.sendall(view[start : start + _WRITE_BYTES])


class _DeadlineHTTPConnection(HTTPConnection):
    response_class = staticmethod(_response)  # type: ignore[assignment]

    def send(self, data: Any) -> None:
        """Write `data` within what is left of the call."""
        if self.sock is None:
            self.connect()
        _write(self, data)


class _DeadlineHTTPSConnection(HTTPSConnection):
    response_class = staticmethod(_response)  # type: ignore[assignment]

    def send(self, data: Any) -> None:
        """Write `data` within what is left of the call."""
        if self.sock is None:
            self.connect()
        _write(self, data)


class _DeadlineHTTPPool(HTTPConnectionPool):
    ConnectionCls = _DeadlineHTTPConnection


class _DeadlineHTTPSPool(HTTPSConnectionPool):
    ConnectionCls = _DeadlineHTTPSConnection


class DeadlineTransport(HTTPAdapter):
    """The transport adapter of requests, with connections that end at the deadline of `calls_until`."""

    def init_poolmanager(self, *args: Any, **rest: Any) -> None:
        """Make the pools of this transport with our connections."""
        super().init_poolmanager(*args, **rest)
        self.poolmanager.pool_classes_by_scheme = {"http": _DeadlineHTTPPool, "https": _DeadlineHTTPSPool}
