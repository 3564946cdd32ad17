"""The outbox: what leaves for Kafka is a row here first, in the same transaction as what it tells."""

import json
import zlib
from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass, field

from sqlalchemy import Connection, text

from crm.errors import CrmError

#: The shard is stored in each row, so this number never changes for rows that exist; relays share the shards.
SHARDS = 8
#: Kafka's default message limit is 1,048,588 bytes; key, headers and batch overhead need room.
MAX_MESSAGE_BYTES = 1_000_000
#: The channel on which relays are woken.
WAKE_CHANNEL = "crm_outbox"


class MessageTooLarge(CrmError):
    """A message over `MAX_MESSAGE_BYTES` would be refused by the broker: it never enters the outbox."""


@dataclass(frozen=True, slots=True)
class OutboxMessage:
    """One message to publish.

    Attributes:
        dedupe_key: Unique within the topic: a second message with the same one is not added.
        timestamp_ms: Kafka timestamp to keep (dead letters); None = when it is sent.
    """

    topic: str
    dedupe_key: str
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes | None]] = field(default=())
    timestamp_ms: int | None = None

    @property
    def shard(self) -> int:
        """The relay shard: one key, one shard, so that messages of one key keep their order."""
        return zlib.crc32(self.key or b"") % SHARDS

    @property
    def size(self) -> int:
        """Bytes that the broker will count, headers included."""
        headers = sum(len(name) + len(value or b"") + 8 for name, value in self.headers)
        return len(self.key or b"") + len(self.value or b"") + headers

    def as_row(self) -> dict[str, object]:
        """The message as bound values of an INSERT; header values are base64 because they may be any bytes."""
        headers = [[name, None if value is None else b64encode(value).decode()] for name, value in self.headers]
        return {
            "shard": self.shard,
            "topic": self.topic,
            "dedupe_key": self.dedupe_key,
            "message_key": self.key,
            "headers": headers,
            "payload": self.value,
            "message_timestamp_ms": self.timestamp_ms,
        }


_INSERT = text("""
INSERT INTO outbox (shard, topic, dedupe_key, message_key, headers, payload, message_timestamp_ms)
VALUES (:shard, :topic, :dedupe_key, :message_key, CAST(:headers AS jsonb), :payload, :message_timestamp_ms)
ON CONFLICT (topic, dedupe_key) DO NOTHING
""")


def check_size(message: OutboxMessage) -> None:
    """Raise MessageTooLarge for a message that the broker would refuse."""
    if message.size > MAX_MESSAGE_BYTES:
        raise MessageTooLarge(f"message for {message.topic} has {message.size} bytes, the limit is {MAX_MESSAGE_BYTES}")


def add(connection: Connection, messages: Sequence[OutboxMessage]) -> int:
    """Add messages within the caller's transaction and wake the relays when it commits.

    Returns:
        How many were added; those whose (topic, dedupe key) was there already are not.

    Raises:
        MessageTooLarge: nothing was added.
    """
    for message in messages:
        check_size(message)
    if not messages:
        return 0
    added = 0
    for message in messages:
        row = message.as_row()
        added += connection.execute(_INSERT, {**row, "headers": json.dumps(row["headers"])}).rowcount
    wake_relays(connection)
    return added


def wake_relays(connection: Connection) -> None:
    """Tell the relays, when the caller's transaction commits, that there is something to send."""
    connection.execute(text(f"NOTIFY {WAKE_CHANNEL}"))


def payload_of(connection: Connection, topic: str, dedupe_key: str) -> bytes | None:
    """The value of a message that is here, sent or not; None where there is none (sent rows go after a day)."""
    row = connection.execute(
        text("SELECT payload FROM outbox WHERE topic = :topic AND dedupe_key = :dedupe_key"),
        {"topic": topic, "dedupe_key": dedupe_key},
    ).first()
    return bytes(row.payload) if row else None
