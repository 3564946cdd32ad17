"""Bytes from Kafka -> a command, a refusal that its publisher gets as a result, or a dead letter. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid5

from pydantic import TypeAdapter, ValidationError

from crm.store.ownership import PartitionId
from schemas import envelope
from schemas.command import SYNC_COMMAND, PullCommand, PushCommand, expires_at_of
from schemas.dead_letter import DeadLetterReason
from schemas.fingerprint import body_hash
from schemas.problems import explain
from schemas.topics import EventType, message_key
from schemas.values import CommandId

#: Namespace of command ids that are derived from where a message stands.
POSITION_NAMESPACE = UUID("6f3c1a52-9d1e-5a7b-8c44-0d6b7a2f9e10")

_COMMAND_ID: TypeAdapter[str] = TypeAdapter(CommandId)
_PROBLEMS_SHOWN = 5


@dataclass(frozen=True, slots=True)
class RawMessage:
    """A Kafka message as it came."""

    partition: PartitionId
    offset: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes | None]]
    timestamp_ms: int

    @property
    def size(self) -> int:
        """Bytes of key, value and headers."""
        headers = sum(len(name) + len(content or b"") for name, content in self.headers)
        return len(self.key or b"") + len(self.value or b"") + headers

    def published_at(self, now: datetime) -> datetime:
        """The message's timestamp, UTC; `now` where it has none or one of the future, such as microseconds."""
        if not 0 < self.timestamp_ms < now.timestamp() * 1000:
            return now
        return datetime.fromtimestamp(self.timestamp_ms / 1000, UTC)


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a readable command is not run: a code of `schemas.failure`, a text, and the field that is at fault."""

    code: str
    message: str
    field: str | None = None


@dataclass(frozen=True, slots=True)
class Readable:
    """A message with readable ids: it gets exactly one result.

    Attributes:
        command: None when `refusal` says why.
        content: The body, for echoing what can be echoed of a refused command.
        expires_at: After this it must not start any more.
    """

    workspace_id: UUID
    command_id: str
    body_hash: bytes
    expires_at: datetime
    command: PushCommand | PullCommand | None = None
    refusal: Refusal | None = None
    content: Mapping[str, Any] = field(default_factory=dict)
    traceparent: str | None = None

    @property
    def integration(self) -> str | None:
        """The CRM's slug where it can be read."""
        slug = self.content.get("integration")
        return slug if isinstance(slug, str) else None


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A message that nobody can be answered for: a dead letter."""

    reason: DeadLetterReason
    message: str


@dataclass(frozen=True, slots=True)
class Limits:
    """What is too large, too old, and when a command expires by itself. Seconds and bytes."""

    max_message_bytes: int
    claim_retention_s: float
    expire_after_s: float


def decode(message: RawMessage, limits: Limits, now: datetime) -> Readable | Unreadable:
    """Read one message of the commands topic.

    Whoever can be named by workspace id and command id gets a result, however wrong the rest is; else it is a dead
    letter.
    """
    if message.size > limits.max_message_bytes:
        return Unreadable("too_large", f"{message.size} bytes, the limit is {limits.max_message_bytes}")
    published_at = message.published_at(now)
    if now - published_at > timedelta(seconds=limits.claim_retention_s):
        return Unreadable("too_old", f"published {published_at.isoformat()}, its dedupe record may be gone")
    try:
        read = envelope.decode(message.headers, message.value)
    except envelope.NotReadable as problem:
        return Unreadable("not_json", str(problem))
    if read.event_type not in (None, EventType.COMMAND.value):
        return Unreadable("not_a_command", f"CloudEvents type {read.event_type[:200]!r}")
    ids = _ids(read, message)
    if isinstance(ids, Unreadable):
        return ids
    workspace_id, command_id = ids
    data = {**read.data, "command_id": command_id}
    command, refusal = _command(data, message.key)
    return Readable(
        workspace_id=workspace_id,
        command_id=command_id,
        body_hash=body_hash(data),
        expires_at=expires_at_of(command, published_at, limits.expire_after_s),
        command=command,
        refusal=refusal,
        content=data,
        traceparent=read.traceparent,
    )


def _ids(read: envelope.Envelope, message: RawMessage) -> tuple[UUID, str] | Unreadable:
    """Workspace id and command id. A missing command id is the CloudEvents id, else one of the message's place."""
    workspace_id = _uuid(read.data.get("workspace_id"))
    if workspace_id is None:
        return Unreadable("no_readable_ids", "workspace_id is missing or not a UUID")
    place = f"{message.partition.topic}/{message.partition.partition}/{message.offset}"
    given = read.data.get("command_id")
    if given is None:
        return workspace_id, _command_id(read.event_id) or str(uuid5(POSITION_NAMESPACE, place))
    command_id = _command_id(given)
    if command_id is None:
        return Unreadable("no_readable_ids", "command_id must be a printable string of 1 to 128 characters")
    return workspace_id, command_id


def _command(data: dict[str, Any], key: bytes | None) -> tuple[PushCommand | PullCommand | None, Refusal | None]:
    try:
        command = SYNC_COMMAND.validate_python(data)
    except ValidationError as error:
        problems = explain(error)
        shown = "; ".join(str(problem) for problem in problems[:_PROBLEMS_SHOWN])
        more = f"; and {len(problems) - _PROBLEMS_SHOWN} more" if len(problems) > _PROBLEMS_SHOWN else ""
        return None, Refusal("invalid_command", shown + more, problems[0].path if problems else None)
    expected = message_key(command.workspace_id, command.integration)
    if key != expected.encode():
        found = "no key" if key is None else f"the key {key[:120].decode('utf-8', 'replace')!r}"
        return None, Refusal("key_mismatch", f"the message has {found}, expected {expected!r}")
    return command, None


def _uuid(value: object) -> UUID | None:
    try:
        return UUID(value) if isinstance(value, str) else None
    except ValueError:
        return None


def _command_id(value: object) -> str | None:
    try:
        return _COMMAND_ID.validate_python(value, strict=True)
    except ValidationError:
        return None
