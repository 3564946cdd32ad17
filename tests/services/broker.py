"""The broker of a run, and topics that no two tests share."""

import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from cli.embedded import broker as embedded_broker
from services import apache_kafka, containers
from services.choice import BrokerChoice, BrokerKind
from services.workspace import KAFKA_LIBS

TOPIC_WITHIN_S = 20.0


@dataclass(frozen=True, slots=True)
class Broker:
    """A broker that a test may use.

    Attributes:
        kind: Where it comes from.
        is_apache: Whether it is Apache Kafka.
        bootstrap_servers: ``host:port``, as Kafka clients take it.
        stop: Ends the broker, when the run started it.
    """

    kind: BrokerKind
    is_apache: bool
    bootstrap_servers: str
    stop: Callable[[], None]


class BreakableBroker(Protocol):
    """A broker that can be taken down and brought back on the same address and data."""

    @property
    def bootstrap_servers(self) -> str:
        """``host:port``, as Kafka clients take it."""

    def stop(self) -> None:
        """Stop it for good."""

    def kill(self) -> None:
        """Take it down with SIGKILL."""

    def restart(self) -> None:
        """Bring it back, after a clean stop when it still runs."""


def start_broker(choice: BrokerChoice, home: Path) -> Broker:
    """Start, or take, the chosen broker.

    Args:
        choice: Which one.
        home: Folder for the files of a broker on this machine.
    """
    if choice.kind == "env":
        return Broker("env", choice.is_apache, choice.bootstrap_servers or "", _leave)
    server = start_breakable_broker(choice, home)
    return Broker(choice.kind, choice.is_apache, server.bootstrap_servers, server.stop)


def start_breakable_broker(choice: BrokerChoice, home: Path) -> BreakableBroker:
    """Start one more broker, of the run's kind, that a test may kill; nobody kills a broker that others share.

    A run on somebody else's Apache Kafka breaks one on this machine's JVM instead.
    """
    if choice.kind == "docker":
        return containers.start_kafka()
    if choice.is_apache:
        return apache_kafka.start(apache_kafka.KafkaConfig(home / "kafka", KAFKA_LIBS))
    return embedded_broker.start(embedded_broker.BrokerConfig(home / "broker"))


def _leave() -> None:
    """Leave a broker running that somebody else started."""


class TopicFactory:
    """Makes topics whose names begin with a prefix of the test's own.

    Args:
        bootstrap_servers: The broker.
    """

    def __init__(self, bootstrap_servers: str) -> None:
        self.prefix = f"test-{secrets.token_hex(5)}"
        self._admin = AdminClient({"bootstrap.servers": bootstrap_servers, "log_level": 0})

    def __call__(self, name: str, *, partitions: int = 1, config: Mapping[str, str] | None = None) -> str:
        """Create a topic and wait until every partition has a leader.

        Args:
            name: Ending of the topic's name.
            partitions: How many.
            config: Topic settings, such as ``cleanup.policy``.

        Returns:
            The full name.
        """
        topic = f"{self.prefix}.{name}"
        wanted = NewTopic(topic, num_partitions=partitions, replication_factor=1, config=dict(config or {}))
        self._admin.create_topics([wanted])[topic].result(TOPIC_WITHIN_S)
        deadline = time.monotonic() + TOPIC_WITHIN_S
        while self._led_partitions(topic) < partitions:
            if time.monotonic() > deadline:
                raise TimeoutError(f"topic {topic}: not every partition had a leader within {TOPIC_WITHIN_S:g} s")
            time.sleep(0.02)
        return topic

    def _led_partitions(self, topic: str) -> int:
        found = self._admin.list_topics(topic, timeout=TOPIC_WITHIN_S).topics[topic]
        return sum(1 for partition in found.partitions.values() if partition.leader >= 0)
