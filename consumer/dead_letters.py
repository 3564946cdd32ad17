"""Dead letters: messages that nobody can be answered for, kept as they came, and the brake on a flood of them. Pure."""

from collections import deque
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import sha256
from typing import Final

from consumer.decode import RawMessage, Unreadable
from crm.store.group_commit import FinishedCommand
from crm.store.outbox import MAX_MESSAGE_BYTES, OutboxMessage
from crm.text import scrub
from schemas.dead_letter import DeadLetterHeader, DeadLetterReason

#: Reasons that say "this is no command at all"; only they count towards the brake.
UNDECODABLE: Final[frozenset[DeadLetterReason]] = frozenset(
    {"not_json", "no_readable_ids", "not_a_command", "unreadable"}
)
WINDOW: Final = 200
#: What a letter that is cut keeps: headers and a key of at most this many bytes, and so many headers.
SMALL_BYTES: Final = 200
MAX_HEADERS: Final = 50
MAX_HEADER_NAME: Final = 1_000


def dead_letter(
    message: RawMessage, unreadable: Unreadable, *, epoch: int, topic: str, group_id: str, now: datetime
) -> FinishedCommand:
    """A message for the dead-letter topic: original bytes, key, headers and timestamp, the reason in added headers.

    One that is too large for that topic keeps headers, hash and position only.
    """
    value = message.value or b""
    added = [
        (DeadLetterHeader.TOPIC, message.partition.topic),
        (DeadLetterHeader.PARTITION, str(message.partition.partition)),
        (DeadLetterHeader.OFFSET, str(message.offset)),
        (DeadLetterHeader.TIMESTAMP, message.published_at(now).isoformat()),
        (DeadLetterHeader.SIZE, str(len(value))),
        (DeadLetterHeader.SHA256, sha256(value).hexdigest()),
        (DeadLetterHeader.GROUP, group_id),
        (DeadLetterHeader.FAILED_AT, now.isoformat()),
        (DeadLetterHeader.CODE, unreadable.reason),
        (DeadLetterHeader.MESSAGE, unreadable.message[:1000]),
    ]
    # A header's name is text to PostgreSQL, which knows no NUL; everything else stays as it came.
    kept = [(scrub(name, MAX_HEADER_NAME), content) for name, content in message.headers]
    headers = [*kept, *((name.value, text.encode("utf-8", "replace")) for name, text in added)]
    letter = OutboxMessage(
        topic=topic,
        dedupe_key=f"{message.partition.topic}/{message.partition.partition}/{message.offset}",
        key=message.key,
        value=message.value,
        headers=headers,
        timestamp_ms=message.timestamp_ms,
    )
    if letter.size > MAX_MESSAGE_BYTES:
        short = [*_small(message), *((name.value, text.encode("utf-8", "replace")) for name, text in added)]
        letter = OutboxMessage(topic, letter.dedupe_key, _key(message), None, short, message.timestamp_ms)
    return FinishedCommand(message.partition, epoch, claim=None, messages=[letter])


def _small(message: RawMessage) -> list[tuple[str, bytes | None]]:
    small = [(name, content) for name, content in message.headers if len(content or b"") <= SMALL_BYTES]
    return [(scrub(name, SMALL_BYTES), content) for name, content in small][:MAX_HEADERS]


def _key(message: RawMessage) -> bytes | None:
    return message.key if len(message.key or b"") <= SMALL_BYTES else None


@dataclass(slots=True)
class FloodBrake:
    """Stops a partition when more than half of its last 200 messages could not be decoded.

    A bad deploy must not pour the topic away: what is not read yet stays in Kafka until somebody has looked.
    """

    _last: deque[bool] = field(default_factory=lambda: deque(maxlen=WINDOW))

    def saw(self, *, undecodable: bool) -> bool:
        """Count one message; True when the partition must stop now."""
        self._last.append(undecodable)
        return sum(self._last) > WINDOW // 2
