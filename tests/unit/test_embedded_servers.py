"""The embedded PostgreSQL and broker: local only, their data outlives a crash, a crash's remains do not stop them."""

import os
import stat
import time
import uuid
from pathlib import Path

import psycopg2
import pytest
from confluent_kafka import Consumer, Producer

from cli.embedded import broker, postgres
from cli.embedded.account import Account, argv_as, is_reachable_by_others
from cli.embedded.errors import ServerInUseError, ServerStartError
from cli.embedded.ports import FIRST_PORT, LAST_PORT, free_port, is_free
from cli.embedded.processes import listening_addresses


def query(url: str, statement: str) -> list[tuple[object, ...]]:
    connection = psycopg2.connect(url)
    try:
        with connection, connection.cursor() as cursor:
            cursor.execute(statement)
            return cursor.fetchall() if cursor.description else []
    finally:
        connection.close()


def produce(servers: str, topic: str, value: bytes) -> None:
    producer = Producer({"bootstrap.servers": servers})
    producer.produce(topic, value)
    assert producer.flush(15) == 0


def read(servers: str, topic: str, count: int) -> list[bytes | None]:
    settings = {"bootstrap.servers": servers, "group.id": uuid.uuid4().hex, "auto.offset.reset": "earliest"}
    consumer = Consumer(settings)
    try:
        consumer.subscribe([topic])
        polled = (consumer.poll(0.1) for _ in range(200))
        values: list[bytes | None] = []
        for message in polled:
            if message is not None and message.error() is None:
                values.append(message.value())
            if len(values) == count:
                break
        return values
    finally:
        consumer.close()


def test_postgres_keeps_commits_through_a_sigkill_and_its_port_through_the_restart(tmp_path: Path) -> None:
    """What was committed before ``kill`` is there after ``restart``, under the same URL."""
    # Given a committed row
    with postgres.start(postgres.PostgresConfig(tmp_path)) as server:
        query(server.url, "CREATE TABLE kept (id int); INSERT INTO kept VALUES (81)")

        # When the server is killed and restarted
        server.kill()
        with pytest.raises(psycopg2.OperationalError):
            query(server.url, "SELECT 1")
        server.restart()

        # Then the row is there
        assert query(server.url, "SELECT id FROM kept") == [(81,)]


def test_postgres_listens_on_loopback_only_and_wants_its_password(tmp_path: Path) -> None:
    """No other machine and no other local account gets in: 127.0.0.1 alone, a random password, private files."""
    # Given a running server
    with postgres.start(postgres.PostgresConfig(tmp_path)) as server:
        # When its sockets are listed / Then there is one, on the loopback address
        assert {address for address, _port in listening_addresses(server.pid)} == {"127.0.0.1"}

        # And a wrong password is refused, and the right one lies in a file for its owner alone
        password = (tmp_path / "password").read_text().strip()
        with pytest.raises(psycopg2.OperationalError, match="password authentication failed"):
            query(server.url.replace(password, "wrong"), "SELECT 1")
        assert stat.S_IMODE((tmp_path / "password").stat().st_mode) == 0o600


def test_postgres_starts_over_a_pid_file_whose_number_another_program_has_now(tmp_path: Path) -> None:
    """A stale ``postmaster.pid`` does not stop the start, although its pid is alive."""
    # Given data of an earlier run, and pid files that name this test process
    with postgres.start(postgres.PostgresConfig(tmp_path)) as server:
        query(server.url, "CREATE TABLE kept (id int)")
        lines = (tmp_path / "data" / "postmaster.pid").read_text().splitlines()
    (tmp_path / "data" / "postmaster.pid").write_text("\n".join([str(os.getpid()), *lines[1:]]) + "\n")
    (tmp_path / "server.pid").write_text(f"{os.getpid()}\n")

    # When it is started again
    with postgres.start(postgres.PostgresConfig(tmp_path)) as server:
        # Then it runs on the same data
        assert query(server.url, "SELECT count(*) FROM kept") == [(0,)]


def test_postgres_folder_is_not_shared_by_two_servers(tmp_path: Path) -> None:
    """A second start in a folder in use is refused with a clear line, and the first goes on."""
    # Given a running server
    with postgres.start(postgres.PostgresConfig(tmp_path)) as server:
        # When another start wants its folder
        with pytest.raises(ServerInUseError, match=r"PostgreSQL in .* is in use"):
            postgres.start(postgres.PostgresConfig(tmp_path))

        # Then the first still answers
        assert query(server.url, "SELECT 1") == [(1,)]


def test_postgres_data_of_another_major_version_is_refused_with_what_to_do(tmp_path: Path) -> None:
    """Data that another PostgreSQL made is refused by our own words, before the server is tried."""
    # Given data marked as PostgreSQL 12's
    postgres.start(postgres.PostgresConfig(tmp_path)).stop()
    (tmp_path / "data" / "PG_VERSION").write_text("12\n")

    # When it is started / Then the error names both versions and the way out
    with pytest.raises(ServerStartError, match=r"was made by PostgreSQL 12, this is 18; delete the folder"):
        postgres.start(postgres.PostgresConfig(tmp_path))


def test_port_in_use_fails_the_start_with_the_servers_own_words(tmp_path: Path) -> None:
    """A fixed port that somebody listens on is a failed start that quotes PostgreSQL, not a wait without end."""
    # Given a server on a port
    with postgres.start(postgres.PostgresConfig(tmp_path / "first")) as first:
        port = next(port for _address, port in listening_addresses(first.pid))

        # When a second is told to take the same / Then it fails at once and says why
        with pytest.raises(ServerStartError, match="Address already in use"):
            postgres.start(postgres.PostgresConfig(tmp_path / "second", port=port))


def test_broker_keeps_messages_through_a_clean_restart_on_the_same_port(tmp_path: Path) -> None:
    """What a producer was told is written is there after ``restart``, under the same address."""
    # Given a written message
    with broker.start(broker.BrokerConfig(tmp_path)) as server:
        produce(server.bootstrap_servers, "kept", b"before")

        # When the broker is restarted at once
        server.restart()
        produce(server.bootstrap_servers, "kept", b"after")

        # Then both messages are there
        assert read(server.bootstrap_servers, "kept", 2) == [b"before", b"after"]


def test_broker_keeps_through_a_sigkill_what_it_had_two_seconds_to_write(tmp_path: Path) -> None:
    """The embedded broker writes its state once a second: older messages survive ``kill``; younger ones may not."""
    # Given a message written more than two seconds ago
    with broker.start(broker.BrokerConfig(tmp_path)) as server:
        produce(server.bootstrap_servers, "kept", b"before")
        time.sleep(2.2)

        # When the broker is killed and restarted
        server.kill()
        server.restart()

        # Then the message is there
        assert read(server.bootstrap_servers, "kept", 1) == [b"before"]


def test_broker_listens_on_loopback_only(tmp_path: Path) -> None:
    """Every socket of the broker, its control port included, is on 127.0.0.1."""
    # Given a running broker
    with broker.start(broker.BrokerConfig(tmp_path)) as server:
        # When its sockets are listed
        listening = listening_addresses(server.pid)

        # Then all are on the loopback address, the announced one among them
        assert {address for address, _port in listening} == {"127.0.0.1"}
        assert server.bootstrap_servers in {f"{address}:{port}" for address, port in listening}


def test_broker_starts_over_the_remains_of_a_crash(tmp_path: Path) -> None:
    """A control record that names a living stranger's pid does not stop the start, and the data is there."""
    # Given a broker's data and a control record whose pid another program has now
    with broker.start(broker.BrokerConfig(tmp_path)) as server:
        produce(server.bootstrap_servers, "kept", b"before")
        control = (tmp_path / "data" / "noida.control.json").read_text()
        pid = server.pid
    (tmp_path / "data" / "noida.control.json").write_text(control.replace(str(pid), str(os.getpid())))

    # When it is started again
    with broker.start(broker.BrokerConfig(tmp_path)) as server:
        # Then the message is there
        assert read(server.bootstrap_servers, "kept", 1) == [b"before"]


def test_free_port_lies_below_the_ports_of_outgoing_connections() -> None:
    """A server's port is never one that a passing connection may take while the server is down."""
    # Given / When
    port = free_port()

    # Then
    assert FIRST_PORT <= port < LAST_PORT
    assert is_free(port)


def test_root_hands_the_server_over_and_keeps_one_capability_only_where_a_folder_is_private(tmp_path: Path) -> None:
    """``nobody`` runs the server; out of its reach, one capability is kept, no folder opened."""
    # Given an open folder and a private one
    account = Account(uid=65534, gid=65534)
    private = tmp_path / "private"
    (private / "home").mkdir(parents=True)
    private.chmod(0o700)

    # When a start is planned in each
    in_private = argv_as(account, ("/bin/true",), private / "home")
    in_open = argv_as(account, ("/bin/true",), Path("/usr"))

    # Then only the private one needs the capability, and neither runs as root
    assert not is_reachable_by_others(private / "home")
    assert "--ambient-caps=+dac_override" in in_private.argv
    assert f"--reuid={account.uid}" in in_private.argv
    assert (in_open.argv, in_open.uid) == (("/bin/true",), account.uid)
