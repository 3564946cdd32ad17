"""How this service's Kafka clients are configured, and a bounded wait for the broker.

Options: https://github.com/confluentinc/librdkafka/blob/v2.16.0/CONFIGURATION.md
"""

import time

from confluent_kafka import Consumer, KafkaException, Producer

from consumer.settings import RelaySettings, WorkerSettings


def commands_consumer(settings: WorkerSettings) -> Consumer:
    """The consumer of the commands topic: eager range assignment, static membership for a worker with a stable name."""
    options: dict[str, str | int | bool] = {
        "bootstrap.servers": settings.kafka_bootstrap_servers,
        "group.id": settings.group_id,
        "partition.assignment.strategy": "range",
        "enable.auto.commit": False,
        "enable.auto.offset.store": False,
        "auto.offset.reset": "earliest",
        "isolation.level": "read_committed",
        "session.timeout.ms": int(settings.session_timeout_s * 1000),
        "heartbeat.interval.ms": max(100, int(settings.session_timeout_s * 1000 / 10)),
        "max.poll.interval.ms": int(max(settings.max_poll_interval_s, settings.session_timeout_s) * 1000),
        # Small, because a pause throws away what was fetched ahead.
        "queued.max.messages.kbytes": 4096,
        "fetch.wait.max.ms": 100,
        "topic.metadata.refresh.interval.ms": 30_000,
    }
    if settings.instance_id:
        options["group.instance.id"] = settings.instance_id
    return Consumer(options)


def transactional_producer(settings: RelaySettings, transactional_id: str) -> Producer:
    """The producer of one relay shard. No offsets go into its transactions: the consumer commits them."""
    timeout_ms = int(settings.transaction_timeout_s * 1000)
    return Producer(
        {
            "bootstrap.servers": settings.kafka_bootstrap_servers,
            "transactional.id": transactional_id,
            "transaction.timeout.ms": timeout_ms,
            "message.timeout.ms": timeout_ms,
            # librdkafka's default differs from Java's: all producers of one topic must agree on the partition of a key.
            "partitioner": "murmur2_random",
            "linger.ms": 1,
            "message.max.bytes": 2_000_000,
            # With one broker, rebootstrapping can lose the coordinator for good.
            "metadata.recovery.strategy": "none",
        }
    )


def cursor_reader(settings: RelaySettings) -> Consumer:
    """A consumer outside of any group's assignment, to read a shard's cursor back."""
    return Consumer(
        {
            "bootstrap.servers": settings.kafka_bootstrap_servers,
            "group.id": f"{settings.relay_id_prefix}-relay-cursor",
            "enable.auto.commit": False,
            "isolation.level": "read_committed",
            "auto.offset.reset": "earliest",
            "enable.partition.eof": True,
            "fetch.wait.max.ms": 20,
        }
    )


def wait_for_broker(client: Consumer | Producer, within_s: float) -> str | None:
    """Ask for metadata until the broker answers, for at most `within_s` seconds.

    Returns:
        None when it answered; else what the client said last.
    """
    deadline = time.monotonic() + within_s
    while True:
        left_s = deadline - time.monotonic()
        try:
            client.list_topics(timeout=max(0.1, min(5.0, left_s)))
        except KafkaException as problem:
            reason = str(problem.args[0].str())
        else:
            return None
        if time.monotonic() >= deadline:
            return reason
