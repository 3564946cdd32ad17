"""Apache Kafka and PostgreSQL in containers, through testcontainers."""

import os
import socket
import time
from dataclasses import dataclass
from typing import cast
from urllib.parse import urlsplit

import docker
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient
from docker.errors import DockerException
from testcontainers.community.postgres import PostgresContainer
from testcontainers.core.container import DockerContainer

from cli.embedded.ports import LOOPBACK, free_port

# The same versions as in docker-compose.yml; Kafka's also in tests/kafka/pom.xml.
KAFKA_IMAGE = "apache/kafka:4.3.1"
POSTGRES_IMAGE = "postgres:17"
KAFKA_PORT = 9092
CONTROLLER_PORT = 9093
POSTGRES_PORT = 5432
DEFAULT_ENGINE = "unix:///var/run/docker.sock"
ENGINE_TIMEOUT_S = 3
READY_WITHIN_S = 90.0


def docker_answers() -> bool:
    """Tell whether a Docker engine answers within a few seconds; a client without an engine does not count."""
    if not _has_listener(os.environ.get("DOCKER_HOST") or DEFAULT_ENGINE):
        return False  # asked first, because the SDK leaves its socket open when nobody listens
    try:
        client = docker.from_env(timeout=ENGINE_TIMEOUT_S)
    except (DockerException, OSError):
        return False
    try:
        return bool(client.ping())
    except (DockerException, OSError):
        return False
    finally:
        client.close()


def _has_listener(engine: str) -> bool:
    """Tell whether somebody listens on the engine's socket file; an engine elsewhere is asked by its own protocol."""
    parts = urlsplit(engine)
    if parts.scheme != "unix":
        return True
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(ENGINE_TIMEOUT_S)
        return probe.connect_ex(parts.path) == 0


def engine_host(environment_value: str | None) -> str:
    """Return the host on which a container's published ports are reached.

    Args:
        environment_value: ``DOCKER_HOST``: absent and ``unix://`` mean this machine, ``tcp://host:port`` that host.
    """
    parts = urlsplit(environment_value or "")
    return parts.hostname if parts.scheme in {"tcp", "http", "https", "ssh"} and parts.hostname else LOOPBACK


def kafka_environment(host: str, port: int) -> dict[str, str]:
    """Return the settings of one KRaft node in the official image.

    The image turns ``KAFKA_X_Y`` into the property ``x.y`` (apache/kafka, docker/examples/README.md). A client is sent
    to the advertised address, so the published port is chosen before the container starts.

    Args:
        host: Where clients reach the engine's published ports.
        port: The published port.
    """
    return {
        "KAFKA_NODE_ID": "1",
        "KAFKA_PROCESS_ROLES": "broker,controller",
        "KAFKA_LISTENERS": f"PLAINTEXT://:{KAFKA_PORT},CONTROLLER://:{CONTROLLER_PORT}",
        "KAFKA_ADVERTISED_LISTENERS": f"PLAINTEXT://{host}:{port}",
        "KAFKA_CONTROLLER_LISTENER_NAMES": "CONTROLLER",
        "KAFKA_LISTENER_SECURITY_PROTOCOL_MAP": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "KAFKA_CONTROLLER_QUORUM_VOTERS": f"1@localhost:{CONTROLLER_PORT}",
        "KAFKA_AUTO_CREATE_TOPICS_ENABLE": "false",
        "KAFKA_GROUP_INITIAL_REBALANCE_DELAY_MS": "0",
        "KAFKA_GROUP_MIN_SESSION_TIMEOUT_MS": "1000",
        "KAFKA_OFFSETS_TOPIC_NUM_PARTITIONS": "2",
        "KAFKA_OFFSETS_TOPIC_REPLICATION_FACTOR": "1",
        "KAFKA_TRANSACTION_STATE_LOG_NUM_PARTITIONS": "2",
        "KAFKA_TRANSACTION_STATE_LOG_REPLICATION_FACTOR": "1",
        "KAFKA_TRANSACTION_STATE_LOG_MIN_ISR": "1",
    }


@dataclass(frozen=True, slots=True)
class ContainerKafka:
    """A started container with Apache Kafka.

    Attributes:
        bootstrap_servers: ``host:port``, as Kafka clients take it.
    """

    container: DockerContainer
    bootstrap_servers: str

    def stop(self) -> None:
        """Remove the container and its data."""
        self.container.stop()

    def kill(self) -> None:
        """Take the broker down with SIGKILL; its data stays in the container."""
        self.container.get_wrapped_container().kill()

    def restart(self) -> None:
        """Start the container again on the same port, after a stop when it still runs, and wait until it answers.

        Raises:
            TimeoutError: It did not answer in time.
        """
        self.container.get_wrapped_container().restart()
        _wait_until_kafka_answers(self.container, self.bootstrap_servers)


@dataclass(frozen=True, slots=True)
class ContainerPostgres:
    """A started container with PostgreSQL.

    Attributes:
        url: libpq URL of the superuser's connection to the database ``postgres``.
    """

    container: PostgresContainer
    url: str

    def stop(self) -> None:
        """Remove the container and its data."""
        self.container.stop()


def kafka_container(host: str, port: int) -> DockerContainer:
    """Describe the broker's container to the engine; nothing is started."""
    container = DockerContainer(KAFKA_IMAGE)
    for name, value in kafka_environment(host, port).items():
        container = container.with_env(name, value)
    publish(container, KAFKA_PORT, host, port)
    return container


def binding(host: str, port: int) -> int | tuple[str, int]:
    """Return where a container's port is published; where the engine is on this machine, to this machine alone."""
    return (LOOPBACK, port) if host == LOOPBACK else port


def publish(container: DockerContainer, inside: int, host: str, port: int) -> None:
    """Publish a container's port.

    ``with_bind_ports`` takes a number only and publishes on every interface; the Docker SDK below it takes the pair of
    interface and port (docker-py, ``containers.run``, parameter ``ports``).
    """
    published = cast("dict[str, int | tuple[str, int]]", container.ports)
    published[f"{inside}/tcp"] = binding(host, port)


def start_kafka() -> ContainerKafka:
    """Start Apache Kafka in a container and wait until it answers a client.

    Raises:
        TimeoutError: It did not answer in time; the text holds the end of its log.
    """
    host, port = engine_host(os.environ.get("DOCKER_HOST")), free_port()
    container = kafka_container(host, port)
    container.start()
    try:
        _wait_until_kafka_answers(container, f"{host}:{port}")
    except BaseException:
        container.stop()
        raise
    return ContainerKafka(container, f"{host}:{port}")


def _wait_until_kafka_answers(container: DockerContainer, servers: str) -> None:
    deadline = time.monotonic() + READY_WITHIN_S
    while time.monotonic() < deadline:
        admin = AdminClient({"bootstrap.servers": servers, "log_level": 0})
        try:
            if admin.list_topics(timeout=1.0).brokers:
                return
        except KafkaException:
            time.sleep(0.2)
    log = b"".join(container.get_logs())[-4000:].decode("utf-8", errors="replace")
    raise TimeoutError(
        f"{KAFKA_IMAGE} at {servers} did not answer within {READY_WITHIN_S:g} s; the end of its log:\n{log}"
    )


def start_postgres() -> ContainerPostgres:
    """Start PostgreSQL in a container and wait until it answers a query."""
    host = engine_host(os.environ.get("DOCKER_HOST"))
    container = PostgresContainer(
        POSTGRES_IMAGE, username="postgres", password="postgres", dbname="postgres", driver=None
    )
    port = free_port()
    container.ports.clear()  # the class asks for a random port on every interface
    publish(container, POSTGRES_PORT, host, port)
    container.start()
    return ContainerPostgres(container, f"postgresql://postgres:postgres@{host}:{port}/postgres")
