"""Claims on PostgreSQL: each command is run by one worker at a time and answered once."""

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from uuid import uuid4

import pytest
from sqlalchemy import Engine, text

from crm.store import claims, ownership
from crm.store.claims import Claim, ClaimRequest
from crm.store.engine import create_engine
from crm.store.group_commit import FinishedCommand, commit_group
from crm.store.ownership import PartitionId

HERE, THERE = PartitionId("commands", 0), PartitionId("commands", 1)


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    """The test's own database."""
    made = create_engine(database_url, pool_size=4)
    yield made
    made.dispose()


def take(engine: Engine, partition: PartitionId = HERE, lease_s: float = 60.0) -> int:
    """Become the owner of a partition."""
    with engine.begin() as connection:
        return ownership.take(connection, partition, member="w", lease_s=lease_s)


def ask(engine: Engine, *requests: ClaimRequest) -> list[Claim]:
    """Claim in one transaction."""
    with engine.begin() as connection:
        return claims.claim(connection, requests)


def request(epoch: int, *, partition: PartitionId = HERE, offset: int = 10) -> ClaimRequest:
    """A command that nobody knows yet."""
    return ClaimRequest(uuid4(), "c-1", b"body", "salesforce", partition, offset, epoch)


def finish(engine: Engine, done: ClaimRequest, attempt: int) -> bool:
    """Store that a command was run; False when the partition was not ours any more."""
    leaves = FinishedCommand(done.partition, done.epoch, (done.workspace_id, done.claim_id, attempt))
    with engine.begin() as connection:
        return leaves.tenure in commit_group(connection, [leaves])


def test_a_new_command_is_run_and_an_answered_one_never_again(engine: Engine) -> None:
    """The first claim runs with attempt 1; after the commit every claim is `done`, here and in other partitions."""
    # Given
    command = request(take(engine))
    # When
    (first,) = ask(engine, command)
    assert finish(engine, command, first.attempt)
    # Then
    assert (first.state, first.attempt) == ("run", 1)
    assert first.first_ready_at is not None
    again = replace(command, epoch=take(engine))
    elsewhere = replace(command, partition=THERE, epoch=take(engine, THERE))
    assert [claim.state for claim in ask(engine, again) + ask(engine, elsewhere)] == ["done", "done"]


def test_the_same_id_with_another_body_is_reused_while_it_runs_and_afterwards(engine: Engine) -> None:
    """An id stands for one body; the first keeps it."""
    # Given
    command = request(take(engine))
    other = replace(command, body_hash=b"other", offset=11)
    (first,) = ask(engine, command)
    # When, Then
    assert ask(engine, other)[0].state == "reused"
    finish(engine, command, first.attempt)
    assert ask(engine, other)[0].state == "reused"


def test_a_second_message_with_the_id_of_a_running_command_is_a_duplicate(engine: Engine) -> None:
    """Behind the first in the same partition nothing is to be done: the first one's answer is the answer."""
    # Given
    command = request(take(engine))
    ask(engine, command)
    # When
    (second,) = ask(engine, replace(command, offset=11))
    # Then
    assert second.state == "duplicate"


def test_a_claim_whose_answer_was_lost_is_asked_again(engine: Engine) -> None:
    """The same worker, message and epoch get their claim back as it was: nobody else has begun the command."""
    # Given
    command = request(take(engine))
    (first,) = ask(engine, command)
    # When
    (again,) = ask(engine, command)
    # Then
    assert again == first


def test_a_command_of_a_crashed_worker_waits_until_its_lease_ends(engine: Engine) -> None:
    """The next owner waits for the former owner's lease, not longer, then takes over with a raised attempt."""
    # Given a worker that took a command under a lease of 0.6 s, and was gone
    command = request(take(engine, lease_s=0.6))
    (first,) = ask(engine, command)
    # When the next owner asks at once
    taken_over = replace(command, epoch=take(engine))
    (waits,) = ask(engine, taken_over)
    # Then it is told to wait, until the former lease ends
    assert (waits.state, waits.attempt) == ("wait", 1)
    assert 0 < waits.wait_s <= 0.6
    time.sleep(waits.wait_s)
    (runs,) = ask(engine, taken_over)
    assert (runs.state, runs.attempt, runs.first_ready_at) == ("run", 2, first.first_ready_at)


def test_a_released_partition_is_not_waited_for(engine: Engine) -> None:
    """After a clean revoke the next owner resumes at once."""
    # Given
    epoch = take(engine)
    command = request(epoch)
    ask(engine, command)
    # When
    with engine.begin() as connection:
        ownership.release(connection, HERE, epoch=epoch)
    # Then
    assert ask(engine, replace(command, epoch=take(engine)))[0].state == "run"


def test_every_former_owner_is_waited_for(engine: Engine) -> None:
    """Two takeovers in a row: the longest of the former leases binds, however short the latest was."""
    # Given a command of the first owner, whose lease is long, and a second owner with a short one
    command = request(take(engine, lease_s=30.0))
    ask(engine, command)
    take(engine, lease_s=0.0)
    # When
    (waits,) = ask(engine, replace(command, epoch=take(engine, lease_s=5.0)))
    # Then
    assert waits.state == "wait"


def test_the_former_owner_is_fenced_after_a_takeover(engine: Engine) -> None:
    """It can neither claim nor commit nor renew: its late outcome is dropped, the new owner's is stored."""
    # Given
    old = request(take(engine, lease_s=0.0))
    (first,) = ask(engine, old)
    new = replace(old, epoch=take(engine))
    (second,) = ask(engine, new)
    # When
    late, stored = finish(engine, old, first.attempt), finish(engine, new, second.attempt)
    # Then
    assert (late, stored) == (False, True)
    assert ask(engine, replace(old, claim_id="c-2"))[0].state == "not_owner"
    with engine.begin() as connection:
        assert not ownership.renew(connection, HERE, epoch=old.epoch, lease_s=60)
        assert ownership.renew(connection, HERE, epoch=new.epoch, lease_s=60)


def test_an_old_attempt_is_not_stored_even_under_the_present_epoch(engine: Engine) -> None:
    """The attempt fences too: an outcome of the attempt before the takeover is dropped whoever brings it."""
    # Given a command that the present owner took over
    old = request(take(engine, lease_s=0.0))
    (first,) = ask(engine, old)
    new = replace(old, epoch=take(engine))
    (second,) = ask(engine, new)
    # When an outcome comes under the present epoch with the former attempt
    finish(engine, new, first.attempt)
    # Then
    with engine.begin() as connection:
        claim = claims.look(connection, new.workspace_id, "c-1")
    assert claim is not None
    assert (claim["state"], claim["attempt"]) == ("running", second.attempt)


def test_old_and_new_epoch_in_one_round_are_told_apart(engine: Engine) -> None:
    """What is left over from a former epoch is refused; it neither stops the present one nor passes with it."""
    # Given
    old, new = take(engine), take(engine)
    commands = [request(old, offset=1), request(new, offset=2), request(old, offset=3)]
    # When
    answers = ask(engine, *commands)
    # Then
    assert [answer.state for answer in answers] == ["not_owner", "run", "not_owner"]


def test_a_round_is_answered_in_order_whatever_its_mixture(engine: Engine) -> None:
    """New, answered, reused and foreign commands in one transaction: each gets its own answer."""
    # Given
    epoch = take(engine)
    done, reused, new = request(epoch), request(epoch, offset=11), request(epoch, offset=12)
    foreign = request(99, partition=THERE)
    for known in (done, reused):
        ask(engine, known)
    finish(engine, done, 1)
    # When
    answers = ask(engine, new, done, foreign, replace(reused, body_hash=b"other"))
    # Then
    assert [answer.state for answer in answers] == ["run", "done", "not_owner", "reused"]


def test_two_workers_that_race_for_one_command_run_it_once(engine: Engine) -> None:
    """The same command in two partitions (a key was changed): of two claims at one moment one runs, the other waits."""
    # Given
    epochs = {HERE: take(engine), THERE: take(engine, THERE)}
    barrier = threading.Barrier(2)

    def race(command: ClaimRequest) -> str:
        barrier.wait()
        return ask(engine, command)[0].state

    with ThreadPoolExecutor(2) as pool:
        for _ in range(50):
            here = request(epochs[HERE])
            there = replace(here, partition=THERE, epoch=epochs[THERE])
            # When
            states = sorted(pool.map(race, [here, there]))
            # Then
            assert states == ["run", "wait"]


def test_rounds_that_claim_the_same_commands_in_another_order_do_not_deadlock(engine: Engine) -> None:
    """Rows are locked in one order whatever the order of the round."""
    # Given ten commands that both rounds find
    epochs = {HERE: take(engine), THERE: take(engine, THERE)}
    commands = [request(epochs[HERE], offset=offset) for offset in range(10)]
    ask(engine, *commands)
    turned = [replace(one, partition=THERE, epoch=epochs[THERE]) for one in reversed(commands)]
    # When both are asked at once, again and again
    with ThreadPoolExecutor(2) as pool:
        for _ in range(30):
            answers = list(pool.map(lambda round_: ask(engine, *round_), [commands, turned]))
            # Then
            assert {answer.state for answer in answers[0]} == {"run"}
            assert {answer.state for answer in answers[1]} == {"wait"}


def test_what_a_command_waits_for_is_told_until_it_goes_on(engine: Engine) -> None:
    """The reason stands in the claim while it waits, only for the attempt in force, and goes with the next claim."""
    # Given
    command = request(take(engine))
    (first,) = ask(engine, command)
    key = (command.workspace_id, command.claim_id)
    assert first.first_ready_at is not None
    until = first.first_ready_at + timedelta(seconds=30)

    def told() -> tuple[object, object]:
        with engine.begin() as connection:
            claim = claims.look(connection, *key)
        assert claim is not None
        return claim["waiting_for"], claim["waiting_until"]

    # When
    with engine.begin() as connection:
        claims.mark_waiting(connection, key, attempt=first.attempt + 1, reason="of somebody else", until=until)
    before = told()
    with engine.begin() as connection:
        claims.mark_waiting(connection, key, attempt=first.attempt, reason="rate_limited", until=until)
    waiting = told()
    ask(engine, command)
    # Then
    assert (before, waiting, told()) == ((None, None), ("rate_limited", until), (None, None))


def test_claims_are_forgotten_after_the_retention_and_never_while_they_run(engine: Engine) -> None:
    """Answered commands are forgotten in bounded steps; a running one is kept however old it is."""
    # Given three answered and one running claim, all old
    epoch = take(engine)
    commands = [request(epoch, offset=offset) for offset in range(4)]
    ask(engine, *commands)
    for command in commands[:3]:
        finish(engine, command, 1)
    with engine.begin() as connection:
        connection.execute(text("UPDATE command_claims SET done_at = done_at - interval '1 hour', "
                                "claimed_at = claimed_at - interval '1 hour'"))  # fmt: skip
    # When
    with engine.begin() as connection:
        young = claims.forget_older_than(connection, 7200)
        steps = [claims.forget_older_than(connection, 1800, limit=2) for _ in range(3)]
        left = connection.execute(text("SELECT state FROM command_claims")).scalars().all()
    # Then
    assert (young, steps, left) == (0, [2, 1, 0], ["running"])


def test_a_process_that_stops_in_the_middle_of_a_write_blocks_no_takeover(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, database_url: str
) -> None:
    """PostgreSQL ends a transaction that says nothing, so a frozen worker's share lock is gone after a while."""
    # Given
    monkeypatch.setattr("crm.store.engine.IDLE_IN_TRANSACTION_MS", 500)
    frozen = create_engine(database_url, pool_size=1)
    epoch = take(engine)
    with frozen.connect() as writing:
        assert ownership.still_owned(writing, [(HERE, epoch)])
        # When it says nothing more
        began = time.monotonic()
        taken = take(engine)
        # Then
        assert taken == epoch + 1
        assert time.monotonic() - began < 4
        writing.invalidate()
    frozen.dispose()


def test_renewing_a_lease_waits_for_no_write_of_ours(engine: Engine) -> None:
    """The share lock of a running group commit does not hold up the lease renewal."""
    # Given
    epoch = take(engine)
    with engine.begin() as writing:
        assert ownership.still_owned(writing, [(HERE, epoch)])
        # When
        began = time.monotonic()
        with engine.begin() as renewing:
            renewed = ownership.renew(renewing, HERE, epoch=epoch, lease_s=60)
        # Then
        assert renewed
        assert time.monotonic() - began < 1
