"""`crm-sync` commands against a real database and a real broker."""

import json
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import Engine

from cli.kafka import TopicReader
from cli.main import run
from cli.problems import ExitCode
from cli.settings import KafkaAccess
from crm.settings import load
from crm.store import history, workspaces
from crm.store.engine import create_engine
from crm.store.tables import sync_history
from schemas.command import SYNC_COMMAND
from schemas.result import Counts, SyncResult
from services.broker import Broker

Json = Callable[..., Any]


@pytest.fixture
def json_of(capsys: pytest.CaptureFixture[str]) -> Json:
    """Runs a command with `--json`, checks its exit code and returns its document."""

    def call(*arguments: str, code: int = ExitCode.DONE) -> Any:
        ended = run([*arguments, "--json"])
        shown = capsys.readouterr()
        assert ended == code, shown.err
        return json.loads(shown.out)

    return call


@pytest.fixture
def on_database(monkeypatch: pytest.MonkeyPatch, database_url: str) -> str:
    """The environment names a migrated database of the test's own, and nothing else."""
    monkeypatch.setenv("DATABASE_URL", database_url)
    monkeypatch.delenv("CRM_SYNC_API_URL", raising=False)
    monkeypatch.delenv("KAFKA_BOOTSTRAP_SERVERS", raising=False)
    return database_url


@pytest.fixture
def on_broker(monkeypatch: pytest.MonkeyPatch, broker: Broker) -> KafkaAccess:
    """The environment names the broker, and a topic prefix of the test's own."""
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", broker.bootstrap_servers)
    monkeypatch.setenv("CRM_SYNC_TOPIC_PREFIX", f"cli-{uuid4().hex[:8]}.")
    monkeypatch.delenv("DATABASE_URL", raising=False)
    monkeypatch.delenv("CRM_SYNC_API_URL", raising=False)
    return load(KafkaAccess)


def test_migrate_an_empty_database(empty_database_url: str, monkeypatch: pytest.MonkeyPatch, json_of: Json) -> None:
    """`migrate --check` sees an empty database, `migrate` brings it to the newest revision, again is no change."""
    # Given
    monkeypatch.setenv("DATABASE_URL", empty_database_url)
    # When
    before = json_of("migrate", "--check", code=ExitCode.ATTENTION)
    done = json_of("migrate")
    again = json_of("migrate", "--check")
    # Then
    assert before["revision"] is None
    assert done["revision"] == again["revision"] == before["head"]


def test_commands_before_migrate_say_what_to_run(
    empty_database_url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without tables a command names the one that makes them."""
    # Given
    monkeypatch.setenv("DATABASE_URL", empty_database_url)
    # When
    code = run(["workspaces", "list"])
    # Then
    assert code == ExitCode.UNREACHABLE
    assert "run: crm-sync migrate" in capsys.readouterr().err


@pytest.mark.usefixtures("on_database")
def test_workspaces_are_created_once(json_of: Json, capsys: pytest.CaptureFixture[str]) -> None:
    """A workspace gets the id that was asked for, shows in the list, and a second one with the same id is refused."""
    # Given
    wanted = str(uuid4())
    # When
    made = json_of("workspaces", "create", "Acme", "--id", wanted)
    listed = json_of("workspaces", "list")
    code = run(["workspaces", "create", "Other", "--id", wanted])
    # Then
    assert made["id"] == wanted
    assert [(one["id"], one["name"]) for one in listed] == [(wanted, "Acme")]
    assert code == ExitCode.USAGE
    assert wanted in capsys.readouterr().err


@pytest.mark.broker
def test_topics_are_created_once_and_checked(on_broker: KafkaAccess, json_of: Json) -> None:
    """`topics --check` misses all six, `topics` creates them with their partitions, a second time creates none."""
    # Given
    names = {getattr(on_broker.topics, name) for name in on_broker.topics.__dataclass_fields__}
    # When
    before = json_of("topics", "--check", code=ExitCode.ATTENTION)
    made = json_of("topics", "--partitions", "4")
    again = json_of("topics", "--partitions", "9")
    # Then
    assert len(before["findings"]) == 6
    assert set(made["created"]) == names
    assert again["created"] == []
    assert again["topics"][on_broker.topics.commands] == 4
    assert again["topics"][on_broker.topics.relay_cursor] == 8


@pytest.mark.broker
def test_published_commands_follow_the_contract(on_broker: KafkaAccess, json_of: Json, tmp_path: Path) -> None:
    """A file of 201 rows is two commands on the commands topic: valid, in order, in binary CloudEvents mode."""
    # Given
    json_of("topics", "--partitions", "3")
    workspace = str(uuid4())
    path = tmp_path / "people.csv"
    rows = "".join(f"p{number}@example.com;0{number}\n" for number in range(201))
    path.write_text("\ufeffE-mail;ref\n" + rows, encoding="utf-8")
    # When
    target = ("--to", "salesforce", "--entity", "person", "--workspace", workspace, "--map", "E-mail=email")
    sent = json_of("publish", str(path), *target, "--match", "email")
    with closing(
        TopicReader(on_broker.kafka_bootstrap_servers, [on_broker.topics.commands], from_beginning=True)
    ) as reader:
        messages = list(reader.to_end())
    # Then
    commands = [SYNC_COMMAND.validate_python(message.value) for message in messages]
    records = [record for command in commands if command.direction == "push" for record in command.records]
    assert [command.command_id for command in commands] == sent["commands"]
    assert [message.headers["ce_id"] for message in messages] == sent["commands"]
    assert {message.headers["ce_type"] for message in messages} == {"io.morket.crm.sync.command.v1"}
    assert {message.partition for message in messages} == {messages[0].partition}
    assert [(record.ref, record.fields["email"]) for record in records][:2] == [
        ("00", "p0@example.com"),
        ("01", "p1@example.com"),
    ]
    assert len(records) == 201


@pytest.mark.broker
def test_wait_without_a_worker_ends_with_no_answer(
    on_broker: KafkaAccess, json_of: Json, capsys: pytest.CaptureFixture[str]
) -> None:
    """`--wait` gives up after the silence that was asked for, and says how to look later."""
    # Given
    json_of("topics", "--partitions", "1")
    pull = ["publish", "--pull", "--to", "hubspot", "--entity", "person", "--workspace", str(uuid4())]
    # When
    code = run([*pull, "--wait", "--timeout", "1"])
    # Then
    assert code == ExitCode.TIMED_OUT
    assert "crm-sync watch " in capsys.readouterr().err
    assert on_broker.topic_prefix


@pytest.mark.broker
def test_missing_topic_says_what_to_run(on_broker: KafkaAccess, capsys: pytest.CaptureFixture[str]) -> None:
    """Following a results topic that is not there names the command that makes it."""
    # Given
    watch = ["watch", "c1", "--workspace", str(uuid4()), "--timeout", "1"]
    # When
    code = run(watch)
    # Then
    assert code == ExitCode.UNREACHABLE
    assert f"topic {on_broker.topics.results} is not there; create it with: crm-sync topics" in capsys.readouterr().err


def _store_result(engine: Engine, workspace_id: UUID) -> SyncResult:
    """A history row as the worker leaves it."""
    result = SyncResult(
        command_id="c1",
        sync_id=uuid4(),
        workspace_id=workspace_id,
        integration="hubspot",
        direction="push",
        entity="person",
        status="completed",
        record_count=2,
        success_count=2,
        failure_count=0,
        skipped_count=0,
        counts=Counts(created=2),
        started_at=datetime(2026, 11, 22, 12, tzinfo=UTC),
        completed_at=datetime(2026, 11, 22, 12, 0, 1, tzinfo=UTC),
    )
    columns = history.as_history(result, claim_id="c1") | {"id": result.sync_id, "workspace_id": workspace_id}
    with engine.begin() as connection:
        connection.execute(sync_history.insert().values(columns))
    return result


def test_history_and_watch_answer_from_the_database(on_database: str, json_of: Json) -> None:
    """`history` lists and shows a stored sync; `watch` answers at once when the result is there already."""
    # Given
    engine = create_engine(on_database, pool_size=1)
    with engine.begin() as connection:
        workspace = workspaces.create(connection, "Acme").id
    stored = _store_result(engine, workspace)
    engine.dispose()
    # When
    listed = json_of("history", "--workspace", str(workspace))
    shown = json_of("history", str(stored.sync_id), "--workspace", str(workspace))
    watched = json_of("watch", "c1", "--workspace", str(workspace), "--timeout", "5")
    # Then
    assert [one["sync_id"] for one in listed] == [str(stored.sync_id)]
    assert shown == watched == stored.model_dump(mode="json")
