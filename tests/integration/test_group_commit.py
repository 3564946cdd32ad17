"""The group commit on PostgreSQL: what finished commands leave behind, once, and only while the partition is ours."""

import json
import random
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import Engine, text

from consumer.committer import Committer, Finished
from consumer.dead_letters import dead_letter
from consumer.decode import Unreadable
from consumer.ownership import Ownership
from consumer.results import Ending, finish
from consumer.work import Work
from crm.model import RecordOutcome
from crm.store import claims, links, ownership, workspaces
from crm.store.engine import create_engine
from crm.store.group_commit import FinishedCommand, commit_group
from crm.store.outbox import MessageTooLarge, OutboxMessage
from crm.store.ownership import PartitionId, Tenure
from schemas.failure import FailureCategory
from schemas.result import Failure
from schemas.topics import Topics
from services.commands_in import raw_message, work

HERE, THERE = PartitionId("commands", 0), PartitionId("commands", 1)
TOPICS = Topics()


def utc_now() -> datetime:
    """The time."""
    return datetime.now(UTC)


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    """The test's own database."""
    made = create_engine(database_url, pool_size=4)
    yield made
    made.dispose()


@pytest.fixture
def workspace_id(engine: Engine) -> UUID:
    """A workspace."""
    with engine.begin() as connection:
        return workspaces.create(connection, "Test").id


def take(engine: Engine, partition: PartitionId = HERE, lease_s: float = 60.0) -> int:
    """Become the owner of a partition."""
    with engine.begin() as connection:
        return ownership.take(connection, partition, member="w", lease_s=lease_s)


def claimed(
    engine: Engine, workspace_id: UUID, number: int, epoch: int, *, partition: PartitionId = HERE, message: str = "no"
) -> Work:
    """A command of one record that was claimed and has failed with a text of the CRM's."""
    one = work(
        partition=partition, offset=number, epoch=epoch, command_id=f"c-{number}", workspace_id=str(workspace_id)
    )
    with engine.begin() as connection:
        (claim,) = claims.claim(connection, [one.claim_request()])
    assert claim.state == "run"
    one.attempt = claim.attempt
    error = Failure(code="crm_refused", category=FailureCategory.BAD_DATA, message=message)
    one.outcomes[0] = RecordOutcome(0, "failed", ref="r0", errors=(error,))
    return one


def leaves_of(one: Work) -> FinishedCommand:
    """What a command leaves behind."""
    return finish(one, Ending(), TOPICS, utc_now())


def commit(engine: Engine, *group: FinishedCommand) -> frozenset[Tenure]:
    """Commit a group."""
    with engine.begin() as connection:
        return commit_group(connection, group)


def stored(engine: Engine) -> dict[str, list[str]]:
    """Command ids in history, results in the outbox, and claims that are done."""
    with engine.begin() as connection:
        history = connection.execute(text("SELECT command_id FROM sync_history ORDER BY 1")).scalars().all()
        payloads = connection.execute(text("SELECT payload FROM outbox ORDER BY id")).scalars().all()
        done = connection.execute(text("SELECT command_id FROM command_claims WHERE state = 'done' ORDER BY 1"))
        results = sorted(json.loads(bytes(payload))["command_id"] for payload in payloads)
        return {"history": list(history), "results": results, "done": list(done.scalars().all())}


def all_three(*names: str) -> dict[str, list[str]]:
    """Each of these commands has a row, a result and a done claim."""
    return {"history": sorted(names), "results": sorted(names), "done": sorted(names)}


def test_a_group_becomes_claims_history_and_outbox_together(engine: Engine, workspace_id: UUID) -> None:
    """One transaction moves every claim and adds one row and one result for each."""
    # Given
    epoch = take(engine)
    group = [leaves_of(claimed(engine, workspace_id, number, epoch)) for number in range(5)]
    # When
    owned = commit(engine, *group)
    # Then
    assert owned == {(HERE, epoch)}
    assert stored(engine) == all_three(*(f"c-{number}" for number in range(5)))


def test_a_commit_that_is_repeated_changes_nothing(engine: Engine, workspace_id: UUID) -> None:
    """A commit whose answer was lost is made again: no second row, no second result."""
    # Given
    epoch = take(engine)
    group = [leaves_of(claimed(engine, workspace_id, number, epoch)) for number in range(3)]
    commit(engine, *group)
    # When
    owned = commit(engine, *group)
    # Then
    assert owned == {(HERE, epoch)}
    assert stored(engine) == all_three("c-0", "c-1", "c-2")


def test_a_repeated_commit_with_another_outcome_keeps_the_first(engine: Engine, workspace_id: UUID) -> None:
    """What was told to readers stands: a claim that is done takes no second outcome, even with the same attempt."""
    # Given
    epoch = take(engine)
    one = claimed(engine, workspace_id, 1, epoch)
    commit(engine, leaves_of(one))
    # When
    one.outcomes[0] = RecordOutcome(0, "created", ref="r0", crm_id="1")
    commit(engine, leaves_of(one))
    # Then
    with engine.begin() as connection:
        statuses = connection.execute(text("SELECT status FROM sync_history")).scalars().all()
        payloads = connection.execute(text("SELECT payload FROM outbox")).scalars().all()
    assert statuses == ["failed"]
    assert [json.loads(bytes(payload))["status"] for payload in payloads] == ["failed"]


def test_a_partition_that_was_taken_is_dropped_alone(engine: Engine, workspace_id: UUID) -> None:
    """Outcomes of a partition with a new owner are dropped; the others of the group are stored."""
    # Given
    here, there = take(engine), take(engine, THERE)
    mine = claimed(engine, workspace_id, 1, here)
    lost = claimed(engine, workspace_id, 2, there, partition=THERE)
    take(engine, THERE)
    # When
    owned = commit(engine, leaves_of(lost), leaves_of(mine))
    # Then
    assert owned == {(HERE, here)}
    assert stored(engine) == all_three("c-1")


@pytest.mark.parametrize("newest_first", [True, False])
def test_an_old_flight_in_the_group_does_not_stop_the_present_epoch(
    engine: Engine, workspace_id: UUID, *, newest_first: bool
) -> None:
    """A partition that came back: what its former epoch brings is dropped, what the present one brings is stored."""
    # Given
    old = claimed(engine, workspace_id, 1, take(engine))
    epoch = take(engine)
    new = claimed(engine, workspace_id, 2, epoch)
    group = [leaves_of(new), leaves_of(old)] if newest_first else [leaves_of(old), leaves_of(new)]
    # When
    owned = commit(engine, *group)
    # Then
    assert owned == {(HERE, epoch)}
    assert stored(engine) == all_three("c-2")


def test_a_workspace_that_was_deleted_meanwhile_still_gets_its_result(engine: Engine, workspace_id: UUID) -> None:
    """There is no row without a workspace, but the publisher is answered and the group is not stopped."""
    # Given
    epoch = take(engine)
    gone = claimed(engine, workspace_id, 1, epoch)
    scope = links.LinkScope(UUID(int=1), "00D", "Lead", "email")
    gone.links.append(links.RecordLink(scope, "a@b.c", "00Q1"))
    with engine.begin() as connection:
        other = workspaces.create(connection, "Other").id
        connection.execute(text("DELETE FROM workspaces WHERE id = :id"), {"id": workspace_id})
    # When
    commit(engine, leaves_of(gone), leaves_of(claimed(engine, other, 2, epoch)))
    # Then
    assert stored(engine) == {"history": ["c-2"], "results": ["c-1", "c-2"], "done": ["c-1", "c-2"]}


def test_a_message_over_the_limit_stores_nothing(engine: Engine, workspace_id: UUID) -> None:
    """The size is checked before anything is written."""
    # Given
    epoch = take(engine)
    large = leaves_of(claimed(engine, workspace_id, 1, epoch))
    large = replace(large, messages=[OutboxMessage("t", "d", None, b"x" * 1_000_001)])
    # When, Then
    with pytest.raises(MessageTooLarge):
        commit(engine, leaves_of(claimed(engine, workspace_id, 2, epoch)), large)
    assert stored(engine) == all_three()


def test_messages_of_one_group_enter_the_outbox_in_order(engine: Engine, workspace_id: UUID) -> None:
    """Results of one connection leave in the order in which its commands ended."""
    # Given
    epoch = take(engine)
    group = [leaves_of(claimed(engine, workspace_id, number, epoch)) for number in (9, 1, 5, 3)]
    # When
    commit(engine, *group)
    # Then
    with engine.begin() as connection:
        payloads = connection.execute(text("SELECT payload FROM outbox ORDER BY id")).scalars().all()
    assert [json.loads(bytes(payload))["command_id"] for payload in payloads] == ["c-9", "c-1", "c-5", "c-3"]


def test_any_bytes_go_through_the_outbox_unchanged(engine: Engine) -> None:
    """A dead letter's value, key and header values may be any bytes, or absent."""
    # Given
    epoch, every_byte = take(engine), bytes(range(256))
    message = replace(
        raw_message(every_byte, key=every_byte, headers=[("a", every_byte), ("b", None)]), partition=HERE, offset=1
    )
    letter = dead_letter(message, Unreadable("not_json", "no"), epoch=epoch, topic="dlq", group_id="g", now=utc_now())
    # When
    commit(engine, letter)
    commit(engine, letter)
    # Then
    with engine.begin() as connection:
        (row,) = connection.execute(text("SELECT * FROM outbox")).all()
    assert (bytes(row.payload), bytes(row.message_key)) == (every_byte, every_byte)
    assert row.message_timestamp_ms == message.timestamp_ms
    assert row.headers[1] == ["b", None]


class Store:
    """A committer at work, and what it said."""

    def __init__(self, engine: Engine) -> None:
        self.done: list[tuple[list[int], frozenset[Tenure]]] = []
        self.crashes: list[str] = []
        self.ownership = Ownership(engine, member="w", lease_s=60, renewal_s=2)
        self.committer = Committer(
            engine, self.ownership, TOPICS, utc_now, done=self._done, crashed=lambda: self.crashes.append("crashed")
        )

    def _done(self, group: Sequence[Finished], owned: frozenset[Tenure]) -> None:
        self.done.append(([finished.offset for finished in group], owned))

    def settle(self, *entries: Finished, within_s: float = 30.0) -> list[int]:
        """Queue the entries as one group, store them, and return the offsets that were settled."""
        for entry in entries:
            self.committer.put(entry)
        self.committer.start()
        deadline = time.monotonic() + within_s
        while sum(len(offsets) for offsets, _ in self.done) < len(entries) and not self.crashes:
            assert time.monotonic() < deadline, f"settled so far: {self.done}"
            time.sleep(0.01)
        self.committer.stop(5)
        assert not self.crashes
        return sorted(offset for offsets, _ in self.done for offset in offsets)


@pytest.mark.parametrize("poison", ["a\u0000b", "a\ud800b"])
def test_one_outcome_that_cannot_be_stored_fails_alone(engine: Engine, workspace_id: UUID, poison: str) -> None:
    """PostgreSQL refuses one row's text: the group is halved, that one ends `outcome_not_storable`, the others land."""
    # Given ten commands, of which one holds a text that PostgreSQL cannot store in its history row
    epoch = take(engine)
    works = [claimed(engine, workspace_id, number, epoch) for number in range(10)]
    entries = [Finished(one.offset, leaves_of(one), one) for one in works]
    bad = entries[6]
    assert bad.leaves.history is not None
    outcomes: Any = [{**bad.leaves.history["outcomes"][0], "ref": poison}]
    entries[6] = replace(bad, leaves=replace(bad.leaves, history={**bad.leaves.history, "outcomes": outcomes}))
    store = Store(engine)
    # When
    settled = store.settle(*entries)
    # Then
    assert settled == list(range(10))
    assert all(owned == {(HERE, epoch)} for _, owned in store.done)
    assert stored(engine) == all_three(*(f"c-{number}" for number in range(10)))
    with engine.begin() as connection:
        codes = connection.execute(text("SELECT command_id, error_code FROM sync_history")).all()
    assert {row.command_id for row in codes if row.error_code == "outcome_not_storable"} == {"c-6"}


def test_a_result_that_is_too_large_fails_alone(engine: Engine, workspace_id: UUID) -> None:
    """A message over the limit takes the same road."""
    # Given
    epoch = take(engine)
    works = [claimed(engine, workspace_id, number, epoch) for number in range(4)]
    entries = [Finished(one.offset, leaves_of(one), one) for one in works]
    too_large = OutboxMessage(TOPICS.records, "d", b"k", b"x" * 1_100_000)
    large = replace(entries[2].leaves, messages=[*entries[2].leaves.messages, too_large])
    entries[2] = replace(entries[2], leaves=large)
    store = Store(engine)
    # When
    store.settle(*entries)
    # Then
    assert stored(engine) == all_three("c-0", "c-1", "c-2", "c-3")


def test_what_was_dropped_with_its_partition_is_told_and_the_partition_refused(
    engine: Engine, workspace_id: UUID
) -> None:
    """The poll thread hears which partition to take again; the dropped command is not told as owned."""
    # Given
    epoch = take(engine)
    one = claimed(engine, workspace_id, 1, epoch)
    take(engine)
    store = Store(engine)
    # When
    store.settle(Finished(1, leaves_of(one), one))
    # Then
    assert store.done == [([1], frozenset())]
    assert store.ownership.pop_refused() == {HERE: epoch}


def test_bytes_bound_a_group_too(engine: Engine) -> None:
    """No statement holds more than 16 MB and one message: 256 of nearly 1 MB are more than PostgreSQL takes at all."""
    # Given 60 messages of 950 kB that nobody can be answered for
    epoch, value = take(engine), b"x" * 950_000
    letters = []
    for offset in range(60):
        message = replace(raw_message(value), partition=HERE, offset=offset)
        reason = Unreadable("too_old", "old")
        letters.append(dead_letter(message, reason, epoch=epoch, topic="dlq", group_id="g", now=utc_now()))
    store = Store(engine)
    # When
    settled = store.settle(*(Finished(offset, letter) for offset, letter in enumerate(letters)))
    # Then
    assert settled == list(range(60))
    assert max(len(offsets) for offsets, _ in store.done) * 950_000 < 17_000_000
    with engine.begin() as connection:
        assert connection.execute(text("SELECT count(*) FROM outbox")).scalar_one() == 60


def test_the_committer_waits_for_a_database_that_is_away(engine: Engine, workspace_id: UUID) -> None:
    """A lock that cannot be had in time is waited out: the same group is committed again, and nothing is lost."""
    # Given a takeover that takes longer than the lock limit
    epoch = take(engine)
    one = claimed(engine, workspace_id, 1, epoch)
    blocker = engine.connect()
    blocker.execute(text("SELECT * FROM partition_owner FOR UPDATE"))
    release = threading.Timer(5.6, blocker.close)
    release.start()
    store = Store(engine)
    # When
    settled = store.settle(Finished(1, leaves_of(one), one))
    release.join()
    # Then
    assert settled == [1]
    assert stored(engine) == all_three("c-1")


def test_a_commit_that_races_a_takeover_is_whole_or_nothing(engine: Engine, workspace_id: UUID) -> None:
    """200 times: either the old owner's outcome stands and the new owner is told `done`, or the new owner runs it."""
    # Given
    plan, barrier = random.Random(20261122), threading.Barrier(2)  # noqa: S311 - moments, no secret
    ways: set[tuple[bool, str]] = set()

    def after(pause_s: float, action: Callable[[], Any]) -> Any:
        barrier.wait()
        time.sleep(pause_s)
        return action()

    def take_over(one: Work) -> str:
        epoch = take(engine, lease_s=0.0)
        with engine.begin() as connection:
            return claims.claim(connection, [replace(one.claim_request(), epoch=epoch)])[0].state

    with ThreadPoolExecutor(2) as pool:
        for number in range(200):
            one = claimed(engine, workspace_id, number, take(engine, lease_s=0.0))
            leaves = leaves_of(one)
            # When
            committed = pool.submit(after, plan.uniform(0, 0.002), lambda leaves=leaves: commit(engine, leaves))
            claimed_again = pool.submit(after, plan.uniform(0, 0.002), lambda one=one: take_over(one))
            way = (bool(committed.result()), claimed_again.result())
            # Then
            assert way in {(True, "done"), (False, "run")}
            ways.add(way)
    # Then both ways were seen
    assert len(ways) == 2
