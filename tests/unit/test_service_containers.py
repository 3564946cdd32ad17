"""The containers that a Docker engine is asked for, read off an engine that records the orders it gets."""

import json
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import urlsplit

import pytest
from testcontainers.core.config import testcontainers_config

from cli.embedded import broker
from services import containers

API_VERSION = "1.44"


class RecordingEngine(ThreadingHTTPServer):
    """Speaks as much of the Docker Engine API (https://docs.docker.com/reference/api/engine/) as one container needs.

    Attributes:
        ordered: The body of each "create container".
        removed: The paths of each "remove container".
        on_start: Called with the published port when a container is started.
    """

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Endpoint)
        self.ordered: list[dict[str, Any]] = []
        self.removed: list[str] = []
        self.on_start: Callable[[int], None] = lambda _port: None

    def published(self) -> dict[str, Any]:
        """The only published port of the container ordered last, with its interface."""
        (bindings,) = self.ordered[-1]["HostConfig"]["PortBindings"].values()
        (binding,) = bindings
        return dict(binding)

    def answer(self, method: str, path: str, body: bytes) -> tuple[int, Any]:
        """Carry out one request: its status and its document."""
        if method == "POST" and path.endswith("/containers/create"):
            self.ordered.append(json.loads(body))
            return 201, {"Id": "c0ffee", "Warnings": []}
        if method == "POST" and path.endswith("/start") and "/containers/" in path:
            self.on_start(int(self.published()["HostPort"]))
        if method == "POST" and path.endswith("/exec"):
            return 201, {"Id": "e1"}
        if method == "DELETE":
            self.removed.append(path)
        return (200, self._document(path)) if method == "GET" else (204, "")

    def _document(self, path: str) -> Any:
        if path.endswith("/version"):
            return {"ApiVersion": API_VERSION, "Version": "28.0.0"}
        if path.endswith("/_ping"):
            return "OK"
        if path.endswith("/networks"):
            return []
        if path.endswith("/exec/e1/json"):
            return {"ExitCode": 0}
        config = {"Image": "image", "Labels": {}, "Tty": False}
        state = {"Status": "running", "Running": True}
        return {"Id": "c0ffee", "Name": "/c", "Config": config, "State": state, "NetworkSettings": {"Ports": {}}}


class _Endpoint(BaseHTTPRequestHandler):
    server: RecordingEngine

    def _reply(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        status, document = self.server.answer(self.command, urlsplit(self.path).path, body)
        payload = document.encode() if isinstance(document, str) else json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(payload)))
        self.end_headers()
        self.wfile.write(payload)

    do_GET = do_POST = do_DELETE = do_HEAD = _reply  # noqa: N815 - the names that http.server calls

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - http.server's signature
        """Keep the requests out of the test's output."""


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> Iterator[RecordingEngine]:
    with RecordingEngine() as server:
        thread = Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        monkeypatch.setenv("DOCKER_HOST", f"tcp://127.0.0.1:{server.server_port}")
        monkeypatch.setattr(testcontainers_config, "ryuk_disabled", True)  # the reaper is a second container
        yield server
        server.shutdown()
        thread.join()


def test_engine_that_answers_is_recognised(engine: RecordingEngine) -> None:
    """An engine counts when it answers a ping."""
    # Given an engine / When / Then
    assert engine.server_port > 0
    assert containers.docker_answers()


@pytest.mark.parametrize("address", ["unix:///nonexistent/docker.sock", "tcp://127.0.0.1:1"])
def test_client_without_an_engine_does_not_count(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where nobody listens there is no Docker, and asking leaves no open socket behind."""
    # Given an address without an engine
    monkeypatch.setenv("DOCKER_HOST", address)

    # When / Then
    assert not containers.docker_answers()


def test_kafka_is_published_to_this_machine_alone_and_announces_that_address(
    engine: RecordingEngine, tmp_path: Path
) -> None:
    """The broker's port is open on 127.0.0.1 only, clients are sent there, and the start waits until it answers."""
    # Given an engine whose container is a broker on the published port
    started: list[broker.RunningBroker] = []
    engine.on_start = lambda port: started.append(broker.start(broker.BrokerConfig(tmp_path, port=port)))

    # When Kafka is started and stopped, and a crash lies between
    kafka = containers.start_kafka()
    published, ordered = engine.published(), engine.ordered[-1]
    kafka.kill()
    kafka.restart()
    kafka.stop()
    started[0].stop()

    # Then the order says so
    assert published["HostIp"] == "127.0.0.1"
    assert kafka.bootstrap_servers == f"127.0.0.1:{published['HostPort']}"
    assert f"KAFKA_ADVERTISED_LISTENERS=PLAINTEXT://{kafka.bootstrap_servers}" in ordered["Env"]
    assert ordered["Image"] == containers.KAFKA_IMAGE
    assert len(engine.removed) == 1


def test_kafka_that_never_answers_is_removed_and_reported(
    engine: RecordingEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A container in which no broker comes up is removed, and the error names image and address."""
    # Given an engine whose container does nothing, and little patience
    monkeypatch.setattr(containers, "READY_WITHIN_S", 0.1)

    # When Kafka is started
    with pytest.raises(TimeoutError, match=r"apache/kafka:.* at 127\.0\.0\.1:\d+ did not answer within 0\.1 s"):
        containers.start_kafka()

    # Then its container is gone
    assert len(engine.removed) == 1


def test_postgres_is_published_to_this_machine_alone(engine: RecordingEngine) -> None:
    """The database's port is open on 127.0.0.1 only, and the URL leads there."""
    # Given an engine / When PostgreSQL is started and stopped
    database = containers.start_postgres()
    published, ordered = engine.published(), engine.ordered[-1]
    database.stop()

    # Then
    assert published["HostIp"] == "127.0.0.1"
    assert database.url == f"postgresql://postgres:postgres@127.0.0.1:{published['HostPort']}/postgres"
    assert ordered["Image"] == containers.POSTGRES_IMAGE


def test_ports_of_an_engine_elsewhere_are_published_to_us() -> None:
    """On a remote engine a port of its loopback interface would be out of reach."""
    # Given / When / Then
    assert containers.binding("127.0.0.1", 19092) == ("127.0.0.1", 19092)
    assert containers.binding("build-7", 19092) == 19092
