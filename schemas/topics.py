"""Topic names, event types and message keys."""

from dataclasses import dataclass
from enum import StrEnum
from uuid import UUID


class EventType(StrEnum):
    """CloudEvents `type` of every message."""

    COMMAND = "io.morket.crm.sync.command.v1"
    RESULT = "io.morket.crm.sync.result.v1"
    PLAN = "io.morket.crm.sync.plan.v1"
    RECORDS = "io.morket.crm.sync.records.v1"
    CONNECTION = "io.morket.crm.connection.v1"


@dataclass(frozen=True, slots=True)
class Topics:
    """The names of the topics; configurable as a whole by a prefix or one by one."""

    commands: str = "crm.sync.commands"
    results: str = "crm.sync.results"
    records: str = "crm.sync.records"
    dead_letters: str = "crm.sync.dead_letters"
    connections: str = "crm.sync.connections"
    relay_cursor: str = "crm.sync.relay_cursor"


def message_key(workspace_id: UUID | str, integration: str) -> str:
    """The key of every message of one connection, so that one partition keeps their order."""
    return f"{workspace_id}:{integration}"
