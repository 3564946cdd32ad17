"""The wall around the machine: tests reach the loopback interface and nothing else."""

import asyncio
import socket

import pytest
import requests

from services.network_guard import OutsideCallError, is_local


def test_connection_to_another_machine_is_refused() -> None:
    """A socket to an outside address fails before a packet leaves (the address is TEST-NET-1, RFC 5737)."""
    # Given a socket
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as outside:
        # When it is told to connect outside / Then it is refused, whichever way it asks
        with pytest.raises(OutsideCallError, match=r"192\.0\.2\.1"):
            outside.connect(("192.0.2.1", 443))
        with pytest.raises(OutsideCallError, match=r"192\.0\.2\.1"):
            outside.connect_ex(("192.0.2.1", 443))


def test_outside_name_is_not_even_looked_up() -> None:
    """A vendor's host name stops at the look-up, for ``requests`` as for asyncio."""
    # Given / When / Then
    with pytest.raises(OutsideCallError, match=r"login\.salesforce\.com"):
        requests.get("https://login.salesforce.com/", timeout=5)
    with pytest.raises(OutsideCallError, match=r"api\.hubapi\.com"):
        asyncio.run(asyncio.open_connection("api.hubapi.com", 443))


def test_loopback_works() -> None:
    """A server on 127.0.0.1 is reached by address and by the name ``localhost``."""
    # Given a listening socket
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]

        # When it is called by address and by name / Then both connect
        for host in ("127.0.0.1", "localhost"):
            with socket.create_connection((host, port), timeout=5) as client:
                assert client.getpeername()[1] == port


@pytest.mark.parametrize(
    ("host", "local"),
    [
        ("127.0.0.1", True),
        ("127.8.8.8", True),
        ("::1", True),
        ("crm.localhost", True),
        (b"localhost", True),
        (None, True),
        ("build-7", True),
        ("10.0.0.1", False),
        ("localhost.example.com", False),
        ("example.com", False),
        ("0.0.0.0.example", False),
    ],
)
def test_what_counts_as_this_machine(host: str | bytes | None, *, local: bool) -> None:
    """Loopback addresses, ``localhost`` and the hosts named for the run; nothing that only looks like them."""
    # Given a run that was told to use build-7 / When / Then
    assert is_local(host, frozenset({"build-7"})) is local
