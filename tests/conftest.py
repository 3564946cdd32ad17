"""Fixtures of the whole suite: services that start when the first test needs them, and the wall around the machine."""

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from cli.embedded import postgres
from services import network_guard
from services.broker import BreakableBroker, Broker, TopicFactory, start_breakable_broker, start_broker
from services.choice import BrokerChoice, DatabaseChoice, choose_broker, choose_database
from services.containers import docker_answers, engine_host
from services.database import (
    DatabaseServer,
    create_database,
    create_template,
    drop_database,
    fresh_name,
    start_database,
)
from services.workspace import run_home

BROKER_CHOICE = pytest.StashKey[BrokerChoice]()
DATABASE_CHOICE = pytest.StashKey[DatabaseChoice]()
LEFT_OUT = pytest.StashKey[int]()


def pytest_configure(config: pytest.Config) -> None:
    """Choose the services once; nothing is started yet."""
    config.stash[DATABASE_CHOICE] = choose_database(os.environ, docker_answers)
    config.stash[BROKER_CHOICE] = choose_broker(os.environ, docker_answers)
    config.stash[LEFT_OUT] = 0


def pytest_report_header(config: pytest.Config) -> list[str]:
    """Say which services the run uses."""
    return [f"database: {config.stash[DATABASE_CHOICE]}", f"broker: {config.stash[BROKER_CHOICE]}"]


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out the tests that count only on Apache Kafka, when the broker is another; they are counted, not hidden."""
    if config.stash[BROKER_CHOICE].is_apache:
        return
    left_out = [item for item in items if item.get_closest_marker("apache") is not None]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item.get_closest_marker("apache") is None]
        config.stash[LEFT_OUT] = len(left_out)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Repeat at the end what the run stood on, and what it left out."""
    for line in pytest_report_header(config):
        terminalreporter.write_line(line)
    count = config.stash[LEFT_OUT]
    if count:
        noun = "test counts" if count == 1 else "tests count"
        terminalreporter.write_line(f"left out: {count} {noun} only on Apache Kafka; run with `make test-kafka`")


@pytest.fixture(scope="session", autouse=True)
def _network_guard() -> Iterator[None]:
    named = (os.environ.get("DOCKER_HOST"), os.environ.get("DATABASE_URL"))
    hosts = {urlsplit(value).hostname or "" for value in named if value} | {engine_host(os.environ.get("DOCKER_HOST"))}
    with pytest.MonkeyPatch.context() as patch:
        network_guard.install(patch, frozenset(hosts))
        yield


@pytest.fixture(scope="session")
def services_home() -> Iterator[Path]:
    """The folder of this run's servers, below ``.devstack``; deleted at the end."""
    home = run_home()
    yield home
    shutil.rmtree(home)


@pytest.fixture(scope="session")
def database_server(request: pytest.FixtureRequest) -> Iterator[str]:
    """The URL of a connection that may create databases; the server is shared by the whole run."""
    server = _started_database(request)
    yield server.admin_url
    server.stop()


def _started_database(request: pytest.FixtureRequest) -> DatabaseServer:
    choice = request.config.stash[DATABASE_CHOICE]
    home: Path = request.getfixturevalue("services_home")
    return start_database(choice, home)


@pytest.fixture(scope="session")
def database_template(database_server: str) -> Iterator[str]:
    """The name of a database with every migration applied; tests copy it and never connect to it."""
    name = create_template(database_server)
    yield name
    drop_database(database_server, name)


@pytest.fixture
def empty_database_url(database_server: str) -> Iterator[str]:
    """The URL of an empty database of the test's own, for tests of the migrations themselves."""
    name = fresh_name("empty")
    yield create_database(database_server, name)
    drop_database(database_server, name)


@pytest.fixture
def database_url(database_server: str, database_template: str) -> Iterator[str]:
    """The URL of a database of the test's own, with every migration applied and no rows."""
    name = fresh_name("test")
    yield create_database(database_server, name, template=database_template)
    drop_database(database_server, name)


@pytest.fixture
def breakable_database(tmp_path: Path) -> Iterator[postgres.RunningPostgres]:
    """A PostgreSQL server of the test's own, to be killed and restarted; always the embedded one."""
    with postgres.start(postgres.PostgresConfig(tmp_path / "postgres")) as server:
        yield server


@pytest.fixture(scope="session")
def broker(request: pytest.FixtureRequest, services_home: Path) -> Iterator[Broker]:
    """The broker of the run, shared: tests keep apart by the names of their topics, groups and transactions."""
    started = start_broker(request.config.stash[BROKER_CHOICE], services_home)
    yield started
    started.stop()


@pytest.fixture
def breakable_broker(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[BreakableBroker]:
    """A broker of the test's own and of the run's kind, to be stopped, killed and restarted.

    The embedded one loses its last second to a SIGKILL: a test that kills the broker and counts messages is ``apache``.
    """
    server = start_breakable_broker(request.config.stash[BROKER_CHOICE], tmp_path)
    yield server
    server.stop()


@pytest.fixture
def topics(broker: Broker) -> TopicFactory:
    """Creates topics with names of the test's own: ``topics("commands", partitions=4)`` returns the full name."""
    return TopicFactory(broker.bootstrap_servers)


@pytest.fixture
def topics_on() -> Callable[[str], TopicFactory]:
    """The same for another broker, such as a breakable one: ``topics_on(server.bootstrap_servers)``."""
    return TopicFactory
