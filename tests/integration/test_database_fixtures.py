"""The databases that tests get: migrated, empty, and nobody else's."""

import psycopg2

from services.database import create_database, drop_database, fresh_name


def run(url: str, statement: str) -> list[tuple[object, ...]]:
    connection = psycopg2.connect(url)
    try:
        with connection, connection.cursor() as cursor:
            cursor.execute(statement)
            return cursor.fetchall() if cursor.description else []
    finally:
        connection.close()


def test_each_test_has_a_migrated_database_of_its_own(
    database_url: str, database_server: str, database_template: str
) -> None:
    """A test's database carries the newest revision, and what one test writes no other one sees."""
    # Given this test's database, and another test's
    name = fresh_name("other")
    other = create_database(database_server, name, template=database_template)

    # When one of them is changed
    run(database_url, "CREATE TABLE only_here (id int)")

    # Then both have the same revision, and the change is in one
    revision = "SELECT version_num FROM alembic_version"
    exists = "SELECT to_regclass('only_here') IS NOT NULL"
    assert run(database_url, revision) == run(other, revision) != []
    assert (run(database_url, exists), run(other, exists)) == ([(True,)], [(False,)])
    drop_database(database_server, name)


def test_dropping_a_database_ends_the_connections_that_a_test_left_open(database_server: str) -> None:
    """A test that forgets a connection does not keep its database alive."""
    # Given a database with an open connection
    name = fresh_name("other")
    forgotten = psycopg2.connect(create_database(database_server, name))

    # When it is dropped
    drop_database(database_server, name)

    # Then it is gone
    assert run(database_server, f"SELECT 1 FROM pg_database WHERE datname = '{name}'") == []  # noqa: S608 - our own name
    forgotten.close()


def test_empty_database_has_no_tables(empty_database_url: str) -> None:
    """The database for tests of the migrations holds nothing before they run."""
    # Given / When / Then
    assert run(empty_database_url, "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'") == [(0,)]
