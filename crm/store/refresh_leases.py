"""Who may refresh a connection's tokens: a lease in its row, by the database's clock; no lock is held over the call."""

import time
from typing import Final
from uuid import UUID

from sqlalchemy import Connection, Engine, func, or_, update
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from crm.store.connections import swap_tokens
from crm.store.tables import integrations as table
from crm.vault import Sealed

#: How long refreshed tokens are held for a database that does not answer.
STORE_PATIENCE_S: Final = 30.0
_STORE_PAUSE_S: Final = 0.5


def take_refresh_lease(
    connection: Connection, connection_id: UUID, holder: UUID, seconds: float, *, version: int | None = None
) -> bool:
    """Become the only one who may call the token endpoint for this connection, for so many seconds.

    With `version` (for a refresh) only while the connection is connected, its tokens are those of this version and no
    cool-down runs. Without it the lease is taken in any state (for a disconnect).

    Returns:
        False when another holds it, or `version` does not hold any more.
    """
    free = or_(table.c.refresh_lease_until.is_(None), table.c.refresh_lease_until <= func.now())
    conditions = [table.c.id == connection_id, free]
    if version is not None:
        cooled = or_(table.c.refresh_not_before.is_(None), table.c.refresh_not_before <= func.now())
        conditions += [table.c.token_version == version, table.c.status == "connected", cooled]
    until = func.now() + func.make_interval(0, 0, 0, 0, 0, 0, seconds)
    query = update(table).where(*conditions).values(refresh_holder=holder, refresh_lease_until=until)
    return connection.execute(query).rowcount == 1


def release_refresh_lease(
    connection: Connection, connection_id: UUID, holder: UUID, *, cool_down_s: float = 0.0
) -> None:
    """End the holder's lease; harmless when it is not its own any more. Nobody refreshes for `cool_down_s` seconds."""
    pause = func.now() + func.make_interval(0, 0, 0, 0, 0, 0, cool_down_s) if cool_down_s > 0 else None
    query = (
        update(table)
        .where(table.c.id == connection_id, table.c.refresh_holder == holder)
        .values(refresh_holder=None, refresh_lease_until=None, refresh_not_before=pause)
    )
    connection.execute(query)


def store_refreshed(
    engine: Engine, connection_id: UUID, *, expected_version: int, sealed: Sealed, patience_s: float = STORE_PATIENCE_S
) -> bool:
    """`swap_tokens` in a transaction of its own, tried again while the database fails.

    A rotated refresh token exists nowhere else: giving up at the first broken connection would lose the grant. False
    also when an earlier try was stored although its answer was lost; reading the tokens again tells.

    Raises:
        sqlalchemy.exc.DBAPIError, sqlalchemy.exc.TimeoutError: it failed for longer than `patience_s` seconds.
    """
    deadline = time.monotonic() + patience_s
    while True:
        try:
            with engine.begin() as transaction:
                return swap_tokens(transaction, connection_id, expected_version=expected_version, sealed=sealed)
        except (DBAPIError, PoolTimeout):
            if time.monotonic() >= deadline:
                raise
            time.sleep(_STORE_PAUSE_S)
