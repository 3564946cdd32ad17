"""The one file of `cli` that speaks Kafka: topics, producing commands, reading results."""

import json
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from confluent_kafka import (
    Consumer,
    KafkaError,
    KafkaException,
    Message,
    Producer,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from cli.problems import Unreachable
from cli.topic_plan import TopicSpec

#: Longest wait for an answer of the broker to an administrative question, in seconds.
ADMIN_TIMEOUT_S = 10.0
#: How long a produced message may take until it is acknowledged, in seconds.
DELIVERY_TIMEOUT_S = 30.0


@dataclass(frozen=True, slots=True)
class ReadMessage:
    """A message as read; `value` is the JSON object, or None where it holds none."""

    topic: str
    partition: int
    offset: int
    headers: Mapping[str, str]
    value: Mapping[str, Any] | None


def create_topics(bootstrap_servers: str, specs: Sequence[TopicSpec]) -> dict[str, bool]:
    """Create the topics that are not there.

    Returns:
        Topic -> True where it was created now.

    Raises:
        Unreachable: The broker does not answer, or refuses.
    """
    admin = _admin(bootstrap_servers)
    _metadata(admin, bootstrap_servers)  # a broker that is away is told as such
    wanted = [NewTopic(one.name, one.partitions, one.replication, config=dict(one.config)) for one in specs]
    # The futures are resolved by the client's own thread: `admin` must live until the last one.
    futures = admin.create_topics(wanted, operation_timeout=ADMIN_TIMEOUT_S, request_timeout=ADMIN_TIMEOUT_S)
    created = {name: _was_created(bootstrap_servers, name, future.result) for name, future in futures.items()}
    _wait_until_seen(admin, bootstrap_servers, created)
    return created


def _wait_until_seen(admin: AdminClient, bootstrap_servers: str, names: Iterable[str]) -> None:
    """A broker answers before it shows a new topic to everybody."""
    deadline = time.monotonic() + ADMIN_TIMEOUT_S
    while any(name not in _metadata(admin, bootstrap_servers).topics for name in names):
        if time.monotonic() > deadline:
            raise Unreachable(f"the broker at {bootstrap_servers} created topics and does not show them; try again")
        time.sleep(0.05)


def _was_created(bootstrap_servers: str, name: str, result: Callable[[], Any]) -> bool:
    try:
        result()
    except KafkaException as problem:
        error = _error_of(problem)
        if error.code() == KafkaError.TOPIC_ALREADY_EXISTS:
            return False
        raise Unreachable(f"the broker at {bootstrap_servers} refused topic {name}: {error.str()}") from None
    return True


def partitions_of_topics(bootstrap_servers: str) -> dict[str, int]:
    """Topic -> number of partitions, of all topics that this client may see.

    Raises:
        Unreachable: The broker does not answer.
    """
    found = _metadata(_admin(bootstrap_servers), bootstrap_servers)
    return {name: len(topic.partitions) for name, topic in found.topics.items()}


def _admin(bootstrap_servers: str) -> AdminClient:
    return AdminClient({"bootstrap.servers": bootstrap_servers, **_QUIET})


#: Connection failures are told once, by the exception, and not again by the client's own log lines.
_QUIET: Mapping[str, Any] = {"log_level": 0, "socket.connection.setup.timeout.ms": 5000}


def _metadata(client: AdminClient | Consumer, bootstrap_servers: str) -> Any:
    try:
        return client.list_topics(timeout=ADMIN_TIMEOUT_S)
    except KafkaException as problem:
        raise _unreachable(bootstrap_servers, problem) from None


def _unreachable(bootstrap_servers: str, problem: KafkaException) -> Unreachable:
    return Unreachable(
        f"no answer from Kafka at {bootstrap_servers} ({_error_of(problem).str()}); "
        "check KAFKA_BOOTSTRAP_SERVERS and that the broker runs"
    )


def _error_of(problem: KafkaException) -> KafkaError:
    error = problem.args[0]
    assert isinstance(error, KafkaError)
    return error


class CommandProducer:
    """Produces messages and knows when the broker has them all.

    The partitioner is the one that every producer of these topics uses (Java's default and librdkafka's differ).
    """

    def __init__(self, bootstrap_servers: str) -> None:
        self._servers = bootstrap_servers
        self._refused: list[str] = []
        self._producer = Producer(
            {
                "bootstrap.servers": bootstrap_servers,
                "partitioner": "murmur2_random",
                "enable.idempotence": True,
                "linger.ms": 5,
                "compression.type": "lz4",
                "delivery.timeout.ms": int(DELIVERY_TIMEOUT_S * 1000),
                **_QUIET,
            }
        )

    def send(self, topic: str, key: str, headers: Sequence[tuple[str, bytes]], value: bytes) -> None:
        """Hand one message over; `flush` tells whether it arrived."""
        self._producer.produce(topic, value, key, headers=list(headers), on_delivery=self._on_delivery)
        self._producer.poll(0)

    def flush(self) -> None:
        """Wait until the broker acknowledged everything.

        Raises:
            Unreachable: It did not, or refused a message.
        """
        left = self._producer.flush(DELIVERY_TIMEOUT_S + 1)
        if self._refused or left:
            why = self._refused[0] if self._refused else "no acknowledgement"
            count = len(self._refused) + left
            raise Unreachable(
                f"{count} message(s) did not reach Kafka at {self._servers}: {why}; "
                "check KAFKA_BOOTSTRAP_SERVERS and the topics (crm-sync doctor)"
            )

    def _on_delivery(self, error: KafkaError | None, _message: Message) -> None:
        if error is not None:
            self._refused.append(error.str())


class TopicReader:
    """Reads whole topics with `isolation.level=read_committed`, outside any consumer group.

    Args:
        bootstrap_servers: The broker.
        topics: Names; a topic that is not there is an error.
        from_beginning: Else only what arrives after the reader was made.
    """

    def __init__(self, bootstrap_servers: str, topics: Sequence[str], *, from_beginning: bool = False) -> None:
        self._consumer = Consumer(
            {
                "bootstrap.servers": bootstrap_servers,
                "group.id": "crm-sync-cli",  # required by the client; never joined, nothing is committed
                "enable.auto.commit": False,
                "isolation.level": "read_committed",
                "enable.partition.eof": True,
                **_QUIET,
            }
        )
        self._at_end: set[tuple[str, int]] = set()
        try:
            self._partitions = self._assign(bootstrap_servers, topics, from_beginning=from_beginning)
        except BaseException:
            self._consumer.close()
            raise

    def _assign(self, servers: str, topics: Sequence[str], *, from_beginning: bool) -> int:
        known = _metadata(self._consumer, servers).topics
        missing = [topic for topic in topics if topic not in known]
        if missing:
            raise Unreachable(f"topic {', '.join(missing)} is not there; create it with: crm-sync topics")
        wanted = [TopicPartition(topic, number) for topic in topics for number in known[topic].partitions]
        try:
            for place in wanted:
                # Fixed here, not left to the first fetch: what is produced from now on must not be missed.
                low, high = self._consumer.get_watermark_offsets(place, timeout=ADMIN_TIMEOUT_S)
                place.offset = low if from_beginning else high
        except KafkaException as problem:
            raise _unreachable(servers, problem) from None
        self._consumer.assign(wanted)
        return len(wanted)

    def poll(self, timeout_s: float) -> ReadMessage | None:
        """The next message, or None when none came within `timeout_s` or a partition's end was reached."""
        message = self._consumer.poll(timeout_s)
        if message is None:
            return None
        error = message.error()
        if error is None:
            return _read(message)
        if error.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001 - the client's own name of the event
            self._at_end.add((str(message.topic()), int(message.partition() or 0)))
            return None
        raise Unreachable(f"reading {message.topic()} failed: {error.str()}")

    def to_end(self, *, timeout_s: float = 30.0) -> Iterator[ReadMessage]:
        """Every committed message up to the end of each partition.

        Raises:
            Unreachable: An end was not reached within `timeout_s` of silence.
        """
        silent_s, step_s = 0.0, 0.25
        while len(self._at_end) < self._partitions:
            ends = len(self._at_end)
            message = self.poll(step_s)
            if message is not None:
                yield message
            silent_s = 0.0 if message is not None or len(self._at_end) > ends else silent_s + step_s
            if silent_s > timeout_s:
                raise Unreachable("the broker stopped answering before the end of the topic")

    def close(self) -> None:
        """Let the broker go."""
        self._consumer.close()


def _read(message: Message) -> ReadMessage:
    pairs: Any = message.headers() or ()  # the client's types are wider than what it returns
    headers = {name: (value or b"").decode(errors="replace") for name, value in pairs}
    try:
        value = json.loads(message.value() or b"")
    except ValueError:
        value = None
    where = (str(message.topic()), int(message.partition() or 0), int(message.offset() or 0))
    return ReadMessage(*where, headers, value if isinstance(value, dict) else None)
