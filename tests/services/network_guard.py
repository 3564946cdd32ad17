"""Tests talk to this machine only: a call that would leave it fails at once, with the name of the host."""

import ipaddress
import socket
from collections.abc import Callable
from typing import Any

import pytest


class OutsideCallError(AssertionError):
    """A test tried to reach a host other than this machine."""


def is_local(host: str | bytes | None, allowed: frozenset[str] = frozenset()) -> bool:
    """Tell whether a host is this machine, or one that the run was told to use.

    Names count as outside, except ``localhost`` and names below it (RFC 6761, section 6.3): even asking for the address
    of a name leaves the machine.
    """
    name = host.decode("idna") if isinstance(host, bytes) else host or ""
    if name in allowed or name in {"", "localhost"} or name.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(name.split("%", 1)[0]).is_loopback
    except ValueError:
        return False


def install(patch: pytest.MonkeyPatch, allowed: frozenset[str]) -> None:
    """Guard Python's sockets and name look-ups until the patch is undone.

    The database driver and the Kafka client open their sockets in C; they are given local addresses by the fixtures.
    """
    patch.setattr(socket.socket, "connect", _guarded(socket.socket.connect, allowed))
    patch.setattr(socket.socket, "connect_ex", _guarded(socket.socket.connect_ex, allowed))
    look_up = socket.getaddrinfo

    def guarded_look_up(host: str | bytes | None, *rest: Any, **named: Any) -> Any:
        _check(host, allowed)
        return look_up(host, *rest, **named)

    patch.setattr(socket, "getaddrinfo", guarded_look_up)


def _guarded(connect: Callable[..., Any], allowed: frozenset[str]) -> Callable[..., Any]:
    def guarded(self: socket.socket, address: Any) -> Any:
        if self.family in {socket.AF_INET, socket.AF_INET6}:
            _check(address[0], allowed)
        return connect(self, address)

    return guarded


def _check(host: str | bytes | None, allowed: frozenset[str]) -> None:
    if not is_local(host, allowed):
        raise OutsideCallError(f"a test tried to reach {host!r}; tests may only talk to this machine")
