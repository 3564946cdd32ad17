"""The one file of `cli` that opens the database: migrations, and an engine whose failures are one clear line."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Engine
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, SQLAlchemyError

from cli.problems import Unreachable, WrongInput
from crm.store.engine import create_engine

__all__ = ["Engine", "SchemaVersion", "migrate", "migrations_folder", "opened", "schema_version"]

#: Where the migrations lie, when it is not beside the installed packages (a container image).
MIGRATIONS = "CRM_SYNC_MIGRATIONS"


@dataclass(frozen=True, slots=True)
class SchemaVersion:
    """The revision that the database has, and the newest that this program brings."""

    current: str | None
    head: str | None

    @property
    def is_current(self) -> bool:
        """Whether nothing is left to migrate."""
        return self.current == self.head


@contextmanager
def opened(url: str) -> Iterator[Engine]:
    """An engine for one command line.

    Raises:
        Unreachable: PostgreSQL does not answer or refuses; the text never holds the password.
    """
    try:
        engine = create_engine(url, pool_size=2, application_name="crm-sync-cli")
    except ArgumentError:
        raise WrongInput(
            "DATABASE_URL is no database URL (expected: postgresql://user:password@host:5432/name)"
        ) from None
    try:
        yield engine
    except DBAPIError as problem:
        raise Unreachable(_explained(url, problem)) from None
    finally:
        engine.dispose()


def _explained(url: str, problem: SQLAlchemyError) -> str:
    cause = str(getattr(problem, "orig", None) or problem).strip()
    first = cause.partition("\n")[0]
    if "UndefinedTable" in type(getattr(problem, "orig", None)).__name__:
        return f"the database has no such table yet ({first}); run: crm-sync migrate"
    where = make_url(url).render_as_string(hide_password=True)
    return f"the database {where} refused or did not answer: {first}; check DATABASE_URL and that PostgreSQL runs"


def migrations_folder() -> Path:
    """The folder of the migrations: CRM_SYNC_MIGRATIONS, else the one beside the packages.

    Raises:
        WrongInput: There is none.
    """
    named = os.environ.get(MIGRATIONS)
    folder = Path(named) if named else Path(__file__).resolve().parent.parent / "migrations"
    if not (folder / "env.py").is_file():
        raise WrongInput(f"no migrations in {folder}; set {MIGRATIONS} to the folder `migrations` of this release")
    return folder


def schema_version(url: str) -> SchemaVersion:
    """Read which migration the database is at.

    Raises:
        Unreachable: PostgreSQL does not answer or refuses.
        WrongInput: The migrations are not found.
    """
    head = ScriptDirectory.from_config(_config(url)).get_current_head()
    with opened(url) as engine, engine.connect() as connection:
        current = MigrationContext.configure(connection).get_current_revision()
    return SchemaVersion(current, head)


def migrate(url: str) -> SchemaVersion:
    """Bring the database to the newest revision.

    Returns:
        The version before.

    Raises:
        Unreachable: PostgreSQL does not answer, refuses, or a migration did not get its locks in time.
        WrongInput: The migrations are not found.
    """
    before = schema_version(url)
    try:
        command.upgrade(_config(url), "head")
    except SQLAlchemyError as problem:
        raise Unreachable(_explained(url, problem)) from None
    return before


def _config(url: str) -> Config:
    config = Config()
    config.set_main_option("script_location", str(migrations_folder()).replace("%", "%%"))
    # As an attribute: an option would pass the password through ConfigParser's interpolation.
    config.attributes["url"] = make_url(url).set(drivername="postgresql+psycopg2").render_as_string(hide_password=False)
    return config
