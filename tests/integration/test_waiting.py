"""Commands that cannot go on wait, are seen to wait, hold up nobody else, and end."""

import json
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from crm.commands import CommandDoor, CommandStatus
from sandbox.server import SandboxServer
from services.broker import Broker
from services.database import create_database, drop_database, fresh_name
from services.house import House, open_house, person, push, read_all, wait_until

pytestmark = pytest.mark.broker

RETRY_FOR_S = 8


@pytest.fixture(scope="module")
def waiting_house(
    tmp_path_factory: pytest.TempPathFactory, database_server: str, database_template: str, broker: Broker
) -> Iterator[House]:
    """One worker and one relay for all cases; retries end after 8 s."""
    name = fresh_name("waiting")
    database_url = create_database(database_server, name, template=database_template)
    folder, settings = tmp_path_factory.mktemp("house"), {"CRM_SYNC_RETRY_FOR_S": str(RETRY_FOR_S)}
    with (
        SandboxServer() as crm,
        open_house(folder, database_url, broker.bootstrap_servers, crm.origin, **settings) as house,
    ):
        house.start("relay")
        house.start("worker", CRM_SYNC_INSTANCE_ID="w1")
        yield house
    drop_database(database_server, name)


@pytest.fixture
def calm_house(waiting_house: House) -> Iterator[House]:
    """The house, with CRMs that work when a test begins and when it has ended."""
    yield waiting_house
    for slug in ("salesforce", "hubspot"):
        waiting_house.sandbox.switch(slug, html_503_next=0, retry_after_s=0)
    waiting_house.sandbox.switch("hubspot", rate_limited_next=0)
    waiting_house.sandbox.switch("salesforce", row_lock_next=0)


def connected(house: House, slug: str) -> tuple[UUID, str]:
    """A workspace with a connection to a CRM account that nobody else uses."""
    workspace_id = house.workspace()
    account_id = house.sandbox.add_account(slug, f"Account {workspace_id}")
    return workspace_id, house.connect(workspace_id, slug, account_id)


def status_of(house: House, command: dict[str, Any]) -> CommandStatus | None:
    """How far a command is, as the HTTP door tells it."""
    door = CommandDoor(house.inside.engine, house.inside.topics)
    return door.status(UUID(command["workspace_id"]), command["command_id"])


def waits_for(house: House, command: dict[str, Any], reason: str, within_s: float = 20) -> CommandStatus:
    """Wait until the door says that the command waits for `reason`."""
    found: list[CommandStatus | None] = []

    def waits() -> bool:
        found[:] = [status_of(house, command)]
        return bool(found[0] and found[0].status == "waiting" and found[0].waiting_for == reason)

    wait_until(waits, within_s, lambda: f"{found}\n{house.logs()}")
    assert found[0] is not None
    return found[0]


def data_calls(house: House, account_id: str, since: float = 0.0) -> list[dict[str, Any]]:
    """Calls of one account that are no token calls, oldest first."""
    calls = [entry for entry in house.sandbox.journal() if entry["account"] == account_id and entry["at"] >= since]
    return [entry for entry in calls if "oauth" not in entry["path"]]


def test_a_crm_that_is_down_for_a_while_is_waited_for(calm_house: House) -> None:
    """503: the command waits, tells what for and until when, and completes when the CRM is back."""
    # Given a CRM that answers every call with the page of its edge server
    workspace_id, _ = connected(calm_house, "salesforce")
    calm_house.sandbox.switch("salesforce", html_503_next=-1)
    command = push(workspace_id, "salesforce", [person(1)])
    # When
    calm_house.publish(command)
    waiting = waits_for(calm_house, command, "crm_unavailable")
    calm_house.sandbox.switch("salesforce", html_503_next=0)
    result = calm_house.result_of(command["command_id"])
    # Then
    assert waiting.waiting_until is not None
    assert datetime.now(UTC) - timedelta(seconds=60) < waiting.waiting_until < datetime.now(UTC) + timedelta(seconds=60)
    assert (result["status"], result["counts"]["created"], result["error"]) == ("completed", 1, None)
    assert result["attempt"] == 1  # the same worker all the time
    ended = status_of(calm_house, command)
    assert ended is not None
    assert (ended.status, ended.waiting_for, str(ended.sync_id)) == ("completed", None, result["sync_id"])


def test_retry_after_is_honoured(calm_house: House) -> None:
    """429 with `Retry-After`: no call of this account leaves before the CRM's own word is over."""
    # Given
    workspace_id, account_id = connected(calm_house, "hubspot")
    calm_house.sandbox.switch("hubspot", rate_limited_next=1, retry_after_s=4)
    command = push(workspace_id, "hubspot", [person(1)])
    # When
    calm_house.publish(command)
    waits_for(calm_house, command, "rate_limited")
    result = calm_house.result_of(command["command_id"])
    # Then
    assert result["status"] == "completed"
    calls = data_calls(calm_house, account_id)
    refused = [entry for entry in calls if entry["status"] == 429]
    assert len(refused) == 1
    later = [entry["at"] for entry in calls if entry["at"] > refused[0]["at"]]
    assert min(later) - refused[0]["at"] >= 4


def test_a_dead_grant_holds_its_own_commands_until_a_person_reconnects(calm_house: House) -> None:
    """`invalid_grant`: one event says `reauth_required`; commands wait in order; other connections go on."""
    # Given two connections, of which the customer ends one
    workspace_id, account_id = connected(calm_house, "hubspot")
    other_id, _ = connected(calm_house, "hubspot")
    calm_house.sandbox.revoke_grants("hubspot", account_id)
    commands = [push(workspace_id, "hubspot", [person("same", job_title=f"Title {number}")]) for number in range(3)]
    # When three commands come for it, and one for the other
    for command in commands:
        calm_house.publish(command)
    waits_for(calm_house, commands[0], "reauthorization")
    bystander = push(other_id, "hubspot", [person(2)])
    calm_house.publish(bystander)
    # Then the other is answered; the three wait; one event was sent, and none for looking again
    assert calm_house.result_of(bystander["command_id"])["status"] == "completed"
    time.sleep(6)  # longer than it takes to look once more whether the person came
    assert _statuses(calm_house, workspace_id) == ["reauth_required"]
    assert not _answers(calm_house, commands)
    (event,) = _events(calm_house, workspace_id)
    assert (event["event"], event["status"], event["previous_status"]) == (
        "reauth_required", "reauth_required", "connected",
    )  # fmt: skip
    # When the person reconnects
    calm_house.connect(workspace_id, "hubspot", account_id)
    calm_house.result_of(commands[-1]["command_id"])
    # Then all three have run, in order
    assert _answers(calm_house, commands) == [(command["command_id"], "completed") for command in commands]
    (record,) = [
        record["properties"]
        for record in calm_house.sandbox.records("hubspot", account_id, "contacts")
        if record["properties"]["email"] == "psame@example.com"
    ]
    assert record["jobtitle"] == "Title 2"


def test_a_command_that_expires_while_it_waits_fails_as_expired(calm_house: House) -> None:
    """The publisher's own limit ends the wait for a CRM that is down, and the wait for a person."""
    # Given a CRM that is down, and a connection whose grant is dead
    down_id, _ = connected(calm_house, "salesforce")
    dead_id, dead_account = connected(calm_house, "hubspot")
    calm_house.sandbox.switch("salesforce", html_503_next=-1)
    calm_house.sandbox.revoke_grants("hubspot", dead_account)
    expires_at = datetime.now(UTC) + timedelta(seconds=4)
    commands = [
        push(workspace_id, slug, [person(1)], expires_at=expires_at.isoformat())
        for workspace_id, slug in ((down_id, "salesforce"), (dead_id, "hubspot"))
    ]
    # When
    for command in commands:
        calm_house.publish(command)
    results = [calm_house.result_of(command["command_id"]) for command in commands]
    # Then
    for result in results:
        assert (result["status"], result["error"]["code"], result["error"]["retryable"]) == ("failed", "expired", True)
        assert result["failure_count"] == 1
        assert datetime.fromisoformat(result["completed_at"]) < expires_at + timedelta(seconds=5)


def test_a_command_that_is_expired_when_it_comes_is_never_started(calm_house: House) -> None:
    """No call leaves for it."""
    # Given
    workspace_id, account_id = connected(calm_house, "salesforce")
    past = (datetime.now(UTC) - timedelta(seconds=1)).isoformat()
    command = push(workspace_id, "salesforce", [person(1)], expires_at=past)
    # When
    calm_house.publish(command)
    result = calm_house.result_of(command["command_id"])
    # Then
    assert (result["error"]["code"], result["api_calls"]) == ("expired", 0)
    assert data_calls(calm_house, account_id) == []


def test_a_crm_that_stays_down_ends_as_failed_and_holds_up_no_other(calm_house: House) -> None:
    """After `retry_for` the command fails, retryable; meanwhile another CRM's commands are answered at once."""
    # Given
    workspace_id, _ = connected(calm_house, "salesforce")
    other_id, _ = connected(calm_house, "hubspot")
    calm_house.sandbox.switch("salesforce", html_503_next=-1)
    command = push(workspace_id, "salesforce", [person(1), person(2)])
    # When
    calm_house.publish(command)
    waits_for(calm_house, command, "crm_unavailable")
    bystanders = [push(other_id, "hubspot", [person(number)]) for number in range(3)]
    for bystander in bystanders:
        calm_house.publish(bystander)
        assert calm_house.result_of(bystander["command_id"], within_s=5)["status"] == "completed"
    still = status_of(calm_house, command)
    result = calm_house.result_of(command["command_id"])
    # Then
    assert still is not None
    assert still.status in ("waiting", "running")
    assert (result["status"], result["failure_count"], result["record_count"]) == ("failed", 2, 2)
    assert (result["error"]["code"], result["error"]["retryable"]) == ("crm_unavailable", True)
    took = datetime.fromisoformat(result["completed_at"]) - datetime.fromisoformat(result["started_at"])
    assert took < timedelta(seconds=RETRY_FOR_S + 4)


def test_only_the_records_that_failed_are_sent_again(calm_house: House) -> None:
    """Two of five records meet a lock: the next call holds these two; all five have one outcome."""
    # Given five records that are there already, so that each push is one call with known records
    workspace_id, account_id = connected(calm_house, "salesforce")
    first = push(workspace_id, "salesforce", [person(number) for number in range(5)])
    calm_house.publish(first)
    calm_house.result_of(first["command_id"])
    since = time.time()
    calm_house.sandbox.switch("salesforce", row_lock_next=2)
    # When
    command = push(workspace_id, "salesforce", [person(number, job_title="CTO") for number in range(5)])
    calm_house.publish(command)
    result = calm_house.result_of(command["command_id"])
    # Then
    assert (result["status"], result["counts"]["updated"]) == ("completed", 5)
    assert [outcome["index"] for outcome in result["outcomes"]] == list(range(5))
    writes = [entry for entry in data_calls(calm_house, account_id, since) if entry["method"] in ("PATCH", "POST")]
    assert [entry["records"] for entry in writes] == [5, 2]


def _events(house: House, workspace_id: UUID) -> list[dict[str, Any]]:
    messages = read_all(house.bootstrap_servers, house.inside.topics.connections)
    events: list[dict[str, Any]] = [json.loads(message.value()) for message in messages]
    return [event for event in events if event["workspace_id"] == str(workspace_id)]


def _statuses(house: House, workspace_id: UUID) -> list[str]:
    rows = house.rows("SELECT status FROM integrations WHERE workspace_id = :id", id=workspace_id)
    return [row.status for row in rows]


def _answers(house: House, commands: list[dict[str, Any]]) -> list[tuple[str, str]]:
    ids = {command["command_id"] for command in commands}
    return [(result["command_id"], result["status"]) for result in house.results() if result["command_id"] in ids]


def test_a_crowd_behind_a_dead_grant_stops_no_other_connection_of_its_partition(
    empty_house: Callable[..., House],
) -> None:
    """More commands than may wait for one connection are answered `backlog_full`; another connection is served."""
    # Given: one partition, a connection whose grant is dead, and a healthy one
    house = empty_house(partitions=1, CRM_SYNC_LANE_BACKLOG="20", CRM_SYNC_MAX_QUEUED="300")
    waiting_id, account_id = connected(house, "salesforce")
    healthy_id, _ = connected(house, "hubspot")
    house.sandbox.revoke_grants("salesforce", account_id)
    house.sandbox.expire_access_tokens("salesforce", account_id)
    # When
    crowd = [push(waiting_id, "salesforce", [person(number)]) for number in range(400)]
    for command in crowd:
        house.publish(command)
    behind = push(healthy_id, "hubspot", [person("healthy")])
    house.publish(behind)
    house.start("relay")
    house.start("worker", CRM_SYNC_INSTANCE_ID="w1")
    # Then
    assert house.result_of(behind["command_id"])["status"] == "completed"
    refused = [result for result in house.results() if result["command_id"] != behind["command_id"]]
    assert {result["error"]["code"] for result in refused} == {"backlog_full"}
    assert len(refused) <= len(crowd) - 20


def test_a_keyless_create_of_a_worker_that_died_is_not_repeated(empty_house: Callable[..., House]) -> None:
    """Nothing could find it again, so its outcome is told as unknown, and the records with a key are run."""
    # Given: a worker is killed while the CRM answers slowly, after the write has happened
    house = empty_house(CRM_SYNC_CALL_TIMEOUT_S="3")
    workspace_id, account_id = connected(house, "salesforce")
    house.start("relay")
    worker = house.start("worker", CRM_SYNC_INSTANCE_ID="w1")
    first = push(workspace_id, "salesforce", [person("first")])
    house.publish(first)
    house.result_of(first["command_id"])  # the worker knows the fields of a Lead now: its next call is the write
    house.sandbox.switch("salesforce", hang_after_next=1)
    command = push(workspace_id, "salesforce", [{"last_name": "Keyless", "company_name": "X"}], mode="create")
    house.publish(command)
    wait_until(lambda: _keyless(house, account_id) == 1, 30, house.logs)
    worker.kill()
    # When
    house.start("worker", CRM_SYNC_INSTANCE_ID="w1")
    (outcome,) = house.result_of(command["command_id"])["outcomes"]
    # Then
    assert (outcome["action"], outcome["errors"][0]["code"]) == ("failed", "outcome_unknown")
    assert _keyless(house, account_id) == 1


def _keyless(house: House, account_id: str) -> int:
    leads = house.sandbox.records("salesforce", account_id, "Lead")
    return sum(lead["LastName"] == "Keyless" for lead in leads)
