"""The database server of a run, a template with every migration, and a fresh copy of it for each test."""

import os
import secrets
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import psycopg2
from psycopg2 import sql

from cli.embedded import postgres
from services import containers
from services.choice import DatabaseChoice
from services.workspace import REPOSITORY

MIGRATION_WITHIN_S = 120


class MigrationFailedError(RuntimeError):
    """``alembic upgrade head`` did not work; the text holds what it printed."""


@dataclass(frozen=True, slots=True)
class DatabaseServer:
    """A PostgreSQL server on which the run may make databases.

    Attributes:
        admin_url: libpq URL of a connection that may create databases.
        stop: Ends the server, when the run started it.
    """

    admin_url: str
    stop: Callable[[], None]


def start_database(choice: DatabaseChoice, home: Path) -> DatabaseServer:
    """Start, or take, the chosen database server.

    Args:
        choice: Which one.
        home: Folder for an embedded server's files.
    """
    if choice.kind == "env":
        return DatabaseServer(choice.url or "", _leave)
    if choice.kind == "docker":
        container = containers.start_postgres()
        return DatabaseServer(container.url, container.stop)
    server = postgres.start(postgres.PostgresConfig(home / "postgres"))
    return DatabaseServer(server.url, server.stop)


def _leave() -> None:
    """Leave a server running that somebody else started."""


def url_of(admin_url: str, database: str) -> str:
    """Return the URL of another database on the same server."""
    return urlunsplit(urlsplit(admin_url)._replace(path=f"/{database}"))


def fresh_name(purpose: str) -> str:
    """Return a database name that nobody uses: ``crm_sync_<purpose>_<random>``."""
    return f"crm_sync_{purpose}_{secrets.token_hex(6)}"


def create_database(admin_url: str, name: str, template: str = "template0") -> str:
    """Create a database, as a copy of a template to which nobody is connected, and return its URL."""
    statement = sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(sql.Identifier(name), sql.Identifier(template))
    _execute(admin_url, statement)
    return url_of(admin_url, name)


def drop_database(admin_url: str, name: str) -> None:
    """Drop a database, and the connections that a test left open to it."""
    _execute(admin_url, sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))


def _execute(admin_url: str, statement: sql.Composable) -> None:
    connection = psycopg2.connect(admin_url)
    try:
        connection.autocommit = True  # CREATE DATABASE cannot run inside a transaction
        with connection.cursor() as cursor:
            cursor.execute(statement)
    finally:
        connection.close()


def alembic(url: str, *arguments: str) -> str:
    """Run Alembic against a database, the way an operator does, and return what it printed.

    The URL travels in the environment: a command line is readable by every account of the machine.

    Raises:
        MigrationFailedError: It ended with an error.
    """
    done = subprocess.run(
        (sys.executable, "-m", "alembic", *arguments),
        cwd=REPOSITORY,
        env={**os.environ, "DATABASE_URL": url},
        capture_output=True,
        text=True,
        check=False,
        timeout=MIGRATION_WITHIN_S,
    )
    if done.returncode != 0:
        raise MigrationFailedError(f"alembic {' '.join(arguments)} failed:\n{done.stdout}{done.stderr}")
    return done.stdout


def create_template(admin_url: str) -> str:
    """Create a database with every migration applied, to be copied by each test, and return its name.

    Raises:
        MigrationFailedError: A migration failed, or there is none.
    """
    name = fresh_name("template")
    url = create_database(admin_url, name)
    try:
        _migrate(url)
    except BaseException:
        drop_database(admin_url, name)
        raise
    return name


def _migrate(url: str) -> None:
    alembic(url, "upgrade", "head")
    if not alembic(url, "current").strip():
        raise MigrationFailedError("`alembic upgrade head` applied nothing: migrations/versions holds no revision")
