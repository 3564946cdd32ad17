"""How Alembic runs: one migration at a time, under time limits, so that it can never hold up a live service.

`alembic upgrade head` reads DATABASE_URL; `alembic -x url=postgresql://… upgrade head` overrides it.
"""

import os

import sqlalchemy
from alembic import context

#: A migration that cannot get its locks in this time gives up instead of queueing every reader behind it.
LOCK_TIMEOUT = "4s"
#: No single statement of a migration may run longer; long data moves belong to the service, in batches.
STATEMENT_TIMEOUT = "30s"
#: Two migrations at once wait for each other here (any constant does; this one spells "crm").
ADVISORY_LOCK = 0x63726D


def _url() -> str:
    url = context.get_x_argument(as_dictionary=True).get("url") or context.config.attributes.get("url")
    url = url or os.environ.get("DATABASE_URL")
    if not url:
        raise SystemExit("DATABASE_URL is not set (expected: postgresql://user:password@host:5432/name)")
    return str(url)


def run() -> None:
    """Run the wanted revisions in one transaction each."""
    engine = sqlalchemy.create_engine(_url(), poolclass=sqlalchemy.pool.NullPool)
    with engine.connect() as connection:
        connection.exec_driver_sql(f"SET lock_timeout = '{LOCK_TIMEOUT}'")
        connection.exec_driver_sql(f"SET statement_timeout = '{STATEMENT_TIMEOUT}'")
        connection.exec_driver_sql(f"SELECT pg_advisory_lock({ADVISORY_LOCK})")
        connection.commit()
        try:
            context.configure(connection=connection, transaction_per_migration=True)
            with context.begin_transaction():
                context.run_migrations()
        finally:
            connection.exec_driver_sql(f"SELECT pg_advisory_unlock({ADVISORY_LOCK})")
            connection.commit()
    engine.dispose()


run()
