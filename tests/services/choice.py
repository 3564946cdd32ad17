"""Which broker and which database the suite runs on: decided from the environment, before anything is started."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

DatabaseKind = Literal["env", "docker", "embedded"]
BrokerKind = Literal["env", "docker", "embedded", "apache"]

DATABASE_URL = "DATABASE_URL"
BOOTSTRAP_SERVERS = "KAFKA_BOOTSTRAP_SERVERS"
TEST_BROKER = "CRM_SYNC_TEST_BROKER"
TEST_BROKER_VALUES = ("apache", "docker", "embedded")


class UnknownBrokerError(ValueError):
    """``CRM_SYNC_TEST_BROKER`` holds a word that names no broker."""


@dataclass(frozen=True, slots=True)
class DatabaseChoice:
    """The database server of a run.

    Attributes:
        kind: ``env`` is the one that ``DATABASE_URL`` names.
        url: Its URL, for ``env`` alone.
    """

    kind: DatabaseKind
    url: str | None = None

    def __str__(self) -> str:
        names = {
            "env": "the server that DATABASE_URL names",
            "docker": "PostgreSQL in a container (testcontainers)",
            "embedded": "embedded PostgreSQL (no DATABASE_URL, no Docker engine)",
        }
        return names[self.kind]


@dataclass(frozen=True, slots=True)
class BrokerChoice:
    """The broker of a run.

    Attributes:
        kind: ``env`` is the one that ``KAFKA_BOOTSTRAP_SERVERS`` names, ``apache`` runs on this machine's JVM.
        is_apache: Whether it is known to be Apache Kafka, on which the tests marked ``apache`` count.
        bootstrap_servers: Its address, for ``env`` alone.
    """

    kind: BrokerKind
    is_apache: bool
    bootstrap_servers: str | None = None

    def __str__(self) -> str:
        names = {
            "env": f"the broker at {self.bootstrap_servers}" + (" (Apache Kafka)" if self.is_apache else ""),
            "docker": "Apache Kafka in a container (testcontainers)",
            "embedded": "embedded noida-db (no KAFKA_BOOTSTRAP_SERVERS, no Docker engine)",
            "apache": "Apache Kafka on this machine's JVM",
        }
        return names[self.kind]


def choose_database(environment: Mapping[str, str], docker_answers: Callable[[], bool]) -> DatabaseChoice:
    """Choose the database: the one named in the environment, else Docker, else the embedded one.

    Args:
        environment: The process's variables; an empty one counts as absent.
        docker_answers: Whether a Docker engine answers; asked only when it matters.
    """
    url = environment.get(DATABASE_URL, "")
    if url:
        return DatabaseChoice("env", url)
    return DatabaseChoice("docker" if docker_answers() else "embedded")


def choose_broker(environment: Mapping[str, str], docker_answers: Callable[[], bool]) -> BrokerChoice:
    """Choose the broker: the one named in the environment, else the asked kind, else Docker, else the embedded one.

    ``CRM_SYNC_TEST_BROKER`` asks for a kind. Beside ``KAFKA_BOOTSTRAP_SERVERS`` the word ``apache`` vouches that the
    broker named there is Apache Kafka; a broker in the environment is otherwise taken for one that may not be.

    Raises:
        UnknownBrokerError: ``CRM_SYNC_TEST_BROKER`` is none of ``apache``, ``docker``, ``embedded``.
    """
    asked = environment.get(TEST_BROKER, "")
    if asked and asked not in TEST_BROKER_VALUES:
        raise UnknownBrokerError(
            f"{TEST_BROKER}={asked!r}: use one of {', '.join(TEST_BROKER_VALUES)}, or leave it empty"
        )
    servers = environment.get(BOOTSTRAP_SERVERS, "")
    if servers:
        return BrokerChoice("env", asked == "apache", servers)
    if asked == "apache":
        return BrokerChoice("apache", is_apache=True)
    if asked == "docker" or (not asked and docker_answers()):
        return BrokerChoice("docker", is_apache=True)
    return BrokerChoice("embedded", is_apache=False)
