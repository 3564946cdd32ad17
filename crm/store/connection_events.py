"""The audit of connections: every change of state, who did it, and why. Rows are added, never changed."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Row, insert, select

from crm import model
from crm.store.tables import connection_events as table
from schemas.connection import ConnectionEventName


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """One change. `actor` is a person's or a service's name; `detail` holds no secrets."""

    connection_id: UUID
    workspace_id: UUID
    integration_slug: str
    event: str
    actor: str
    created_at: datetime
    detail: dict[str, Any] = field(default_factory=dict)


def add(
    connection: Connection,
    stored: model.Connection,
    event: ConnectionEventName,
    *,
    actor: str,
    detail: dict[str, Any],
) -> None:
    """Write down one change within the caller's transaction."""
    values = {
        "connection_id": stored.id,
        "workspace_id": stored.workspace_id,
        "integration_slug": stored.integration_slug,
        "event": event,
        "actor": actor,
        "detail": detail,
    }
    connection.execute(insert(table).values(values))


def list_of(connection: Connection, connection_id: UUID, *, limit: int = 100) -> Sequence[AuditEntry]:
    """The latest changes of a connection, the newest first."""
    query = select(table).where(table.c.connection_id == connection_id).order_by(table.c.id.desc()).limit(limit)
    return [_entry(row) for row in connection.execute(query)]


def _entry(row: Row[Any]) -> AuditEntry:
    return AuditEntry(
        row.connection_id, row.workspace_id, row.integration_slug, row.event, row.actor, row.created_at, row.detail
    )
