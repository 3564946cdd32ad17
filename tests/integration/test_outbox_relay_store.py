"""How a relay empties a shard, on PostgreSQL: batches that are fixed before they leave, and the lock of a shard."""

import threading
import time
from collections.abc import Callable, Iterator

import pytest
from sqlalchemy import Connection, Engine, exc, text

from crm.store import outbox, outbox_batches
from crm.store.engine import create_engine
from crm.store.outbox import MAX_MESSAGE_BYTES, SHARDS, MessageTooLarge, OutboxMessage
from crm.store.outbox_batches import OutboxBatch, OutboxListener


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    """The test's own database."""
    made = create_engine(database_url, pool_size=6)
    yield made
    made.dispose()


@pytest.fixture
def session(engine: Engine) -> Iterator[Connection]:
    """A relay's session."""
    with outbox_batches.open_shard_session(engine, idle_timeout_s=30) as opened:
        yield opened


def message(number: int, *, key: bytes = b"k", size: int = 10) -> OutboxMessage:
    """A message with a number of its own."""
    return OutboxMessage("results", f"d{number}", key, str(number).encode().ljust(size), [("h", b"\xff"), ("n", None)])


SHARD = message(0).shard


def add(engine: Engine, *messages: OutboxMessage) -> int:
    """Put messages into the outbox."""
    with engine.begin() as connection:
        return outbox.add(connection, messages)


def batch_of(session: Connection, *, limit: int = 500, above: int = 0) -> OutboxBatch:
    """The next batch, which must be there."""
    batch = outbox_batches.next_batch(session, SHARD, limit=limit, above=above)
    assert batch is not None
    return batch


def values(batch: OutboxBatch) -> list[int]:
    """The numbers of a batch's messages."""
    return [int(row.message.value or b"") for row in batch.rows]


def states(engine: Engine) -> dict[str, int]:
    """How many rows are in each state."""
    with engine.begin() as connection:
        rows = connection.execute(text("SELECT state, count(*) AS count FROM outbox GROUP BY state")).all()
        return {row.state: row.count for row in rows}


def test_a_batch_stays_the_same_until_it_is_marked_sent(engine: Engine, session: Connection) -> None:
    """A relay that dies after preparing finds the very same batch again; what came later waits for the next."""
    # Given
    add(engine, *(message(number) for number in range(3)))
    first = batch_of(session)
    add(engine, message(3))
    # When
    again = batch_of(session)
    outbox_batches.mark_sent(session, SHARD, again.id)
    following = batch_of(session)
    # Then
    assert again == first
    assert (values(first), values(following)) == ([0, 1, 2], [3])
    assert following.id > first.id
    outbox_batches.mark_sent(session, SHARD, following.id)
    assert outbox_batches.next_batch(session, SHARD, limit=500, above=0) is None
    assert states(engine) == {"sent": 4}


def test_messages_come_out_as_they_went_in(engine: Engine, session: Connection) -> None:
    """Key, value, headers (any bytes, or none) and timestamp survive the table."""
    # Given
    every_byte = bytes(range(256))
    sent = [
        OutboxMessage("t", "1", b"k", every_byte, [("a", every_byte), ("a", None), ("ü", b"")], 1_700_000_000_000),
        OutboxMessage("t", "2", b"k", None),
        OutboxMessage("t", "3", b"k", b""),
    ]
    # When
    add(engine, *sent)
    # Then
    assert [row.message for row in batch_of(session).rows] == [
        OutboxMessage(one.topic, one.dedupe_key, one.key, one.value, list(one.headers), one.timestamp_ms)
        for one in sent
    ]


def test_a_batch_ends_at_its_limit_of_rows_and_of_bytes(engine: Engine, session: Connection) -> None:
    """500 rows or 8 MB: a transaction stays below the broker's time limit, whatever the rows hold."""
    # Given twenty messages of 900 kB
    add(engine, *(message(number, size=900_000) for number in range(20)))
    # When
    by_rows = batch_of(session, limit=3)
    outbox_batches.mark_sent(session, SHARD, by_rows.id)
    by_bytes = batch_of(session, limit=500)
    # Then
    assert values(by_rows) == [0, 1, 2]
    assert values(by_bytes) == list(range(3, 12))


def test_the_same_dedupe_key_enters_once(engine: Engine) -> None:
    """A second message with the key of one that is there, sent or not, is not added; another topic's key is another."""
    # Given
    add(engine, message(1))
    # When
    counts = [add(engine, message(1), message(2)), add(engine, message(1), message(2))]
    other = add(engine, OutboxMessage("records", "d1", b"k", b"1"))
    # Then
    assert (counts, other) == ([1, 0], 1)


def test_a_message_over_the_limit_never_enters(engine: Engine) -> None:
    """What the broker would refuse is refused here, with nothing of the call added."""
    # Given
    fits = MAX_MESSAGE_BYTES - OutboxMessage("results", "d", b"k", b"", [("h", b"\xff"), ("n", None)]).size
    # When, Then
    assert add(engine, message(1, size=fits)) == 1
    with pytest.raises(MessageTooLarge):
        add(engine, message(2), message(3, size=fits + 1))
    assert states(engine) == {"new": 1}


def test_one_key_has_one_shard_and_all_shards_are_used(engine: Engine, session: Connection) -> None:
    """Messages of one key keep their order because one relay sends them; other shards are not touched by it."""
    # Given
    keys = [f"{number}:salesforce".encode() for number in range(200)]
    # When
    shards = {key: message(0, key=key).shard for key in keys}
    add(engine, *(message(number, key=key) for number, key in enumerate(keys)))
    # Then
    assert set(shards.values()) == set(range(SHARDS))
    assert {shards[row.message.key or b""] for row in batch_of(session).rows} == {SHARD}


def test_a_batch_is_shortened_until_the_row_that_is_refused_stands_alone(engine: Engine, session: Connection) -> None:
    """Halving keeps the order of the rows; the culprit goes to quarantine with its error; the others are sent."""
    # Given 20 rows of which the broker refuses number 13
    add(engine, *(message(number) for number in range(20)))
    sent: list[int] = []
    # When the relay does as it does: refused and more than one row, shorten; alone, set it aside
    while batch := outbox_batches.next_batch(session, SHARD, limit=500, above=0):
        if 13 not in values(batch):
            sent += values(batch)
            outbox_batches.mark_sent(session, SHARD, batch.id)
        elif len(batch.rows) > 1:
            outbox_batches.shorten(session, batch)
        else:
            outbox_batches.quarantine(session, batch.rows[0], "MSG_SIZE_TOO_LARGE")
    # Then
    assert sent == [number for number in range(20) if number != 13]
    assert states(engine) == {"sent": 19, "quarantined": 1}
    with engine.connect() as connection:
        assert outbox_batches.count_quarantined(connection) == 1
        assert connection.execute(text("SELECT error FROM outbox WHERE error IS NOT NULL")).scalar_one() == (
            "MSG_SIZE_TOO_LARGE"
        )


def test_after_a_restore_new_batches_stand_above_what_kafka_holds(engine: Engine, session: Connection) -> None:
    """An older sequence must not give out numbers that Kafka's cursor has passed: such a batch would never be sent."""
    # Given a database whose sequence lags behind the cursor
    add(engine, message(1))
    # When
    batch = batch_of(session, above=70_000)
    outbox_batches.mark_sent(session, SHARD, batch.id)
    add(engine, message(2))
    # Then
    assert batch.id == 70_001
    assert batch_of(session, above=batch.id).id > batch.id


def test_one_session_at_a_time_holds_a_shard(engine: Engine) -> None:
    """Two relays share the shards; the lock goes with the session, so a dead relay's shards are free at once."""
    # Given
    first = outbox_batches.open_shard_session(engine, idle_timeout_s=30)
    second = outbox_batches.open_shard_session(engine, idle_timeout_s=30)
    # When
    took = [outbox_batches.try_lock(first, 0), outbox_batches.try_lock(second, 0), outbox_batches.try_lock(second, 1)]
    first.invalidate()
    first.close()
    # Then
    assert took == [True, False, True]
    until(lambda: outbox_batches.try_lock(second, 0))
    second.close()


def test_a_session_that_says_nothing_loses_its_lock(engine: Engine) -> None:
    """A stopped process gives its shards up: PostgreSQL ends the session, and the former holder finds out."""
    # Given a relay that stands still for longer than its idle limit
    stopped = outbox_batches.open_shard_session(engine, idle_timeout_s=1)
    assert outbox_batches.try_lock(stopped, 0)
    other = outbox_batches.open_shard_session(engine, idle_timeout_s=30)
    assert not outbox_batches.try_lock(other, 0)
    # When, Then another gets the shard
    until(lambda: outbox_batches.try_lock(other, 0))
    # Then the former holder cannot mark or prepare anything any more
    with pytest.raises(exc.OperationalError):
        outbox_batches.next_batch(stopped, 0, limit=1, above=0)
    stopped.invalidate()
    stopped.close()
    other.close()


def test_a_session_that_works_keeps_its_lock(engine: Engine) -> None:
    """Looking for new rows each moment counts as saying something."""
    # Given
    works = outbox_batches.open_shard_session(engine, idle_timeout_s=1)
    assert outbox_batches.try_lock(works, 0)
    # When it looks on for longer than the idle limit
    deadline = time.monotonic() + 1.6
    while time.monotonic() < deadline:
        outbox_batches.next_batch(works, 0, limit=1, above=0)
        time.sleep(0.2)
    # Then
    other = outbox_batches.open_shard_session(engine, idle_timeout_s=30)
    assert not outbox_batches.try_lock(other, 0)
    works.close()
    other.close()


def test_the_listener_is_woken_by_a_commit_and_by_nothing_else(engine: Engine) -> None:
    """Relays sleep until something was committed; a transaction that is undone wakes nobody."""
    # Given
    listener = OutboxListener(engine)
    # When a transaction is undone
    with engine.connect() as connection:
        outbox.add(connection, [message(1)])
        connection.rollback()
    # Then
    assert not listener.wait(0.3)
    # When one commits while the listener waits
    threading.Timer(0.2, add, (engine, message(2))).start()
    started = time.monotonic()
    # Then it is woken at once
    assert listener.wait(10)
    assert time.monotonic() - started < 3
    listener.close()


def test_sent_rows_are_forgotten_in_steps_and_others_never(engine: Engine, session: Connection) -> None:
    """Only what Kafka has, and only after its time, a bounded number at once."""
    # Given five rows that were sent, one that was not
    add(engine, *(message(number) for number in range(5)))
    outbox_batches.mark_sent(session, SHARD, batch_of(session).id)
    add(engine, message(9))
    with engine.begin() as connection:
        connection.execute(text("UPDATE outbox SET sent_at = sent_at - interval '1 hour' WHERE state = 'sent'"))
    # When
    with engine.begin() as connection:
        young = outbox_batches.forget_sent(connection, 7200)
        steps = [outbox_batches.forget_sent(connection, 1800, limit=3) for _ in range(3)]
    # Then
    assert (young, steps) == (0, [3, 2, 0])
    assert states(engine) == {"new": 1}


def until(condition: Callable[[], bool], within_s: float = 10.0) -> None:
    """Wait until it holds."""
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)
