"""A worker that stands still past its lease and its session, and then goes on as if nothing had happened."""

import signal
import time
from collections import Counter
from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest

from services.house import House, person, push, wait_until

COMMANDS = 4


@pytest.mark.apache
@pytest.mark.timeout(240)
@pytest.mark.parametrize("slug", ["salesforce", "hubspot"])
def test_a_frozen_worker_does_nothing_more_when_it_wakes(empty_house: Callable[..., House], slug: str) -> None:
    """It is stopped in the middle of a command and another takes over: no second result, row, record or call of it."""
    # Given a worker whose first command has just made its first call, with others of its connection behind; its lease
    # (12 s) outlives its session (6 s), so that Kafka gives its partitions away while the lease still runs
    house = empty_house(CRM_SYNC_LEASE_S="12")
    house.start("relay")
    frozen = house.start("worker")
    workspace_id, account_id = _connected(house, slug)
    house.sandbox.switch(slug, latency_ms=1000)
    commands = [push(workspace_id, slug, [person("same", job_title=f"Title {n}"), person(n)]) for n in range(COMMANDS)]
    for command in commands:
        house.publish(command)
    house.producer.flush(10)
    wait_until(lambda: house.sandbox.stats()["in_flight"].get(slug, 0) > 0, 40, house.logs)
    # When it stands still, and another worker comes
    frozen.process.send_signal(signal.SIGSTOP)
    stopped_at = time.time()
    house.start("worker")
    results = house.wait_for_results(COMMANDS, within_s=60)
    # Then the other waited for the frozen one's lease, renewed 0.5 s before at the most, to run what was begun
    first = next(result for result in results if result["command_id"] == commands[0]["command_id"])
    assert first["attempt"] == 2
    calls = [entry for entry in house.sandbox.journal() if entry["account"] == account_id]
    assert [entry["path"] for entry in calls if stopped_at < entry["at"] < stopped_at + 11.0] == []
    # When the frozen one goes on, and has had the time to finish what it had in its hands
    woken_at = time.time()
    frozen.process.send_signal(signal.SIGCONT)
    wait_until(lambda: "partitions_lost" in frozen.tail() or "partitions_revoked" in frozen.tail(), 40, house.logs)
    time.sleep(5)
    # Then it has called nobody, and nothing was answered, stored or written twice
    assert [entry for entry in house.sandbox.journal() if entry["at"] > woken_at] == []
    ids = Counter(command["command_id"] for command in commands)
    assert Counter(result["command_id"] for result in house.results()) == ids
    assert Counter(row.command_id for row in house.rows("SELECT command_id FROM sync_history")) == ids
    _check_stored(house, slug, account_id)
    # Then it is a good member of the group again: new commands of many connections are answered by both
    more = [push(_connected(house, slug)[0], slug, [person(number)]) for number in range(8)]
    for command in more:
        house.publish(command)
    assert {house.result_of(command["command_id"])["status"] for command in more} == {"completed"}


def _connected(house: House, slug: str) -> tuple[UUID, str]:
    workspace_id = house.workspace()
    account_id = house.sandbox.add_account(slug, f"Account {workspace_id}")
    return workspace_id, house.connect(workspace_id, slug, account_id)


def _check_stored(house: House, slug: str, account_id: str) -> None:
    """Each person is there once, and the shared one holds what the last command wrote."""
    crm_object, email, title = ("Lead", "Email", "Title") if slug == "salesforce" else ("contacts", "email", "jobtitle")
    stored: list[dict[str, Any]] = [
        record.get("properties", record) for record in house.sandbox.records(slug, account_id, crm_object)
    ]
    wanted = {f"p{name}@example.com" for name in ("same", *range(COMMANDS))}
    assert Counter(record[email] for record in stored if record[email] in wanted) == dict.fromkeys(wanted, 1)
    (same,) = (record for record in stored if record[email] == "psame@example.com")
    assert same[title] == f"Title {COMMANDS - 1}"
