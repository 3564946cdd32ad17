"""`sync_history`: one final row for each command that was run or refused, read by the API and the command line."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Row, text

from schemas.result import SyncResult


@dataclass(frozen=True, slots=True)
class HistoryRow:
    """One row; `columns` are the table's, by name."""

    columns: Mapping[str, Any]

    @property
    def sync_id(self) -> UUID:
        """The row's id, the `sync_id` of the result."""
        sync_id: UUID = self.columns["id"]
        return sync_id

    @property
    def started_at(self) -> datetime:
        """When the first CRM call could have left; with the id the place in the list."""
        started_at: datetime = self.columns["started_at"]
        return started_at

    def as_result(self) -> SyncResult:
        """The result event that went out for this row."""
        names = set(SyncResult.model_fields) & set(self.columns)
        content = {name: self.columns[name] for name in names}
        content |= {"sync_id": self.sync_id, "integration": self.columns["integration_slug"], **self.columns["details"]}
        return SyncResult.model_validate(content)


def as_history(result: SyncResult, *, claim_id: str) -> dict[str, Any]:
    """The columns of a result's history row, as JSON values. What has no column of its own goes to `details`."""
    content = result.model_dump(mode="json")
    details = ("command_id", "api_calls", "api_calls_shared_with", "record_url_template", "source", "pull")
    return {
        **{name: content[name] for name in _SHARED},
        "id": content["sync_id"],
        "integration_slug": (result.integration or "unknown")[:50],
        "direction": result.direction or "push",
        "entity": result.entity[:100] if result.entity else None,
        "command_id": claim_id,
        "error_code": result.error.code if result.error else None,
        "details": {name: content[name] for name in details},
    }


_SHARED = (
    "workspace_id", "connection_id", "crm_account_id", "crm_object", "status", "record_count", "success_count",
    "failure_count", "skipped_count", "counts", "outcomes", "error", "attempt", "started_at", "completed_at",
)  # fmt: skip


def list_page(
    connection: Connection,
    workspace_id: UUID,
    *,
    slug: str | None = None,
    limit: int = 50,
    before: tuple[datetime, UUID] | None = None,
) -> list[HistoryRow]:
    """Newest first, without outcomes. `before` is (started_at, id) of the last row of the page before."""
    rows = connection.execute(
        text("""
SELECT id, workspace_id, integration_slug, direction, record_count, success_count, failure_count, skipped_count, status,
       started_at, completed_at, command_id, connection_id, crm_account_id, entity, crm_object, attempt, counts,
       error_code, error, '[]'::jsonb AS outcomes, details
  FROM sync_history
 WHERE workspace_id = :workspace_id AND (CAST(:slug AS text) IS NULL OR integration_slug = :slug)
   AND (CAST(:started_at AS timestamptz) IS NULL OR (started_at, id) < (:started_at, CAST(:id AS uuid)))
 ORDER BY started_at DESC, id DESC LIMIT :limit"""),
        {
            "workspace_id": workspace_id,
            "slug": slug,
            "started_at": before[0] if before else None,
            "id": before[1] if before else None,
            "limit": limit,
        },
    )
    return [_row(row) for row in rows]


def detail(connection: Connection, workspace_id: UUID, sync_id: UUID) -> HistoryRow | None:
    """One row with its outcomes."""
    return _one(connection, "id = :wanted", workspace_id, sync_id)


def by_command(connection: Connection, workspace_id: UUID, command_id: str) -> HistoryRow | None:
    """The row of a command, with its outcomes."""
    return _one(connection, "command_id = :wanted", workspace_id, command_id)


def _one(connection: Connection, condition: str, workspace_id: UUID, wanted: UUID | str) -> HistoryRow | None:
    # `condition` is one of the two constants above, never input.
    statement = text(f"SELECT * FROM sync_history WHERE workspace_id = :workspace_id AND {condition}")  # noqa: S608
    row = connection.execute(statement, {"workspace_id": workspace_id, "wanted": wanted}).first()
    return _row(row) if row else None


def _row(row: Row[Any]) -> HistoryRow:
    return HistoryRow(dict(row._mapping))  # noqa: SLF001 - SQLAlchemy's documented name for a row as a mapping
