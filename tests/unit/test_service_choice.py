"""Which broker and database a run stands on: every case, decided without starting anything."""

import ast
from collections.abc import Callable
from pathlib import Path

import pytest

from services import containers
from services.apache_kafka import node_properties
from services.choice import BrokerChoice, DatabaseChoice, UnknownBrokerError, choose_broker, choose_database
from services.workspace import REPOSITORY, sweep

BROKER_AT_K = BrokerChoice("env", is_apache=False, bootstrap_servers="k:9092")
APACHE_AT_K = BrokerChoice("env", is_apache=True, bootstrap_servers="k:9092")
URL = "postgresql://app:app@127.0.0.1:5432/app"


def answers() -> bool:
    return True


def is_silent() -> bool:
    return False


def never_asked() -> bool:
    raise AssertionError("the Docker engine was asked although its answer does not matter")


@pytest.mark.parametrize(
    ("environment", "docker", "expected"),
    [
        ({"DATABASE_URL": URL}, never_asked, DatabaseChoice("env", URL)),
        ({}, answers, DatabaseChoice("docker")),
        ({}, is_silent, DatabaseChoice("embedded")),
        ({"DATABASE_URL": ""}, is_silent, DatabaseChoice("embedded")),
    ],
)
def test_database_is_the_named_one_else_docker_else_embedded(
    environment: dict[str, str], docker: Callable[[], bool], expected: DatabaseChoice
) -> None:
    """``DATABASE_URL`` wins, then a Docker engine that answers, then the embedded server; empty counts as absent."""
    # Given an environment and an engine that answers, does not, or must not be asked
    # When / Then
    assert choose_database(environment, docker) == expected


@pytest.mark.parametrize(
    ("environment", "docker", "expected"),
    [
        ({"KAFKA_BOOTSTRAP_SERVERS": "k:9092"}, never_asked, BROKER_AT_K),
        (
            {"KAFKA_BOOTSTRAP_SERVERS": "k:9092", "CRM_SYNC_TEST_BROKER": "apache"},
            never_asked,
            APACHE_AT_K,
        ),
        ({"CRM_SYNC_TEST_BROKER": "apache"}, never_asked, BrokerChoice("apache", is_apache=True)),
        ({"CRM_SYNC_TEST_BROKER": "embedded"}, never_asked, BrokerChoice("embedded", is_apache=False)),
        ({"CRM_SYNC_TEST_BROKER": "docker"}, never_asked, BrokerChoice("docker", is_apache=True)),
        ({}, answers, BrokerChoice("docker", is_apache=True)),
        ({}, is_silent, BrokerChoice("embedded", is_apache=False)),
        (
            {"KAFKA_BOOTSTRAP_SERVERS": "", "CRM_SYNC_TEST_BROKER": ""},
            is_silent,
            BrokerChoice("embedded", is_apache=False),
        ),
    ],
)
def test_broker_is_the_named_one_else_the_asked_kind_else_docker_else_embedded(
    environment: dict[str, str], docker: Callable[[], bool], expected: BrokerChoice
) -> None:
    """The address wins, then ``CRM_SYNC_TEST_BROKER``, then Docker, then the embedded one; ``is_apache`` follows."""
    # Given an environment and an engine that answers, does not, or must not be asked
    # When / Then
    assert choose_broker(environment, docker) == expected


def test_unknown_broker_kind_is_refused_with_the_known_ones() -> None:
    """A misspelt ``CRM_SYNC_TEST_BROKER`` stops the run; it does not fall back to another broker in silence."""
    # Given a misspelt kind / When it is read / Then the error has the choices
    with pytest.raises(UnknownBrokerError, match="apache, docker, embedded"):
        choose_broker({"CRM_SYNC_TEST_BROKER": "apach"}, never_asked)


def test_every_choice_is_said_in_words_and_no_password_is_among_them() -> None:
    """The header names what a run stands on; the database's URL, which holds a password, is not printed."""
    # Given every choice
    databases = [
        DatabaseChoice("env", "postgresql://a:hunter2@h/d"),
        DatabaseChoice("docker"),
        DatabaseChoice("embedded"),
    ]
    brokers = [APACHE_AT_K, *(BrokerChoice(kind, is_apache=False) for kind in ("docker", "embedded", "apache"))]

    # When they are printed
    lines = [str(choice) for choice in (*databases, *brokers)]

    # Then all differ and none gives the password away
    assert len(set(lines)) == len(lines)
    assert not [line for line in lines if "hunter2" in line]
    assert "k:9092 (Apache Kafka)" in lines[3]


@pytest.mark.parametrize(
    ("value", "host"),
    [
        (None, "127.0.0.1"),
        ("unix:///var/run/docker.sock", "127.0.0.1"),
        ("tcp://build-7:2375", "build-7"),
        ("ssh://ci@build-8", "build-8"),
    ],
)
def test_published_ports_are_reached_where_the_engine_runs(value: str | None, host: str) -> None:
    """A container's port is on this machine, or on the host that ``DOCKER_HOST`` names."""
    # Given a DOCKER_HOST / When / Then
    assert containers.engine_host(value) == host


def test_container_and_jvm_broker_agree_on_what_the_tests_rely_on(tmp_path: Path) -> None:
    """Both Apache Kafkas run the group and transaction settings that the tests count on."""
    # Given the settings of both
    container = containers.kafka_environment("127.0.0.1", 19092)
    jvm = node_properties(tmp_path, 19092, 19093)

    # When the container's names are turned into the broker's own
    named = {key.removeprefix("KAFKA_").lower().replace("_", "."): value for key, value in container.items()}

    # Then every setting that does not speak of addresses is the same
    own = {"listeners", "advertised.listeners", "controller.quorum.voters"}
    assert {key: value for key, value in named.items() if key not in own} == {
        key: jvm[key] for key in named if key not in own
    }


def test_one_version_of_apache_kafka_everywhere() -> None:
    """The jars, the test container and the compose file are the same Kafka, and the databases the same PostgreSQL."""
    # Given the places that name a version
    pom = (REPOSITORY / "tests/kafka/pom.xml").read_text()
    compose = (REPOSITORY / "docker-compose.yml").read_text()

    # When / Then
    version = containers.KAFKA_IMAGE.partition(":")[2]
    assert f"<kafka.version>{version}</kafka.version>" in pom
    assert f"image: {containers.KAFKA_IMAGE}\n" in compose
    assert f"image: {containers.POSTGRES_IMAGE}\n" in compose


def test_folders_of_ended_runs_are_swept_and_those_of_living_ones_stay(tmp_path: Path) -> None:
    """A run deletes what a crashed run left behind, and nothing of a run that still goes on."""
    # Given the folder of a pid that cannot exist, and that of pid 1
    dead, living = tmp_path / "99999999", tmp_path / "1"
    (dead / "postgres").mkdir(parents=True)
    (dead / "postgres" / "server.pid").write_text("99999998\n")
    living.mkdir()

    # When
    swept = sweep(tmp_path)

    # Then
    assert swept == [dead]
    assert living.exists()
    assert not dead.exists()


def test_services_start_lazily() -> None:
    """Only the guard is switched on for every test; no fixture that starts a server is."""
    # Given the suite's fixtures
    tree = ast.parse((REPOSITORY / "tests/conftest.py").read_text())

    # When those are listed that apply to every test
    autouse = [
        node.name
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef) and any("autouse" in ast.unparse(d) for d in node.decorator_list)
    ]

    # Then it is the guard alone
    assert autouse == ["_network_guard"]
