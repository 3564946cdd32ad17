"""Workspaces: the host product's tenants, read here; made here for demo, tests and stand-alone use."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Row, insert, select

from crm.store.tables import workspaces


@dataclass(frozen=True, slots=True)
class Workspace:
    """A tenant."""

    id: UUID
    name: str
    created_at: datetime


def exists(connection: Connection, workspace_id: UUID) -> bool:
    """Tell whether there is such a workspace."""
    query = select(workspaces.c.id).where(workspaces.c.id == workspace_id)
    return connection.execute(query).first() is not None


def get(connection: Connection, workspace_id: UUID) -> Workspace | None:
    """One workspace, or None."""
    row = connection.execute(select(workspaces).where(workspaces.c.id == workspace_id)).first()
    return _workspace(row) if row is not None else None


def create(connection: Connection, name: str, id: UUID | None = None) -> Workspace:  # noqa: A002 - the column's name
    """Add a workspace, with the given id or a new one.

    Raises:
        sqlalchemy.exc.IntegrityError: the id is taken.
    """
    values: dict[str, Any] = {"name": name} if id is None else {"name": name, "id": id}
    return _workspace(connection.execute(insert(workspaces).values(values).returning(workspaces)).one())


def list_all(connection: Connection) -> Sequence[Workspace]:
    """Every workspace, the oldest first."""
    query = select(workspaces).order_by(workspaces.c.created_at, workspaces.c.id)
    return [_workspace(row) for row in connection.execute(query)]


def _workspace(row: Row[Any]) -> Workspace:
    return Workspace(row.id, row.name, row.created_at)
