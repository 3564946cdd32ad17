"""The migrations: the owner's 018 to the letter, models equal to the result, no live code, no endless locks."""

import ast
import time
from collections.abc import Mapping
from pathlib import Path
from uuid import uuid4

import psycopg2
import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import text

from crm.store.engine import LOCK_TIMEOUT_MS, STATEMENT_TIMEOUT_MS, create_engine
from crm.store.tables import metadata
from services.database import MigrationFailedError, alembic
from services.workspace import REPOSITORY

# The owner's migration 018, kept here word for word so that ours can be held against it.
OWNERS_018 = """
CREATE TABLE integrations (
  id UUID PRIMARY KEY DEFAULT gen_random_uuid(),
  workspace_id UUID NOT NULL REFERENCES workspaces(id) ON DELETE CASCADE,
  integration_slug VARCHAR(50) NOT NULL,
  encrypted_tokens TEXT NOT NULL,
  token_iv VARCHAR(32) NOT NULL,
  token_tag VARCHAR(32) NOT NULL,
  status VARCHAR(20) NOT NULL DEFAULT 'connected',
  connected_at TIMESTAMPTZ NOT NULL DEFAULT NOW(),
  UNIQUE(workspace_id, integration_slug)
);

CREATE TABLE integration_field_mappings (
  id UUID PRIMARY KEY DEFAULT gen_random_uuid(),
  workspace_id UUID NOT NULL REFERENCES workspaces(id) ON DELETE CASCADE,
  integration_slug VARCHAR(50) NOT NULL,
  morket_field VARCHAR(100) NOT NULL,
  crm_field VARCHAR(100) NOT NULL,
  direction VARCHAR(10) NOT NULL DEFAULT 'both',
  UNIQUE(workspace_id, integration_slug, morket_field)
);

CREATE TABLE sync_history (
  id UUID PRIMARY KEY DEFAULT gen_random_uuid(),
  workspace_id UUID NOT NULL REFERENCES workspaces(id) ON DELETE CASCADE,
  integration_slug VARCHAR(50) NOT NULL,
  direction VARCHAR(10) NOT NULL,
  record_count INTEGER NOT NULL DEFAULT 0,
  success_count INTEGER NOT NULL DEFAULT 0,
  failure_count INTEGER NOT NULL DEFAULT 0,
  status VARCHAR(20) NOT NULL DEFAULT 'running',
  started_at TIMESTAMPTZ NOT NULL DEFAULT NOW(),
  completed_at TIMESTAMPTZ
);
"""
HOST_WORKSPACES = (
    "CREATE TABLE workspaces (id UUID PRIMARY KEY DEFAULT gen_random_uuid(), name TEXT NOT NULL, plan TEXT)"
)
OWNERS_TABLES = ("integrations", "integration_field_mappings", "sync_history")

COLUMNS = """
SELECT table_name, column_name, data_type, character_maximum_length, is_nullable, column_default
  FROM information_schema.columns WHERE table_schema = 'public' AND table_name <> 'alembic_version'
"""
CONSTRAINTS = """
SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid)
  FROM pg_constraint WHERE connamespace = 'public'::regnamespace AND contype <> 'n'
   AND conrelid::regclass::text <> 'alembic_version'
"""
INDEXES = """
SELECT tablename, indexname, indexdef FROM pg_indexes
 WHERE schemaname = 'public' AND tablename <> 'alembic_version'
"""
SEQUENCES = "SELECT sequencename, data_type::text, increment_by FROM pg_sequences WHERE schemaname = 'public'"


def run(url: str, statement: str, values: Mapping[str, object] | None = None) -> list[tuple[object, ...]]:
    """Run one statement and return its rows."""
    connection = psycopg2.connect(url)
    try:
        with connection, connection.cursor() as cursor:
            cursor.execute(statement, values)
            return cursor.fetchall() if cursor.description else []
    finally:
        connection.close()


def schema_of(url: str) -> dict[str, list[tuple[object, ...]]]:
    """Everything that the catalog says about our tables, column order left aside."""
    queries = {"columns": COLUMNS, "constraints": CONSTRAINTS, "indexes": INDEXES, "sequences": SEQUENCES}
    return {name: sorted(run(url, query), key=repr) for name, query in queries.items()}


def test_018_is_the_owners_to_the_letter(empty_database_url: str, database_url: str) -> None:
    """Migration 018 makes the same tables, columns in order, defaults, keys and rules as the owner's own SQL."""
    # Given the owner's SQL on one database, beside a host product's workspaces
    run(database_url, "DROP SCHEMA public CASCADE; CREATE SCHEMA public")
    run(database_url, HOST_WORKSPACES)
    run(database_url, OWNERS_018)

    # When 018 runs on another one with the same workspaces
    run(empty_database_url, HOST_WORKSPACES)
    alembic(empty_database_url, "upgrade", "018")

    # Then the catalogs are equal, and so is the order of the columns
    assert schema_of(empty_database_url) == schema_of(database_url)
    order = (
        "SELECT table_name, ordinal_position, column_name FROM information_schema.columns "
        "WHERE table_schema = 'public' AND table_name <> 'alembic_version' ORDER BY 1, 2"
    )
    assert run(empty_database_url, order) == run(database_url, order)


def test_the_models_equal_the_migrated_schema(database_url: str, empty_database_url: str) -> None:
    """Alembic finds nothing to migrate, and a schema made from the models has the same catalog, CHECKs included."""
    # Given a migrated database, and one made from the models
    engine, modelled = create_engine(database_url), create_engine(empty_database_url)
    metadata.create_all(modelled)

    # When Alembic compares types, defaults, keys and indexes
    with engine.connect() as connection:
        options = {
            "compare_type": True,
            "compare_server_default": True,
            "include_name": lambda name, kind, _parents: (kind, name) != ("table", "alembic_version"),
        }
        differences = compare_metadata(MigrationContext.configure(connection, opts=options), metadata)
    engine.dispose()
    modelled.dispose()

    # Then there is no difference, nor in what Alembic does not look at
    assert differences == []
    migrated, from_models = schema_of(database_url), schema_of(empty_database_url)
    for part in migrated:
        assert _shape(migrated[part], part) == _shape(from_models[part], part)


def _shape(rows: list[tuple[object, ...]], part: str) -> list[tuple[object, ...]]:
    """The rows without what PostgreSQL names by itself and only renders differently for one meaning."""
    if part == "constraints":
        return sorted(((table, rule) for table, _name, rule in rows), key=repr)
    return rows


def test_up_down_up_leaves_the_same_schema(empty_database_url: str) -> None:
    """Every migration goes down again, and what it removes it can make again."""
    # Given an empty database
    before = schema_of(empty_database_url)

    # When it goes up, down to nothing, and up again
    alembic(empty_database_url, "upgrade", "head")
    first = schema_of(empty_database_url)
    alembic(empty_database_url, "downgrade", "base")
    down = schema_of(empty_database_url)
    alembic(empty_database_url, "upgrade", "head")

    # Then down is as empty as before, and up is as it was
    assert down == before
    assert schema_of(empty_database_url) == first
    assert first["columns"] != []


def test_down_keeps_the_rows_that_018_can_say(empty_database_url: str) -> None:
    """Going down to 018 keeps connected integrations and one mapping a field, and drops the rows it cannot say."""
    # Given a connected and a disconnected integration, and one field mapped twice
    alembic(empty_database_url, "upgrade", "head")
    workspace = str(uuid4())
    run(empty_database_url, "INSERT INTO workspaces (id, name) VALUES (%(w)s, 'Acme')", {"w": workspace})
    run(
        empty_database_url,
        "INSERT INTO integrations (workspace_id, integration_slug, status, encrypted_tokens, token_iv, token_tag, "
        "token_key_id) VALUES (%(w)s, 'salesforce', 'connected', 'c', 'i', 't', 'k1'), "
        "(%(w)s, 'hubspot', 'disconnected', NULL, NULL, NULL, NULL)",
        {"w": workspace},
    )
    run(
        empty_database_url,
        "INSERT INTO integration_field_mappings (workspace_id, integration_slug, entity, morket_field, crm_field) "
        "VALUES (%(w)s, 'salesforce', '*', 'job_title', 'Title'), (%(w)s, 'salesforce', 'Lead', 'job_title', 'R__c')",
        {"w": workspace},
    )

    # When it goes down to 018 and up again
    alembic(empty_database_url, "downgrade", "018")
    integrations = run(empty_database_url, "SELECT integration_slug, status FROM integrations")
    mappings = run(empty_database_url, "SELECT morket_field, crm_field FROM integration_field_mappings")

    # Then these are left
    assert integrations == [("salesforce", "connected")]
    assert mappings == [("job_title", "Title")]


def test_the_host_products_workspaces_are_left_alone(empty_database_url: str) -> None:
    """A `workspaces` table that is there already is used as it is, and never dropped."""
    # Given the host product's table with a row
    run(empty_database_url, HOST_WORKSPACES)
    run(empty_database_url, "INSERT INTO workspaces (name, plan) VALUES ('Acme', 'gold')")

    # When the migrations go up and down
    alembic(empty_database_url, "upgrade", "head")
    alembic(empty_database_url, "downgrade", "base")

    # Then the row is still there
    assert run(empty_database_url, "SELECT name, plan FROM workspaces") == [("Acme", "gold")]


def test_every_statement_of_a_migration_runs_under_time_limits(empty_database_url: str) -> None:
    """While a migration changes the schema, both time limits are in force in its session."""
    # Given a database that notes the limits under which each DDL statement runs
    run(
        empty_database_url,
        """
        CREATE TABLE limits (lock_timeout text, statement_timeout text);
        CREATE FUNCTION note_limits() RETURNS event_trigger LANGUAGE plpgsql AS $$
        BEGIN
          INSERT INTO limits VALUES (current_setting('lock_timeout'), current_setting('statement_timeout'));
        END $$;
        CREATE EVENT TRIGGER note_limits ON ddl_command_end EXECUTE FUNCTION note_limits();
        """,
    )

    # When every migration runs
    alembic(empty_database_url, "upgrade", "head")

    # Then each statement ran under them
    assert run(empty_database_url, "SELECT DISTINCT lock_timeout, statement_timeout FROM limits") == [("4s", "30s")]


def test_a_migration_gives_up_instead_of_queueing_behind_a_lock(empty_database_url: str) -> None:
    """A migration that cannot get its lock ends with an error within seconds and changes nothing."""
    # Given a long transaction that reads a table which 019 changes
    alembic(empty_database_url, "upgrade", "018")
    reader = psycopg2.connect(empty_database_url)
    with reader.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM integrations")

    # When 019 runs
    started = time.monotonic()
    with pytest.raises(MigrationFailedError, match="lock timeout"):
        alembic(empty_database_url, "upgrade", "019")
    took_s = time.monotonic() - started
    reader.close()

    # Then it gave up soon, the schema is still 018's, and it works once the reader is gone
    assert took_s < 20
    assert run(empty_database_url, "SELECT version_num FROM alembic_version") == [("018",)]
    alembic(empty_database_url, "upgrade", "head")


def test_the_services_own_statements_run_under_time_limits(database_url: str) -> None:
    """Every connection of the service's engine has both limits, and UTC."""
    # Given the service's engine
    engine = create_engine(database_url)

    # When a session is asked
    with engine.connect() as connection:
        limits = [
            connection.execute(text("SELECT setting FROM pg_settings WHERE name = :name"), {"name": name}).scalar_one()
            for name in ("statement_timeout", "lock_timeout", "TimeZone")
        ]
    engine.dispose()

    # Then they are set
    assert limits == [str(STATEMENT_TIMEOUT_MS), str(LOCK_TIMEOUT_MS), "UTC"]


def test_migrations_import_no_project_code() -> None:
    """A migration is frozen history: it must do the same when the live code has long changed."""
    # Given every file of the migrations
    files = sorted((REPOSITORY / "migrations").rglob("*.py"))
    ours = {path.name for path in REPOSITORY.iterdir() if path.is_dir()} | {"services"}

    # When their imports are read
    imported = {(path.name, name) for path in files for name in _imports(path)}

    # Then none is ours
    assert len(files) >= 3
    assert {(file, name) for file, name in imported if name.split(".")[0] in ours} == set()


def _imports(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add("." * node.level + (node.module or ""))
    return names
