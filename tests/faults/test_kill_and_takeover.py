"""What is promised when processes die: nothing is lost, and a `read_committed` reader sees each result once."""

import random
import time
from collections import Counter
from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest

from services.house import House, Part, person, push, wait_until

COMMANDS = 200


@pytest.mark.apache
@pytest.mark.timeout(300)
def test_killing_worker_and_relay_again_and_again_loses_and_doubles_nothing(empty_house: Callable[..., House]) -> None:
    """Worker and relay are killed with SIGKILL while 200 commands are in flight: each has one result and one row."""
    # Given
    house = empty_house()
    house.sandbox.switch("salesforce", latency_ms=150)
    house.sandbox.switch("hubspot", latency_ms=150)
    sent = _publish(house, _connections(house, 8), COMMANDS)
    parts = {"worker": house.start("worker", CRM_SYNC_INSTANCE_ID="w1"), "relay": house.start("relay")}
    plan = random.Random(20261122)  # noqa: S311 - a plan that can be replayed, no secret
    # When
    kills: Counter[str] = Counter()
    while kills.total() < 12:
        time.sleep(plan.uniform(0.8, 2.5))
        name = plan.choice(["worker", "relay"])
        parts[name].kill()
        kills[name] += 1
        parts[name] = house.start(name, **({"CRM_SYNC_INSTANCE_ID": "w1"} if name == "worker" else {}))
    # Then
    assert min(kills["worker"], kills["relay"]) >= 3
    _check_exactly_once(house, sent)


@pytest.mark.apache
@pytest.mark.timeout(300)
def test_workers_that_exchange_partitions_lose_and_double_nothing(empty_house: Callable[..., House]) -> None:
    """Two workers join, leave and die while 200 commands run: each has one result and one row, in command order."""
    # Given
    house = empty_house()
    house.sandbox.switch("salesforce", latency_ms=200)
    house.sandbox.switch("hubspot", latency_ms=200)
    sent = _publish(house, _connections(house, 8), COMMANDS)
    house.start("relay")
    first = house.start("worker")
    # When
    for number in range(5):
        time.sleep(2.5)
        second = house.start("worker")
        time.sleep(2.5)
        _leave(first, gently=number % 2 == 0)
        first = second
    # Then
    _check_exactly_once(house, sent)


def _leave(part: Part, *, gently: bool) -> None:
    if gently:
        part.stop()
    else:
        part.kill()


def _connections(house: House, count: int) -> list[tuple[UUID, str]]:
    pairs = []
    for number in range(count):
        workspace_id, slug = house.workspace(), ("salesforce", "hubspot")[number % 2]
        house.connect(workspace_id, slug, house.sandbox.add_account(slug, f"Account {number}"))
        pairs.append((workspace_id, slug))
    return pairs


def _publish(house: House, pairs: list[tuple[UUID, str]], count: int) -> list[dict[str, Any]]:
    """Commands of three records each, of which one is written by every command of its connection."""
    sent = []
    for number in range(count):
        workspace_id, slug = pairs[number % len(pairs)]
        records = [person("shared", job_title=f"Title {number}"), person(f"{number}a"), person(f"{number}b")]
        sent.append(push(workspace_id, slug, records))
        house.publish(sent[-1])
    house.producer.flush(20)
    return sent


def _check_exactly_once(house: House, sent: list[dict[str, Any]]) -> None:
    ids = [command["command_id"] for command in sent]
    results: list[dict[str, Any]] = []

    def all_there() -> bool:
        results[:] = house.results()
        return {result["command_id"] for result in results} >= set(ids)

    wait_until(all_there, 150, lambda: f"{len(results)} of {len(ids)} results\n{house.logs()}")
    time.sleep(3)  # a doubled result would come now
    results = house.results()
    assert Counter(result["command_id"] for result in results) == Counter(ids)
    rows = house.rows("SELECT command_id, status FROM sync_history")
    assert Counter(row.command_id for row in rows) == Counter(ids)
    unfinished = [result for result in results if result["status"] != "completed"]
    assert unfinished == [], unfinished[:2]
    _check_order(sent, results)
    _check_stored(house, sent)


def _check_order(sent: list[dict[str, Any]], results: list[dict[str, Any]]) -> None:
    """Results of one connection, whose commands all share a record, come in command order."""
    place = {command["command_id"]: number for number, command in enumerate(sent)}
    by_connection: dict[str, list[int]] = {}
    for result in results:
        by_connection.setdefault(result["connection_id"], []).append(place[result["command_id"]])
    assert all(numbers == sorted(numbers) for numbers in by_connection.values())


def _check_stored(house: House, sent: list[dict[str, Any]]) -> None:
    """No record was created twice, and the shared record holds what the last command of its connection wrote."""
    accounts = house.rows("SELECT workspace_id, integration_slug, crm_account_id FROM integrations")
    for account in accounts:
        crm_object, email, title = _names(account.integration_slug)
        records = house.sandbox.records(account.integration_slug, account.crm_account_id, crm_object)
        stored = [_fields(record) for record in records]
        mails = Counter(record[email] for record in stored)
        mine = [command for command in sent if command["workspace_id"] == str(account.workspace_id)]
        expected = {fields["email"] for command in mine for fields in (entry["fields"] for entry in command["records"])}
        assert {mail: mails[mail] for mail in expected} == dict.fromkeys(expected, 1)
        (shared,) = (record for record in stored if record[email] == "pshared@example.com")
        assert shared[title] == mine[-1]["records"][0]["fields"]["job_title"]


def _names(slug: str) -> tuple[str, str, str]:
    return ("Lead", "Email", "Title") if slug == "salesforce" else ("contacts", "email", "jobtitle")


def _fields(record: dict[str, Any]) -> dict[str, Any]:
    properties = record.get("properties", record)
    assert isinstance(properties, dict)
    return properties
