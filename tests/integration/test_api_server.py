"""The API as a process: how it starts, says that it cannot, stays ready, logs and stops."""

import http.client
import json
import signal
import socket
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from threading import Thread
from urllib.parse import urlsplit

import pytest
from sqlalchemy import text

from cli.embedded import postgres
from crm.store.engine import create_engine
from services.api_house import opened
from services.api_server import environment, free_port, launch, start_api
from services.database import alembic


def test_every_missing_setting_is_named_at_once(tmp_path: Path) -> None:
    """An empty environment ends with exit code 1 and the whole list."""
    # Given no settings
    needed = ["DATABASE_URL", "CRM_SYNC_MASTER_KEYS", "CRM_SYNC_JWT_SECRET", "INTEGRATION_OAUTH_REDIRECT_BASE"]
    env = environment(free_port(), "unused")
    # When
    process = launch({name: value for name, value in env.items() if name not in needed}, tmp_path / "log")
    exit_code = process.wait(30)
    # Then
    assert exit_code == 1
    said = (tmp_path / "log").read_text(encoding="utf-8")
    assert [name for name in needed if name not in said] == []


def test_without_database_it_gives_up_after_a_while_with_a_clear_line(tmp_path: Path) -> None:
    """A bounded wait, one line that names the address and what to check but no password, exit code 1."""
    # Given a port where nobody listens
    url = f"postgresql://fake:visibly-fake-password@127.0.0.1:{free_port()}/nothing"
    # When
    started = time.monotonic()
    process = launch(environment(free_port(), url, CRM_SYNC_DATABASE_WAIT_S="1"), tmp_path / "log")
    exit_code = process.wait(30)
    # Then
    said = (tmp_path / "log").read_text(encoding="utf-8")
    assert exit_code == 1
    assert time.monotonic() - started < 20
    assert "did not answer within 1 s" in said
    assert "check DATABASE_URL" in said
    assert "visibly-fake-password" not in said
    assert "Traceback" not in said


def test_it_waits_for_a_database_that_comes_up_late(tmp_path: Path) -> None:
    """Started together with its database, it waits instead of ending."""
    # Given an API that is started first
    config = postgres.PostgresConfig(tmp_path / "postgres")
    with postgres.start(config) as server:
        url = server.url
        alembic(url, "upgrade", "head")
        server.stop()
        api_port = free_port()
        process = launch(environment(api_port, url, CRM_SYNC_DATABASE_WAIT_S="60"), tmp_path / "log")
        log = tmp_path / "log"
        _until(lambda: "database_not_reachable" in log.read_text(encoding="utf-8"))
        # When the database comes up
        with postgres.start(postgres.PostgresConfig(tmp_path / "postgres", port=urlsplit(url).port)):
            _until(lambda: "api_ready" in log.read_text(encoding="utf-8"))
            process.send_signal(signal.SIGTERM)
            # Then
            assert process.wait(30) == 0


def test_an_address_that_is_taken_ends_with_an_exit_code(database_url: str, tmp_path: Path) -> None:
    """A second API on the same port does not pretend to run."""
    # Given
    api = start_api(database_url, tmp_path)
    # When
    port = urlsplit(api.origin).port or 0
    process = launch(environment(port, database_url), tmp_path / "second.log")
    exit_code = process.wait(60)
    # Then
    assert exit_code == 1
    assert "in use" in (tmp_path / "second.log").read_text(encoding="utf-8")
    assert api.stop() == 0


def test_it_is_not_ready_until_the_migrations_are_at_head(empty_database_url: str, tmp_path: Path) -> None:
    """`/readyz` says which revision is missing; `/healthz` does not care."""
    # Given an empty database
    api = start_api(empty_database_url, tmp_path)
    # When
    before, health = api.call("GET", "/readyz"), api.call("GET", "/healthz")
    alembic(empty_database_url, "upgrade", "head")
    after = api.call("GET", "/readyz")
    # Then
    assert (before.status, health.status, after.status) == (503, 200, 200)
    assert "run crm-sync migrate" in before.json["checks"]["migrations"]
    assert api.stop() == 0


def test_a_database_that_goes_away_is_503_and_comes_back(tmp_path: Path) -> None:
    """An outage is told as such (503, Retry-After), and the API heals by itself."""
    # Given
    config = postgres.PostgresConfig(tmp_path / "postgres")
    server = postgres.start(config)
    alembic(server.url, "upgrade", "head")
    with opened(server.url, tmp_path, None) as house:
        assert house.call("GET").status == 200
        # When
        server.stop()
        ready, answer = house.api.call("GET", "/readyz"), house.call("GET")
        with postgres.start(postgres.PostgresConfig(tmp_path / "postgres", port=urlsplit(server.url).port)):
            healed = house.call("GET")
        # Then
        assert (ready.status, answer.status, healed.status) == (503, 503, 200)
        assert answer.json["code"] == "database_unavailable"
        assert answer.headers["retry-after"] == "5"
        assert "postgresql://" not in house.api.log.read_text(encoding="utf-8")


def test_sigterm_lets_a_request_in_flight_finish(database_url: str, tmp_path: Path) -> None:
    """A deployment does not cut off a caller that is being answered."""
    # Given a request that waits for a lock which another transaction holds
    with opened(database_url, tmp_path, None) as house:
        engine = create_engine(database_url, pool_size=1)
        statuses: list[int] = []
        with engine.begin() as blocking:
            blocking.execute(text("LOCK TABLE workspaces IN ACCESS EXCLUSIVE MODE"))
            waiting = Thread(target=lambda: statuses.append(house.call("GET").status))
            waiting.start()
            time.sleep(0.5)
            # When the process is told to stop, and the lock is given up a little later
            house.api.process.send_signal(signal.SIGTERM)
            time.sleep(0.5)
        waiting.join(20)
        engine.dispose()
    # Then
    assert statuses == [200]


def test_a_chunked_body_is_bounded_too(database_url: str, tmp_path: Path) -> None:
    """A body without length cannot be endless."""
    # Given
    with opened(database_url, tmp_path, None) as house:
        connection = http.client.HTTPConnection(urlsplit(house.api.origin).netloc, timeout=30)
        headers = {**house.api.bearer(house.workspace), "Content-Type": "application/json"}
        headers["Transfer-Encoding"] = "chunked"
        path = house.path("/hubspot/sync-commands")
        # Just over the limit: what the server leaves unread fits into the sockets' buffers, so that the line is not cut
        # before the answer is read.
        chunks = (b" " * 65_536 for _ in range(33))
        # When
        with closing(connection):
            connection.request("POST", path, chunks, headers, encode_chunked=True)
            reply = connection.getresponse()
            answer = json.loads(reply.read())
    # Then
    assert (reply.status, answer["code"]) == (413, "body_too_large")


def test_a_request_is_logged_by_route_and_id_and_without_its_address(database_url: str, tmp_path: Path) -> None:
    """One JSON line: the route's template, status, duration and the caller's request id; no query, no header."""
    # Given
    with opened(database_url, tmp_path, None) as house:
        # When
        house.call("GET", "?secret-query=1", headers={"X-Request-ID": "caller-id-1"})
        house.call("GET", "", headers={"X-Request-ID": "bad id\t<script>"})
        lines = [line for line in house.api.log_lines() if line["event"] == "http_request"]
        log = house.api.log.read_text(encoding="utf-8")
    # Then
    assert (lines[0]["request_id"], lines[0]["status"], lines[0]["method"]) == ("caller-id-1", 200, "GET")
    assert lines[0]["route"] == "/api/v1/workspaces/{workspace_id}/integrations"
    assert "secret-query" not in log
    assert "script" not in log
    assert "Bearer" not in log


def test_what_is_no_http_is_refused_without_being_logged(database_url: str, tmp_path: Path) -> None:
    """The server's own log repeats no request line: it may hold a code."""
    # Given
    with opened(database_url, tmp_path, None) as house:
        port = urlsplit(house.api.origin).port or 0
        # When
        replies = []
        for rest in (b" HTTP/9.x", b"x" * 9_000 + b" HTTP/1.1"):
            with socket.create_connection(("127.0.0.1", port), timeout=10) as raw:
                raw.sendall(b"GET /cb?code=visibly-fake-code" + rest + b"\r\n\r\n")
                replies.append(raw.recv(12))
        log = house.api.log.read_text(encoding="utf-8")
    # Then
    assert replies == [b"HTTP/1.1 400", b"HTTP/1.1 414"]
    assert "Invalid request from ip=127.0.0.1" in log
    assert "visibly-fake-code" not in log


def test_a_wrong_master_key_is_told_at_the_start(database_url: str, tmp_path: Path) -> None:
    """A key of the wrong length ends the start with exit code 1 and a line that does not show it."""
    # Given
    env = environment(free_port(), database_url, CRM_SYNC_MASTER_KEYS="k1:dmlzaWJseSBmYWtl")
    # When
    exit_code = launch(env, tmp_path / "log").wait(30)
    # Then
    said = (tmp_path / "log").read_text(encoding="utf-8")
    assert exit_code == 1
    assert "CRM_SYNC_MASTER_KEYS: key 1" in said
    assert "dmlzaWJseSBmYWtl" not in said


@pytest.mark.parametrize("threads", [1, 4])
def test_requests_run_side_by_side(database_url: str, tmp_path: Path, threads: int) -> None:
    """As many requests as threads are served at once; more wait and are answered."""
    # Given
    with opened(database_url, tmp_path, None, CRM_SYNC_API_THREADS=str(threads)) as house:
        statuses: list[int] = []
        # When
        callers = [Thread(target=lambda: statuses.append(house.call("GET").status)) for _ in range(20)]
        for caller in callers:
            caller.start()
        for caller in callers:
            caller.join(30)
    # Then
    assert statuses == [200] * 20


def _until(condition: Callable[[], bool], within_s: float = 30.0) -> None:
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.05)
