"""The cursor of a relay shard: the last batch that Kafka holds, written in the same transaction as the batch."""

import json

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

TIMEOUT_S = 10.0
#: Records at the end of the partition to look at first; compaction leaves older ones rarely.
TAIL = 50


class CursorTopicMissing(Exception):
    """The cursor topic has no partition for this shard."""


def cursor_record(batch_id: int) -> bytes:
    """The value of a cursor record."""
    return json.dumps({"batch_id": batch_id}).encode()


def read_cursor(reader: Consumer, topic: str, shard: int) -> int:
    """The last batch number of a shard; 0 where there is none.

    Only right after `init_transactions` of the shard's producer: then no transaction of a predecessor is open any more.

    Raises:
        CursorTopicMissing: the topic is not there, or has too few partitions.
        KafkaException: the broker does not answer.
    """
    partitions = reader.list_topics(topic, timeout=TIMEOUT_S).topics[topic].partitions
    if shard not in partitions:
        raise CursorTopicMissing(
            f"{topic} has {len(partitions)} partitions, shard {shard} needs one: run `crm-sync topics`"
        )
    low, high = reader.get_watermark_offsets(TopicPartition(topic, shard), timeout=TIMEOUT_S, cached=False)
    tail = max(low, high - TAIL)
    found = _last_batch(reader, TopicPartition(topic, shard, tail)) if high > low else None
    if found is None and tail > low:
        found = _last_batch(reader, TopicPartition(topic, shard, low))
    return found or 0


def _last_batch(reader: Consumer, start: TopicPartition) -> int | None:
    reader.assign([start])
    last = None
    try:
        while True:
            message = reader.poll(TIMEOUT_S)
            if message is None:
                raise KafkaException(KafkaError(KafkaError._TIMED_OUT))  # noqa: SLF001 - the client's own name of the code
            error = message.error()
            if error is None:
                last = int(json.loads(message.value() or b"{}")["batch_id"])
            elif error.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001 - as above
                return last
            else:
                raise KafkaException(error)
    finally:
        reader.unassign()
