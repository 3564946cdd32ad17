"""A worker whose partition was taken in PostgreSQL while Kafka still gives it to this worker."""

import time
from collections import Counter
from collections.abc import Callable

import pytest
from confluent_kafka import Consumer
from sqlalchemy import text

from consumer.committer import Finished
from consumer.settings import WorkerSettings
from consumer.worker import assemble
from crm.settings import load
from crm.store import ownership
from crm.store.group_commit import FinishedCommand
from crm.store.outbox import OutboxMessage
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


def test_no_call_leaves_for_a_partition_that_was_lost(empty_house: Callable[..., House]) -> None:
    """A command of several calls stops between two of them; it goes on only when its former lease has ended."""
    # Given commands of several calls, in the middle of their first one
    house = empty_house()
    house.start("relay")
    house.start("worker")
    house.sandbox.switch("salesforce", latency_ms=1000)
    commands = []
    for number in range(CONNECTIONS):
        workspace_id = house.workspace()
        house.connect(workspace_id, "salesforce", house.sandbox.add_account("salesforce", str(number)))
        commands.append(push(workspace_id, "salesforce", [person(number)]))
        house.publish(commands[-1])
    house.producer.flush(10)
    wait_until(lambda: house.sandbox.stats()["in_flight"].get("salesforce", 0) >= CONNECTIONS, 30, house.logs)
    # When the partitions are taken: the worker hears of it at its next renewal, at most 0.5 s later
    with house.inside.engine.begin() as connection:
        for number in range(4):
            place = PartitionId(house.inside.topics.commands, number)
            ownership.take(connection, place, member="another", lease_s=0.1)
        lease_left = connection.execute(
            text("SELECT extract(epoch FROM min(resume_after) - clock_timestamp()) FROM partition_owner")
        ).scalar_one()
    taken_at = time.time()
    results = house.wait_for_results(len(commands))
    # Then nothing left from there on until the former lease was over, and each was answered once, by a second attempt
    assert lease_left > 3
    calls = [entry["at"] - taken_at for entry in house.sandbox.journal() if entry["crm"] == "salesforce"]
    assert [at for at in calls if 0.7 < at < lease_left] == []
    assert [at for at in calls if at > lease_left]
    assert Counter(result["command_id"] for result in results) == Counter(one["command_id"] for one in commands)
    assert {(result["status"], result["attempt"]) for result in results} == {("completed", 2)}


def test_an_outcome_that_was_dropped_never_counts_as_finished(empty_house: Callable[..., House]) -> None:
    """Its offset must never be committed by the worker that lost it; what was stored beside it is finished."""
    # Given a worker's parts, of whose two partitions another member takes one
    house = empty_house()
    consumer = Consumer({"bootstrap.servers": house.bootstrap_servers, "group.id": house.prefix})
    with house.environ():
        worker = assemble(load(WorkerSettings), house.inside, consumer)
    kept, lost = (PartitionId(house.inside.topics.commands, number) for number in (0, 1))
    epochs = {partition: worker.ownership.take(partition) for partition in (kept, lost)}
    with house.inside.engine.begin() as connection:
        ownership.take(connection, lost, member="another", lease_s=1)
    # When outcomes of both are stored in one group
    for partition, epoch in epochs.items():
        letter = FinishedCommand(partition, epoch, None, messages=[OutboxMessage("t", str(partition), b"k", b"v")])
        worker.committer.put(Finished(7, letter))
    worker.committer.start()
    wait_until(lambda: not worker.assignment._finished.empty(), 20, house.logs)
    worker.committer.stop(10)
    consumer.close()
    # Then
    assert worker.assignment._finished.get_nowait() == (kept, epochs[kept], 7)
    assert worker.assignment._finished.empty()
    assert worker.ownership.pop_refused() == {lost: epochs[lost]}


def _taken_back(house: House) -> bool:
    rows = house.rows("SELECT member FROM partition_owner")
    return len(rows) == 4 and all(row.member != "another" for row in rows)
