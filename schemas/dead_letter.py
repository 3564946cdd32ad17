"""The dead letter: a message that nobody can be answered for, as it came, with added headers that say why.

Value, key, headers and timestamp stay untouched; a message that is too large for the topic leaves headers, hash and
position only. Topic `crm.sync.dead_letters`.
"""

from enum import StrEnum
from typing import Final, Literal

DeadLetterReason = Literal["not_json", "no_readable_ids", "too_large", "too_old", "not_a_command", "unreadable"]

#: Reason -> what it means. `docs/errors.md` prints this table.
DEAD_LETTER_REASONS: Final[dict[DeadLetterReason, str]] = {
    "not_json": "the value is no JSON object, or claims to be a CloudEvent and is none",
    "no_readable_ids": "workspace_id is missing or no UUID, or command_id is unusable: there is nobody to answer",
    "too_large": "the message is over the size limit",
    "too_old": "the message is older than the memory of which commands were run, so running it could repeat it",
    "not_a_command": "the CloudEvents type is another event's",
    "unreadable": "reading it failed in a way that nobody foresaw; only its position, size and hash are kept",
}


class DeadLetterHeader(StrEnum):
    """The headers that are added; all values are UTF-8 text."""

    TOPIC = "dlq.original.topic"
    PARTITION = "dlq.original.partition"
    OFFSET = "dlq.original.offset"
    TIMESTAMP = "dlq.original.timestamp"
    SIZE = "dlq.original.size"
    SHA256 = "dlq.original.sha256"
    GROUP = "dlq.consumer.group"
    FAILED_AT = "dlq.failed-at"
    CODE = "dlq.error.code"
    MESSAGE = "dlq.error.message"


#: Header -> what it holds.
DEAD_LETTER_HEADERS: Final[dict[DeadLetterHeader, str]] = {
    DeadLetterHeader.TOPIC: "Topic that the message came from.",
    DeadLetterHeader.PARTITION: "Its partition, decimal.",
    DeadLetterHeader.OFFSET: "Its offset, decimal.",
    DeadLetterHeader.TIMESTAMP: "Its timestamp, RFC 3339.",
    DeadLetterHeader.SIZE: "Bytes of its value, decimal.",
    DeadLetterHeader.SHA256: "SHA-256 of its value, hexadecimal.",
    DeadLetterHeader.GROUP: "The consumer group that put it aside.",
    DeadLetterHeader.FAILED_AT: "When, RFC 3339.",
    DeadLetterHeader.CODE: "Why: one of the dead letter reasons; the list is open.",
    DeadLetterHeader.MESSAGE: "Why, in words for a person.",
}
