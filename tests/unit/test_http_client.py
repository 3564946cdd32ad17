"""The outgoing HTTP client against real sockets that behave badly, and its allow-list."""

import gzip
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from unittest import mock

import pytest

from crm import http
from crm.errors import CrmUnavailable, GiveUp, LeaseLost
from crm.http import AllowedHosts, HttpClient, Reply
from crm.model import CallScope

Behaviour = Callable[[socket.socket], None]


@contextmanager
def serving(behave: Behaviour) -> Iterator[tuple[str, list[bytes]]]:
    """A server that reads one request head a connection and then behaves as told; its origin and the heads."""
    heads: list[bytes] = []
    stopping = threading.Event()

    def serve(connection: socket.socket) -> None:
        with connection:
            try:
                while not stopping.is_set() and (head := connection.recv(65536)):
                    heads.append(head)
                    behave(connection)
            except OSError:
                stopping.wait(0)

    def accept() -> None:
        while not stopping.is_set():
            try:
                connection, _address = listener.accept()
            except OSError:
                return
            thread = threading.Thread(target=serve, args=(connection,), daemon=True)
            thread.start()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        acceptor = threading.Thread(target=accept, daemon=True)
        acceptor.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}", heads
        stopping.set()
        listener.shutdown(socket.SHUT_RDWR)
        acceptor.join(5)


def client_for(origin: str, timeout_s: float = 0.6) -> HttpClient:
    return HttpClient(timeout_s=timeout_s, connect_timeout_s=0.3, allowed_hosts=AllowedHosts(("crm.example",), origin))


def answering(reply: bytes) -> Behaviour:
    return lambda connection: connection.sendall(reply)


def ok(body: bytes, *headers: bytes) -> bytes:
    lines = [b"HTTP/1.1 200 OK", b"Content-Length: %d" % len(body), *headers]
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


def dripping(start: bytes, drop: bytes) -> Behaviour:
    def drip(connection: socket.socket) -> None:
        connection.sendall(start)
        for _ in range(100):
            time.sleep(0.05)
            connection.sendall(drop)

    return drip


def test_any_status_is_a_reply() -> None:
    """4xx and 5xx are for the adapter to judge."""
    with serving(answering(b'HTTP/1.1 418 x\r\nContent-Length: 8\r\nX-A: b\r\n\r\n{"a": 1}')) as (origin, heads):
        # When
        reply = client_for(origin).send("GET", f"{origin}/path", params={"q": "ä b"})

        # Then
        assert (reply.status, reply.json(), reply.headers["x-a"]) == (418, {"a": 1}, "b")
        assert heads[0].startswith(b"GET /path?q=%C3%A4+b HTTP/1.1")
        assert b"User-Agent: morket-crm-sync" in heads[0]


@pytest.mark.parametrize(
    "behave",
    [
        pytest.param(dripping(b"HTTP/1.1 200 OK\r\nX-Long: ", b"a"), id="headers"),
        pytest.param(dripping(b"HTTP/1.1 200 OK\r\n", b"A: b\r\n"), id="endless headers"),
        pytest.param(dripping(b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n", b"a"), id="body"),
        pytest.param(dripping(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\na\r\n"), id="chunks"),
        pytest.param(lambda _connection: time.sleep(2), id="silence"),
    ],
)
def test_a_slow_drip_ends_at_the_deadline(behave: Behaviour) -> None:
    """The timeout is for the whole call: bytes that keep coming do not prolong it."""
    with serving(behave) as (origin, _heads):
        started = time.monotonic()

        # When
        with pytest.raises(CrmUnavailable) as raised:
            client_for(origin).send("POST", f"{origin}/slow", json={})

        # Then
        assert time.monotonic() - started < 1.2
        assert raised.value.may_have_arrived


def test_a_reader_that_does_not_read_ends_at_the_deadline() -> None:
    """Sending is part of the call's time too."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        origin = f"http://127.0.0.1:{listener.getsockname()[1]}"
        started = time.monotonic()

        # When a body is sent that no buffer holds
        with pytest.raises(CrmUnavailable) as raised:
            client_for(origin).send("POST", f"{origin}/deaf", json="x" * 30_000_000)

        # Then
        assert time.monotonic() - started < 1.5
        assert raised.value.may_have_arrived


def test_a_refused_connection_has_certainly_not_arrived() -> None:
    """Nothing listens: the call may be repeated without a thought."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        origin = f"http://127.0.0.1:{listener.getsockname()[1]}"

    # When
    with pytest.raises(CrmUnavailable) as raised:
        client_for(origin).send("POST", f"{origin}/x?secret=1", form={"client_secret": "hidden"})

    # Then the error names host and path, and nothing that could be secret
    assert not raised.value.may_have_arrived
    assert "POST 127.0.0.1/x" in str(raised.value)
    assert "secret" not in str(raised.value)


def test_a_connection_that_breaks_may_have_arrived() -> None:
    """Closed after the request was read: nobody knows."""
    with serving(lambda connection: connection.shutdown(socket.SHUT_RDWR)) as (origin, _heads):
        # When
        with pytest.raises(CrmUnavailable) as raised:
            client_for(origin).send("POST", f"{origin}/x", json={})

        # Then
        assert raised.value.may_have_arrived


def test_redirects_are_not_followed_and_cookies_not_kept() -> None:
    """A credential goes to the host that was asked for, and nothing is remembered between calls."""
    reply = b"HTTP/1.1 302 x\r\nLocation: http://127.0.0.1:1/\r\nSet-Cookie: a=b\r\nContent-Length: 0\r\n\r\n"
    with serving(answering(reply)) as (origin, heads):
        client = client_for(origin)

        # When
        statuses = [client.send("GET", f"{origin}/").status for _ in range(2)]

        # Then
        assert statuses == [302, 302]
        assert not any(b"Cookie" in head for head in heads)


def test_the_environment_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Proxies and .netrc of the machine play no part."""
    with serving(answering(ok(b"{}"))) as (origin, heads), mock.patch.dict(os.environ):
        monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
        monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:1")

        # When
        reply = client_for(origin).send("GET", f"{origin}/")

        # Then
        assert reply.status == 200
        assert b"Authorization" not in heads[0]


@pytest.mark.parametrize("is_compressed", [False, True])
def test_a_body_has_a_limit(monkeypatch: pytest.MonkeyPatch, *, is_compressed: bool) -> None:
    """Also one that is small on the wire only."""
    monkeypatch.setattr(http, "MAX_BODY_BYTES", 100_000)
    body = b"a" * 200_000
    reply = ok(gzip.compress(body), b"Content-Encoding: gzip") if is_compressed else ok(body)
    with serving(answering(reply)) as (origin, _heads), pytest.raises(CrmUnavailable):
        # When / Then
        client_for(origin).send("GET", f"{origin}/")


def test_leave_is_asked_with_the_total_timeout_just_before_the_send() -> None:
    """A scope that refuses lets nothing leave and counts nothing."""
    with serving(answering(ok(b"{}"))) as (origin, heads):
        asked: list[float] = []
        scope = CallScope(before_send=asked.append)

        def refuse(_timeout_s: float) -> None:
            raise LeaseLost("gone")

        refusing = CallScope(before_send=refuse)

        # When
        client_for(origin).send("GET", f"{origin}/", scope=scope)
        client_for(origin).send("GET", f"{origin}/", scope=scope, timeout_s=0.2)
        with pytest.raises(LeaseLost):
            client_for(origin).send("GET", f"{origin}/", scope=refusing)

        # Then
        assert (asked, scope.api_calls, refusing.api_calls, len(heads)) == ([0.6, 0.2], 2, 0, 2)


def test_a_process_that_stops_after_its_leave_sends_nothing_late() -> None:
    """The deadline runs from before the leave: who is stopped between the two finds the call too late."""
    with serving(answering(ok(b"{}"))) as (origin, heads):
        # Given: the time between leave and send is longer than the call's total timeout
        scope = CallScope(before_send=lambda timeout_s: time.sleep(timeout_s + 0.1))
        # When
        with pytest.raises(CrmUnavailable):
            client_for(origin, timeout_s=0.3).send("POST", f"{origin}/", json={}, scope=scope)
        # Then
        assert heads == []


def test_one_client_serves_many_threads() -> None:
    """Deadlines belong to calls, not to the client."""
    with serving(answering(ok(b'{"ok": true}'))) as (origin, _heads):
        client = client_for(origin, timeout_s=5.0)
        replies: list[object] = []

        def call() -> None:
            replies.extend(client.send("GET", f"{origin}/").json() for _ in range(10))

        # When
        threads = [threading.Thread(target=call) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(10)

        # Then
        assert replies == [{"ok": True}] * 80


def test_a_reply_that_is_not_json_reads_as_none_and_as_storable_text() -> None:
    """HTML pages, empty bodies and broken text raise nothing."""
    # Given
    reply = Reply(200, {}, b"<html>\x00\xff" + b"a" * 500)

    # When / Then
    assert reply.json() is None
    assert Reply(200, {}, b"").json() is None
    assert Reply(200, {}, b'{"a": Infinity}').json() is None
    assert Reply(200, {}, b"[" * 100_000).json() is None
    assert "\x00" not in reply.text()
    assert len(reply.text()) == 300


@pytest.mark.parametrize(
    ("value", "seconds"), [("7", 7.0), (" 12 ", 12.0), ("", None), ("Wed, 21 Oct 2026 07:28:00 GMT", None), ("²", None)]
)
def test_retry_after_is_read_in_seconds(value: str, seconds: float | None) -> None:
    """RFC 9110 section 10.2.3, the form in seconds."""
    # When / Then
    assert Reply(429, {"Retry-After": value}, b"").retry_after_s == seconds


ALLOWED = AllowedHosts(("salesforce.com",), "http://127.0.0.1:8100")


@pytest.mark.parametrize(
    "url",
    [
        "https://salesforce.com/x",
        "https://login.salesforce.com/services",
        "https://ACME--uat.sandbox.my.Salesforce.com:443/x",
        "http://127.0.0.1:8100/salesforce/services",
    ],
)
def test_the_vendors_own_hosts_are_allowed(url: str) -> None:
    """A host of the vendor over https, or exactly the sandbox."""
    # When / Then
    assert ALLOWED.check(url) == url


@pytest.mark.parametrize(
    "url",
    [
        "http://login.salesforce.com/",
        "https://evilsalesforce.com/",
        "https://salesforce.com.evil.example/",
        "https://user:pass@login.salesforce.com/",
        "https://login.salesforce.com@evil.example/",
        "https://login.salesforce.com:8443/",
        "https://evil.example\\.salesforce.com/",
        "https://evil.example#.salesforce.com/",
        "https://evil.example/.salesforce.com",
        "https://login.salesforce.com/ x",
        "https://login.salesforce.com\n.evil.example/",
        "https://127.0.0.1/",
        "https://[::1]/",
        "https://2130706433/",
        "http://127.0.0.1:8101/",
        "http://127.0.0.1:8100@evil.example/",
        "http://127.0.0.1:8100.evil.example/",
        "https://127.0.0.1:8100/",
        "https://\u0455alesforce.com/",
        "https://login.salesforce.com./",
        "//login.salesforce.com/",
        "javascript:alert(1)",
        "",
    ],
)
def test_every_other_url_is_refused(url: str) -> None:
    """A call with a credential goes nowhere else, however the URL is dressed up."""
    # When / Then
    with pytest.raises(GiveUp):
        ALLOWED.check(url)


def test_without_a_sandbox_no_loopback_is_allowed() -> None:
    """In production localhost is a stranger."""
    # When / Then
    with pytest.raises(GiveUp):
        AllowedHosts(("salesforce.com",)).check("http://127.0.0.1:8100/")


def test_a_header_that_http_does_not_allow_is_refused_without_showing_it() -> None:
    """A token with a line break in it is no header, and its text must not stand in the error."""
    # Given
    client = client_for("http://127.0.0.1:9")
    # When
    with pytest.raises(GiveUp) as refused:
        client.send("GET", "http://127.0.0.1:9/", headers={"Authorization": "Bearer canary\r\nX: y"})
    # Then
    assert "canary" not in str(refused.value)
    assert refused.value.__cause__ is None
