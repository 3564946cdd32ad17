"""Connections (table `integrations`): a workspace's link to one CRM account, with its sealed tokens.

The row lives as long as the workspace: reconnecting and disconnecting change it, and `token_version` goes up whenever
its tokens change. Who wants to write tokens names the version that it read (compare and swap).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Row, func, select, update
from sqlalchemy.dialects.postgresql import insert

from crm import model
from crm.model import ConnectionStatus, OAuthTokens
from crm.store.tables import held_commands
from crm.store.tables import integrations as table
from crm.vault import Sealed


@dataclass(frozen=True, slots=True)
class StoredTokens:
    """A connection with its sealed tokens; `sealed` is None once they were forgotten.

    Attributes:
        cooling_s: Seconds for which nobody may refresh, because the token endpoint failed or asked for a pause.
    """

    connection: model.Connection
    sealed: Sealed | None
    cooling_s: float = 0.0


def get(connection: Connection, workspace_id: UUID, slug: str, *, lock: bool = False) -> model.Connection | None:
    """The connection of a workspace to a CRM, or None; with `lock` nobody else may change the row until the commit."""
    query = select(table).where(table.c.workspace_id == workspace_id, table.c.integration_slug == slug)
    row = connection.execute(query.with_for_update() if lock else query).first()
    return _connection(row) if row is not None else None


def by_id(connection: Connection, connection_id: UUID) -> model.Connection | None:
    """One connection, or None."""
    row = connection.execute(select(table).where(table.c.id == connection_id)).first()
    return _connection(row) if row is not None else None


def list_of(connection: Connection, workspace_id: UUID) -> Sequence[model.Connection]:
    """The connections of a workspace, disconnected ones included, by integration."""
    query = select(table).where(table.c.workspace_id == workspace_id).order_by(table.c.integration_slug)
    return [_connection(row) for row in connection.execute(query)]


def save_connected(
    connection: Connection,
    workspace_id: UUID,
    slug: str,
    *,
    tokens: OAuthTokens,
    sealed: Sealed,
    connected_by: str,
    settings: dict[str, Any] | None = None,
) -> model.Connection:
    """Insert a connection, or reconnect the one that is there: it keeps its id and its event sequence.

    The account's names are taken from `tokens`; the tokens themselves are stored as `sealed` only. `settings` replace
    the stored ones; None leaves them as they are.

    Raises:
        sqlalchemy.exc.IntegrityError: there is no such workspace.
    """
    values: dict[str, Any] = {
        "status": "connected",
        "connected_at": func.now(),
        "crm_account_id": tokens.account_id,
        "crm_account_name": tokens.account_name,
        "crm_user": tokens.user,
        "login_host": tokens.login_host,
        "status_reason": None,
        "status_changed_at": func.now(),
        "connected_by": connected_by,
        "token_version": table.c.token_version + 1,
        **_token_columns(sealed),
        **_NO_LEASE,
    }
    if settings is not None:
        values["settings"] = settings
    new = {**values, "workspace_id": workspace_id, "integration_slug": slug, "token_version": 1}
    query = (
        insert(table)
        .values(new)
        .on_conflict_do_update(index_elements=[table.c.workspace_id, table.c.integration_slug], set_=values)
    )
    return _connection(connection.execute(query.returning(table)).one())


def change_settings(
    connection: Connection, workspace_id: UUID, slug: str, chosen: dict[str, Any]
) -> model.Connection | None:
    """Put `chosen` over the stored settings of a connection; None where there is none."""
    query = (
        update(table)
        .where(table.c.workspace_id == workspace_id, table.c.integration_slug == slug)
        .values(settings=table.c.settings.concat(chosen))
        .returning(table)
    )
    row = connection.execute(query).one_or_none()
    return _connection(row) if row else None


def lock_slot(connection: Connection, workspace_id: UUID, slug: str) -> None:
    """Let nobody else connect this CRM to this workspace until the commit, even where there is no row to lock yet."""
    name = f"connection/{workspace_id}/{slug}"
    connection.execute(select(func.pg_advisory_xact_lock(func.hashtextextended(name, 0))))


def sealed_tokens(connection: Connection, connection_id: UUID) -> StoredTokens | None:
    """A connection with its sealed tokens, or None."""
    cooling_s = func.extract("epoch", table.c.refresh_not_before - func.now()).label("cooling_s")
    row = connection.execute(select(table, cooling_s).where(table.c.id == connection_id)).first()
    if row is None:
        return None
    has_tokens = row.encrypted_tokens is not None
    sealed = Sealed(row.encrypted_tokens, row.token_iv, row.token_tag, row.token_key_id) if has_tokens else None
    return StoredTokens(_connection(row), sealed, max(0.0, float(row.cooling_s or 0)))


def swap_tokens(connection: Connection, connection_id: UUID, *, expected_version: int, sealed: Sealed) -> bool:
    """Store refreshed tokens and end the refresh lease, if the tokens are still those of `expected_version`.

    Returns:
        False when the connection was refreshed, reconnected or disconnected meanwhile; nothing was written then.
    """
    query = (
        update(table)
        .where(table.c.id == connection_id, table.c.token_version == expected_version, table.c.status == "connected")
        .values(token_version=expected_version + 1, **_token_columns(sealed), **_NO_LEASE)
    )
    return connection.execute(query).rowcount == 1


def reseal_tokens(connection: Connection, connection_id: UUID, *, expected_version: int, sealed: Sealed) -> bool:
    """Store the same tokens under another key, if they are still those of `expected_version`; the version stays."""
    query = (
        update(table)
        .where(table.c.id == connection_id, table.c.token_version == expected_version)
        .values(**_token_columns(sealed))
    )
    return connection.execute(query).rowcount == 1


def set_status(
    connection: Connection,
    connection_id: UUID,
    status: ConnectionStatus,
    *,
    reason: str | None,
    expected_version: int | None = None,
) -> model.Connection | None:
    """Change the status and end the refresh lease; the tokens stay as they are.

    Returns:
        The connection as it is now; None when it has that status already, or when its tokens are not those of
        `expected_version` any more.
    """
    conditions = [table.c.id == connection_id, table.c.status != status]
    if expected_version is not None:
        conditions.append(table.c.token_version == expected_version)
    query = (
        update(table)
        .where(*conditions)
        .values(status=status, status_reason=reason, status_changed_at=func.now(), **_NO_LEASE)
    )
    row = connection.execute(query.returning(table)).first()
    return _connection(row) if row is not None else None


def forget_tokens(connection: Connection, connection_id: UUID, *, reason: str | None) -> model.Connection | None:
    """Disconnect: the row stays, its tokens go. None when it is disconnected already."""
    query = (
        update(table)
        .where(table.c.id == connection_id, table.c.status != "disconnected")
        .values(
            status="disconnected",
            status_reason=reason,
            status_changed_at=func.now(),
            encrypted_tokens=None,
            token_iv=None,
            token_tag=None,
            token_key_id=None,
            token_version=table.c.token_version + 1,
            **_NO_LEASE,
        )
    )
    row = connection.execute(query.returning(table)).first()
    return _connection(row) if row is not None else None


def next_event_sequence(connection: Connection, connection_id: UUID) -> int:
    """Raise the connection's event sequence by one; the row stays locked, so that events commit in this order."""
    query = update(table).where(table.c.id == connection_id).values(event_sequence=table.c.event_sequence + 1)
    sequence: int = connection.execute(query.returning(table.c.event_sequence)).scalar_one()
    return sequence


def count_held(connection: Connection, connection_id: UUID) -> int:
    """How many commands are held for the connection."""
    query = select(func.count()).where(held_commands.c.connection_id == connection_id)
    count: int = connection.execute(query).scalar_one()
    return count


def _token_columns(sealed: Sealed) -> dict[str, Any]:
    return {
        "encrypted_tokens": sealed.ciphertext,
        "token_iv": sealed.iv,
        "token_tag": sealed.tag,
        "token_key_id": sealed.key_id,
    }


_NO_LEASE: dict[str, Any] = {"refresh_holder": None, "refresh_lease_until": None, "refresh_not_before": None}


def _connection(row: Row[Any]) -> model.Connection:
    return model.Connection(
        id=row.id,
        workspace_id=row.workspace_id,
        integration_slug=row.integration_slug,
        status=row.status,
        connected_at=row.connected_at,
        token_version=row.token_version,
        crm_account_id=row.crm_account_id,
        crm_account_name=row.crm_account_name,
        crm_user=row.crm_user,
        login_host=row.login_host,
        status_reason=row.status_reason,
        event_sequence=row.event_sequence,
        settings=row.settings,
    )
