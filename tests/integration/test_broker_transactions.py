"""What the relay's exactly-once promise stands on, asked of the broker itself: transactions, aborts, fencing."""

import time
import uuid
from collections.abc import Iterator

import pytest
from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition

from services.broker import Broker, TopicFactory

pytestmark = pytest.mark.broker

TIMEOUT_S = 20.0


def transactional_producer(broker: Broker, transactional_id: str) -> Producer:
    producer = Producer(
        {
            "bootstrap.servers": broker.bootstrap_servers,
            "transactional.id": transactional_id,
            "transaction.timeout.ms": 10_000,
            "message.timeout.ms": 10_000,
            "linger.ms": 0,
        }
    )
    producer.init_transactions(TIMEOUT_S)
    return producer


class Reader:
    """Reads one partition from its beginning.

    Args:
        broker: The broker.
        topic: A topic with one partition.
        isolation: ``read_committed`` or ``read_uncommitted``.
    """

    def __init__(self, broker: Broker, topic: str, isolation: str) -> None:
        self._consumer = Consumer(
            {
                "bootstrap.servers": broker.bootstrap_servers,
                "group.id": uuid.uuid4().hex,
                "isolation.level": isolation,
                "enable.auto.commit": False,
                "enable.partition.eof": True,
                "auto.offset.reset": "earliest",
            }
        )
        self._topic = topic

    def values(self, at_least: int = 0) -> list[bytes | None]:
        """Return every value that this reader may see, from the first offset to the end that the broker shows it.

        A broker answers a commit when it is decided, and writes the marker that lets readers through a moment later
        (KIP-98, data flow 5.1 to 5.3): a reader that expects messages reads again until they are there.

        Args:
            at_least: How many values are waited for.
        """
        deadline = time.monotonic() + TIMEOUT_S
        found = self._values_now()
        while len(found) < at_least and time.monotonic() < deadline:
            found = self._values_now()
        return found

    def _values_now(self) -> list[bytes | None]:
        self._consumer.assign([TopicPartition(self._topic, 0, 0)])
        found: list[bytes | None] = []
        while True:
            message = self._consumer.poll(TIMEOUT_S)
            assert message is not None, "the broker neither gave a message nor said that the partition ends here"
            error = message.error()
            if error is not None and error.code() == KafkaError._PARTITION_EOF:
                return found
            assert error is None, error
            found.append(message.value())

    def close(self) -> None:
        """Let the consumer go."""
        self._consumer.close()


@pytest.fixture
def topic(topics: TopicFactory) -> str:
    return topics("events")


@pytest.fixture
def committed(broker: Broker, topic: str) -> Iterator[Reader]:
    reader = Reader(broker, topic, "read_committed")
    yield reader
    reader.close()


@pytest.fixture
def uncommitted(broker: Broker, topic: str) -> Iterator[Reader]:
    reader = Reader(broker, topic, "read_uncommitted")
    yield reader
    reader.close()


def test_open_transaction_is_hidden_until_it_is_committed(
    broker: Broker, topics: TopicFactory, topic: str, committed: Reader, uncommitted: Reader
) -> None:
    """A ``read_committed`` reader sees a transaction's messages all at once, after the commit and not before."""
    # Given a transaction with two messages that have reached the broker
    producer = transactional_producer(broker, f"{topics.prefix}-relay")
    producer.begin_transaction()
    producer.produce(topic, b"first")
    producer.produce(topic, b"second")
    assert producer.flush(TIMEOUT_S) == 0

    # When it is read while open: they are there, but not for a read_committed reader
    assert uncommitted.values(at_least=2) == [b"first", b"second"]
    assert committed.values() == []

    # Then the commit shows both
    producer.commit_transaction(TIMEOUT_S)
    assert committed.values(at_least=2) == [b"first", b"second"]


def test_aborted_messages_stay_hidden(
    broker: Broker, topics: TopicFactory, topic: str, committed: Reader, uncommitted: Reader
) -> None:
    """Messages of an aborted transaction never reach a ``read_committed`` reader; the repeated batch does, once."""
    # Given a transaction that was aborted after its message had reached the broker
    producer = transactional_producer(broker, f"{topics.prefix}-relay")
    producer.begin_transaction()
    producer.produce(topic, b"given up")
    assert producer.flush(TIMEOUT_S) == 0
    producer.abort_transaction(TIMEOUT_S)

    # When the batch is sent again
    producer.begin_transaction()
    producer.produce(topic, b"repeated")
    producer.commit_transaction(TIMEOUT_S)

    # Then only the second is seen, although both lie in the partition
    assert committed.values(at_least=1) == [b"repeated"]
    assert uncommitted.values(at_least=2) == [b"given up", b"repeated"]


def test_successor_fences_its_predecessor(broker: Broker, topics: TopicFactory, topic: str, committed: Reader) -> None:
    """A producer that starts with a ``transactional.id`` shuts out the one that had it, open transaction included."""
    # Given a producer in the middle of a transaction
    transactional_id = f"{topics.prefix}-relay"
    old = transactional_producer(broker, transactional_id)
    old.begin_transaction()
    old.produce(topic, b"from the old one")
    assert old.flush(TIMEOUT_S) == 0

    # When its successor starts and sends
    new = transactional_producer(broker, transactional_id)
    new.begin_transaction()
    new.produce(topic, b"from the new one")
    new.commit_transaction(TIMEOUT_S)

    # Then the old one cannot commit any more, for good, and its message is never seen
    with pytest.raises(KafkaException) as caught:
        old.commit_transaction(TIMEOUT_S)
    error = caught.value.args[0]
    assert error.code() == KafkaError._FENCED
    assert error.fatal()
    assert committed.values(at_least=1) == [b"from the new one"]


def test_transaction_covers_several_topics(broker: Broker, topics: TopicFactory) -> None:
    """Events and the relay's cursor, in different topics, are committed or aborted together."""
    # Given an events topic and a compacted cursor topic
    events, cursor = topics("events"), topics("cursor", config={"cleanup.policy": "compact"})
    readers = [Reader(broker, name, "read_committed") for name in (events, cursor)]
    producer = transactional_producer(broker, f"{topics.prefix}-relay")

    # When one batch is aborted and the next committed
    for number, end in ((1, producer.abort_transaction), (2, producer.commit_transaction)):
        producer.begin_transaction()
        producer.produce(events, f"event {number}".encode())
        producer.produce(cursor, f"cursor {number}".encode(), key=b"shard-0")
        assert producer.flush(TIMEOUT_S) == 0
        end(TIMEOUT_S)

    # Then both topics show the second batch alone
    assert [reader.values(at_least=1) for reader in readers] == [[b"event 2"], [b"cursor 2"]]
    for reader in readers:
        reader.close()
