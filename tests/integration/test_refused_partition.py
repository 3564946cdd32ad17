"""A worker whose partition was taken in PostgreSQL while Kafka still gives it to this worker."""

from collections import Counter
from collections.abc import Callable

import pytest

from crm.store import ownership
from crm.store.ownership import PartitionId
from services.house import House, person, push, wait_until

pytestmark = pytest.mark.broker

CONNECTIONS = 4


def test_what_was_dropped_with_its_partition_is_run_again_from_the_committed_offset(
    empty_house: Callable[..., House],
) -> None:
    """The refused worker takes the partitions again: dropped commands come back, each with one result and one row."""
    # Given a worker with a command of each of four connections in flight, and two more of each behind
    house = empty_house()
    house.start("relay")
    house.start("worker")
    workspaces = [house.workspace() for _ in range(CONNECTIONS)]
    for workspace_id in workspaces:
        house.connect(workspace_id, "hubspot", house.sandbox.add_account("hubspot", str(workspace_id)))
    house.sandbox.switch("hubspot", latency_ms=400)
    commands = [push(workspace_id, "hubspot", [person("same", job_title=f"Title {n}")]) for n in range(3)
                for workspace_id in workspaces]  # fmt: skip
    for command in commands:
        house.publish(command)
    house.producer.flush(10)
    wait_until(lambda: house.sandbox.stats()["in_flight"].get("hubspot", 0) >= CONNECTIONS, 30, house.logs)
    # When another member takes every partition for a moment, twice
    for _ in range(2):
        with house.inside.engine.begin() as connection:
            for number in range(4):
                place = PartitionId(house.inside.topics.commands, number)
                ownership.take(connection, place, member="another", lease_s=0.5)
        wait_until(lambda: _taken_back(house), 30, house.logs)
    results = house.wait_for_results(len(commands), within_s=60)
    # Then
    ids = Counter(command["command_id"] for command in commands)
    assert Counter(result["command_id"] for result in results) == ids
    assert Counter(row.command_id for row in house.rows("SELECT command_id FROM sync_history")) == ids
    assert {result["status"] for result in results} == {"completed"}
    assert max(result["attempt"] for result in results) > 1
    place_of = {command["command_id"]: number for number, command in enumerate(commands)}
    for workspace_id in workspaces:
        mine = [place_of[result["command_id"]] for result in results if result["workspace_id"] == str(workspace_id)]
        assert mine == sorted(mine)


def _taken_back(house: House) -> bool:
    rows = house.rows("SELECT member FROM partition_owner")
    return len(rows) == 4 and all(row.member != "another" for row in rows)
