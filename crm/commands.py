"""The HTTP door's side of commands: accept one durably, and tell how far it is."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal
from uuid import UUID, uuid4

from crm.errors import CommandRefused
from crm.store import claims, history, outbox
from crm.store.engine import Engine
from schemas import envelope
from schemas.command import PullCommand, PushCommand
from schemas.fingerprint import body_hash
from schemas.topics import EventType, Topics, message_key

CommandState = Literal["queued", "running", "waiting", "completed", "partial", "failed"]


@dataclass(frozen=True, slots=True)
class Accepted:
    """A command that is durable; `already_known` when the same one had been accepted before."""

    command_id: str
    already_known: bool


@dataclass(frozen=True, slots=True)
class CommandStatus:
    """How far a command is, and what it waits for (a reason and an instant, both None where it does not wait)."""

    command_id: str
    status: CommandState
    waiting_for: str | None = None
    waiting_until: datetime | None = None
    sync_id: UUID | None = None


class CommandDoor:
    """Accepts commands into the outbox; the relay brings them to the commands topic."""

    def __init__(self, engine: Engine, topics: Topics) -> None:
        self._engine = engine
        self._topics = topics

    def accept(self, command: PushCommand | PullCommand, *, traceparent: str | None = None) -> Accepted:
        """Make a command durable. One without `command_id` gets one.

        Raises:
            CommandRefused: `command_id_reused`, the id stands for another body.
            MessageTooLarge: the command does not fit into a Kafka message.
        """
        command_id = command.command_id or str(uuid4())
        given = command.model_copy(update={"command_id": command_id})
        message = self._message(given, command_id, traceparent)
        fingerprint = body_hash(given.model_dump(mode="json"))
        with self._engine.begin() as connection:
            claim = claims.look(connection, given.workspace_id, command_id)
            known = [bytes(claim["body_hash"])] if claim else []
            if not claim and not outbox.add(connection, [message]):
                queued = outbox.payload_of(connection, message.topic, message.dedupe_key)
                known = [body_hash(envelope.decode((), queued).data)]
        if any(other != fingerprint for other in known):
            raise CommandRefused(f"the id {command_id} was used before with another body", code="command_id_reused")
        return Accepted(command_id, already_known=bool(known))

    def status(self, workspace_id: UUID, command_id: str) -> CommandStatus | None:
        """How far a command is; None for one that was never seen, or was forgotten."""
        with self._engine.begin() as connection:
            row = history.by_command(connection, workspace_id, command_id)
            if row:
                return CommandStatus(command_id, row.columns["status"], sync_id=row.sync_id)
            claim = claims.look(connection, workspace_id, command_id)
            if claim:
                waiting = claim["waiting_for"] is not None
                state: CommandState = "waiting" if waiting else "running"
                return CommandStatus(command_id, state, claim["waiting_for"], claim["waiting_until"])
            queued = outbox.payload_of(connection, self._topics.commands, _dedupe_key(workspace_id, command_id))
            return CommandStatus(command_id, "queued") if queued is not None else None

    def _message(
        self, command: PushCommand | PullCommand, command_id: str, traceparent: str | None
    ) -> outbox.OutboxMessage:
        headers, value = envelope.encode(
            EventType.COMMAND,
            command_id,
            command,
            subject=command_id,
            time=datetime.now(UTC),
            traceparent=traceparent,
        )
        return outbox.OutboxMessage(
            topic=self._topics.commands,
            dedupe_key=_dedupe_key(command.workspace_id, command_id),
            key=message_key(command.workspace_id, command.integration).encode(),
            value=value,
            headers=headers,
        )


def _dedupe_key(workspace_id: UUID, command_id: str) -> str:
    return f"{workspace_id}/{command_id}"
