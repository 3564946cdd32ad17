"""The engine: how this service reaches PostgreSQL. A unit of work is `with engine.begin() as connection:`."""

import json
import time
from typing import Any

import sqlalchemy
import structlog
from sqlalchemy import Connection, Engine, exc

__all__ = [
    "Connection",
    "DataNotStorable",
    "DatabaseUnavailable",
    "Engine",
    "create_engine",
    "wait_for_database",
]

log = structlog.get_logger()

#: No statement of the service may hold a lock or run longer than this; the hot ones take milliseconds.
STATEMENT_TIMEOUT_MS = 15_000
LOCK_TIMEOUT_MS = 5_000
#: A process that is stopped in the middle of a transaction loses it, and the locks that others wait for.
IDLE_IN_TRANSACTION_MS = 10_000

#: What every statement may raise while PostgreSQL is away, restarting or overloaded: wait, then do the same again.
DatabaseUnavailable = (exc.OperationalError, exc.InterfaceError, exc.TimeoutError, exc.InternalError)
#: What a statement raises when one row's data cannot be stored; the whole transaction is undone.
DataNotStorable = (exc.DataError, exc.IntegrityError, ValueError)


def create_engine(url: str, *, pool_size: int = 8, application_name: str = "crm-sync") -> Engine:
    """An engine on `url` (postgresql://…) with time limits on every statement and connections checked before use.

    Args:
        url: As in DATABASE_URL; the psycopg2 driver is chosen here.
        pool_size: Connections kept; as many again may be opened for a moment.
        application_name: Shown in `pg_stat_activity`.
    """
    return sqlalchemy.create_engine(
        sqlalchemy.make_url(url).set(drivername="postgresql+psycopg2"),
        pool_size=pool_size,
        max_overflow=pool_size,
        pool_pre_ping=True,
        pool_timeout=10,
        json_serializer=_compact_json,
        # An error's text must not hold the statement's values: they are people's data and sealed tokens.
        hide_parameters=True,
        connect_args={
            "application_name": application_name,
            "connect_timeout": 5,
            "options": f"-c statement_timeout={STATEMENT_TIMEOUT_MS} -c lock_timeout={LOCK_TIMEOUT_MS} -c timezone=UTC "
            f"-c idle_in_transaction_session_timeout={IDLE_IN_TRANSACTION_MS}",
            # A peer that vanished without a word is noticed within half a minute, idle or in the middle of a statement.
            "tcp_user_timeout": 30_000,
            "keepalives_idle": 10,
            "keepalives_interval": 5,
            "keepalives_count": 3,
        },
    )


def wait_for_database(engine: Engine, within_s: float, *, pause_s: float = 0.5) -> str | None:
    """Try to reach the database until it answers, for at most `within_s` seconds.

    Returns:
        None when it answered; else what it said last.
    """
    deadline = time.monotonic() + within_s
    while True:
        try:
            with engine.connect() as connection:
                connection.exec_driver_sql("SELECT 1")
        except DatabaseUnavailable as problem:
            reason = str(getattr(problem, "orig", problem)).strip().partition("\n")[0]
        else:
            return None
        if time.monotonic() >= deadline:
            return reason
        log.warning("database_not_reachable", reason=reason, left_s=round(deadline - time.monotonic(), 1))
        time.sleep(pause_s)


def _compact_json(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)
