"""How worker and relay start and stop: exit codes, what they finish, what they say, their health pages."""

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest
import requests

from cli.embedded.ports import free_port
from consumer.settings import RelaySettings, WorkerSettings
from crm.settings import SettingsProblem, load
from services.house import MASTER_KEY, House, person, push, wait_until

pytestmark = pytest.mark.broker

NEEDED = ["DATABASE_URL", "KAFKA_BOOTSTRAP_SERVERS", "CRM_SYNC_MASTER_KEYS", "INTEGRATION_OAUTH_REDIRECT_BASE"]


def test_sigterm_finishes_what_is_in_flight_and_nothing_is_run_twice(empty_house: Callable[..., House]) -> None:
    """The worker takes nothing more, stores and relays what had left, exits with 0; the next one runs only the rest."""
    # Given six connections with two commands each, and a CRM that takes 1.5 s for a call
    house = empty_house()
    house.start("relay")
    worker = house.start("worker")
    accounts = [_connected(house) for _ in range(6)]
    house.sandbox.switch("salesforce", latency_ms=1500)
    commands = [push(workspace_id, "salesforce", [person(n)]) for n in range(2) for workspace_id, _ in accounts]
    for command in commands:
        house.publish(command)
    house.producer.flush(10)
    wait_until(lambda: _writes_in_flight(house) >= 6, 30, house.logs)
    # When it is told to stop while the first command of each writes
    code = worker.stop()
    # Then it ends well, and each command that it had begun is stored; none was begun afterwards
    assert code == 0, house.logs()
    stored = {row.command_id for row in house.rows("SELECT command_id FROM sync_history")}
    assert stored == {command["command_id"] for command in commands[:6]}
    assert not house.rows("SELECT 1 FROM command_claims WHERE state = 'running'")
    # When another worker goes on
    house.sandbox.switch("salesforce", latency_ms=0)
    started = time.monotonic()
    house.start("worker")
    results = house.wait_for_results(12)
    # Then it waits for no lease, each has one result, and each was written once
    assert time.monotonic() - started < 15
    assert Counter(result["command_id"] for result in results) == Counter(command["command_id"] for command in commands)
    assert {(result["status"], result["attempt"]) for result in results} == {("completed", 1)}
    assert _writes(house) == 12


def test_a_second_sigterm_exits_now(empty_house: Callable[..., House]) -> None:
    """Somebody who cannot wait for what is in flight says so twice; the command is run again by the next worker."""
    # Given a worker whose one call hangs
    house = empty_house()
    house.start("relay")
    worker = house.start("worker", CRM_SYNC_INSTANCE_ID="w1")
    workspace_id, _ = _connected(house)
    house.sandbox.switch("salesforce", hang_next=-1)
    command = push(workspace_id, "salesforce", [person(1)])
    house.publish(command)
    wait_until(lambda: bool(house.sandbox.stats()["in_flight"]), 30, house.logs)
    # When
    worker.process.send_signal(signal.SIGTERM)
    time.sleep(0.4)
    still_runs = worker.process.poll() is None
    worker.process.send_signal(signal.SIGTERM)
    # Then
    assert still_runs
    assert worker.process.wait(2) == 130
    house.sandbox.switch("salesforce", hang_next=0)
    house.start("worker", CRM_SYNC_INSTANCE_ID="w1")
    assert house.result_of(command["command_id"])["status"] == "completed"


@pytest.mark.parametrize("missing", ["KAFKA_BOOTSTRAP_SERVERS", "DATABASE_URL"])
def test_without_broker_or_database_the_start_ends_with_one_clear_line(
    empty_house: Callable[..., House], missing: str
) -> None:
    """Within the set time both end with exit code 3, and name what does not answer and which setting to check."""
    # Given an address where nobody listens
    house = empty_house()
    nobody = f"127.0.0.1:{free_port()}"
    value = nobody if missing == "KAFKA_BOOTSTRAP_SERVERS" else f"postgresql://crm:visibly-fake@{nobody}/crm"
    started = time.monotonic()
    # When
    parts = [house.start(name, **{missing: value, "CRM_SYNC_START_TIMEOUT_S": "2"}) for name in ("worker", "relay")]
    codes = [part.process.wait(30) for part in parts]
    # Then
    assert codes == [3, 3]
    assert time.monotonic() - started < 15
    for part in parts:
        line = next(line for line in part.tail().splitlines() if "did not answer in time" in line)
        assert missing in line
        assert "Traceback" not in part.tail()
        assert "visibly-fake" not in part.tail()


@pytest.mark.parametrize("program", ["worker", "relay"])
def test_missing_settings_are_named_all_at_once(program: str) -> None:
    """One start shows everything that an operator has to set, and nothing is started."""
    # Given an environment without any of our settings
    environment = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    # When
    done = subprocess.run(
        [sys.executable, "-m", "cli.main", program],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    # Then
    assert done.returncode not in (0, 1)
    said = done.stdout + done.stderr
    assert [name for name in NEEDED if name not in said] == []
    assert "Traceback" not in said


@pytest.mark.parametrize("cls", [WorkerSettings, RelaySettings])
def test_wrong_settings_are_named_together_without_their_values(
    monkeypatch: pytest.MonkeyPatch, cls: type[WorkerSettings | RelaySettings]
) -> None:
    """Missing and wrong ones in one list, by variable name; no value, which may be a secret, is repeated."""
    # Given
    for name in NEEDED:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("CRM_SYNC_MASTER_KEYS", MASTER_KEY)
    monkeypatch.setenv("CRM_SYNC_HEALTH_PORT", "visibly-wrong")
    # When
    with pytest.raises(SettingsProblem) as problem:
        load(cls)
    # Then
    text = str(problem.value)
    wanted = ["DATABASE_URL", "KAFKA_BOOTSTRAP_SERVERS", "INTEGRATION_OAUTH_REDIRECT_BASE", "CRM_SYNC_HEALTH_PORT"]
    assert [name for name in wanted if name not in text] == []
    assert "visibly-wrong" not in text
    assert MASTER_KEY not in text


def test_a_lease_that_no_call_fits_into_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """With a lease shorter than a call could take no call would ever leave: the start says so instead."""
    # Given
    for name, value in zip(NEEDED, ["postgresql://h/d", "h:9092", MASTER_KEY, "https://h/c"], strict=True):
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("CRM_SYNC_CALL_TIMEOUT_S", "30")
    monkeypatch.setenv("CRM_SYNC_LEASE_S", "31")
    # When, Then
    with pytest.raises(SettingsProblem, match="CRM_SYNC_LEASE_S must be at least CRM_SYNC_CALL_TIMEOUT_S"):
        load(WorkerSettings)


def test_health_pages_tell_what_stands_in_the_way(empty_house: Callable[..., House]) -> None:
    """`/healthz` while the process lives; `/readyz` turns 503 when garbage stops a partition; others go on."""
    # Given a worker and a relay with health pages
    house = empty_house()
    pages = {name: f"http://127.0.0.1:{free_port()}" for name in ("worker", "relay")}
    for name, page in pages.items():
        house.start(name, CRM_SYNC_HEALTH_PORT=page.rpartition(":")[2])
    for page in pages.values():
        wait_until(lambda page=page: _page(page, "/healthz")[0] == 200, 30, house.logs)
        assert _page(page, "/readyz") == (200, {"status": "ready", "problems": []})
        assert _page(page, "/other")[0] == 404
    workspace_id, _ = _connected(house)
    key = f"{workspace_id}:salesforce"
    garbage_in = (_partition_of(house, key) + 1) % 4
    # When somebody pours 150 messages that are no commands into one partition
    for _ in range(150):
        house.producer.produce(house.inside.topics.commands, b"garbage", partition=garbage_in)
    house.producer.flush(10)
    wait_until(lambda: _page(pages["worker"], "/readyz")[0] == 503, 30, house.logs)
    # Then the worker says which partition, it has put aside no more than its window bears, and others go on
    _, told = _page(pages["worker"], "/readyz")
    assert told["status"] == "not ready"
    assert f"{house.inside.topics.commands}/{garbage_in} is stopped" in told["problems"][0]
    assert _page(pages["worker"], "/healthz")[0] == 200
    command = push(workspace_id, "salesforce", [person(1)])
    house.publish(command)
    assert house.result_of(command["command_id"])["status"] == "completed"
    dead_letters = house.inside.topics.dead_letters
    wait_until(lambda: len(house.messages(dead_letters)) >= 100, 30, house.logs)
    (row,) = house.rows("SELECT count(*) AS count FROM outbox WHERE topic = :topic", topic=dead_letters)
    assert row.count == len(house.messages(dead_letters)) == 100


def _connected(house: House) -> tuple[UUID, str]:
    workspace_id = house.workspace()
    account_id = house.sandbox.add_account("salesforce", f"Org {workspace_id}")
    return workspace_id, house.connect(workspace_id, "salesforce", account_id)


def _writes_in_flight(house: House) -> int:
    count: int = house.sandbox.stats()["in_flight"].get("salesforce", 0)
    return count


def _writes(house: House) -> int:
    entries = [entry for entry in house.sandbox.journal() if "/composite/" in entry["path"]]
    return sum(entry["method"] in ("POST", "PATCH") for entry in entries)


def _partition_of(house: House, key: str) -> int:
    placed: list[int] = []
    house.producer.produce(
        house.inside.topics.results,
        b'{"command_id": "probe"}',
        key=key,
        on_delivery=lambda _error, message: placed.append(message.partition()),
    )
    house.producer.flush(10)
    return placed[0]


def _page(origin: str, path: str) -> tuple[int, dict[str, Any]]:
    try:
        reply = requests.get(f"{origin}{path}", timeout=5)
    except requests.ConnectionError:
        return 0, {}
    content: dict[str, Any] = reply.json()
    return reply.status_code, content
