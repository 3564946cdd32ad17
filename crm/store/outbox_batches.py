"""How a relay empties one shard of the outbox: prepare a batch, load it, mark it sent.

A batch is fixed in PostgreSQL before it goes to Kafka, and its number goes into the same Kafka transaction: whatever
happens between, the number that Kafka holds says whether the batch is there already.
"""

import select
from base64 import b64decode
from collections.abc import Sequence
from dataclasses import dataclass, field

from sqlalchemy import Connection, Engine, text

from crm.store.outbox import WAKE_CHANNEL, OutboxMessage

#: First key of the advisory locks that say who relays a shard (the second is the shard).
LOCK_CLASS = 0x43524D
#: Bytes of payload after which a batch takes no further row.
MAX_BATCH_BYTES = 8_000_000


@dataclass(frozen=True, slots=True)
class OutboxRow:
    """A row of a batch."""

    id: int
    message: OutboxMessage


@dataclass(frozen=True, slots=True)
class OutboxBatch:
    """Rows that go to Kafka in one transaction, in the order of their ids."""

    id: int
    rows: Sequence[OutboxRow] = field(repr=False)


def open_shard_session(engine: Engine, *, idle_timeout_s: float) -> Connection:
    """A session of its own for one shard; closing it ends its lock.

    PostgreSQL ends a session that says nothing for `idle_timeout_s`, in a transaction or not: a stopped process gives
    its shards up.
    """
    session = engine.connect()
    session.detach()
    for setting in ("idle_session_timeout", "idle_in_transaction_session_timeout"):
        session.execute(text(f"SET {setting} = {int(idle_timeout_s * 1000)}"))
    session.commit()
    return session


def try_lock(session: Connection, shard: int) -> bool:
    """Become the one relay of a shard, as long as the session lives."""
    found = session.execute(text("SELECT pg_try_advisory_lock(:class, :shard)"), {"class": LOCK_CLASS, "shard": shard})
    session.commit()
    return bool(found.scalar_one())


_PREPARE = text("""
WITH candidates AS (
  SELECT id, sum(coalesce(octet_length(payload), 0)) OVER (ORDER BY id) - coalesce(octet_length(payload), 0) AS before
    FROM (SELECT id, payload FROM outbox WHERE shard = :shard AND state = 'new' ORDER BY id LIMIT :limit) AS next
)
UPDATE outbox SET state = 'prepared', batch_id = :batch
 WHERE id IN (SELECT id FROM candidates WHERE before < :max_bytes)
""")

_LOAD = text("""
SELECT id, batch_id, topic, dedupe_key, message_key, headers, payload, message_timestamp_ms FROM outbox
 WHERE shard = :shard AND state = 'prepared'
   AND batch_id = (SELECT min(batch_id) FROM outbox WHERE shard = :shard AND state = 'prepared')
 ORDER BY id
""")


def next_batch(session: Connection, shard: int, *, limit: int, above: int) -> OutboxBatch | None:
    """The oldest prepared batch, else a new one; None when the shard is empty.

    Args:
        session: The one that holds the shard's lock.
        shard: Which.
        limit: Most rows of a new batch.
        above: A new batch gets a number above this one (what Kafka's cursor holds): after a restore of the database its
            sequence may lag behind what was sent before.
    """
    batch = _load(session, shard)
    if batch is None and _has_new(session, shard):
        number = session.execute(
            text("SELECT setval('outbox_batches', greatest(nextval('outbox_batches'), :above + 1))"), {"above": above}
        ).scalar_one()
        session.execute(_PREPARE, {"shard": shard, "limit": limit, "batch": number, "max_bytes": MAX_BATCH_BYTES})
        session.commit()
        batch = _load(session, shard)
    session.commit()
    return batch


def mark_sent(session: Connection, shard: int, batch_id: int) -> None:
    """Kafka has the batch."""
    session.execute(
        text("""
UPDATE outbox SET state = 'sent', sent_at = clock_timestamp()
 WHERE shard = :shard AND state = 'prepared' AND batch_id = :batch"""),
        {"shard": shard, "batch": batch_id},
    )
    session.commit()


def shorten(session: Connection, batch: OutboxBatch) -> None:
    """Give the later half of a batch back, so that a row which the broker refuses can be found."""
    later = [row.id for row in batch.rows[max(1, len(batch.rows) // 2) :]]
    session.execute(
        text("UPDATE outbox SET state = 'new', batch_id = NULL WHERE id = ANY(:ids) AND state = 'prepared'"),
        {"ids": later},
    )
    session.commit()


def quarantine(session: Connection, row: OutboxRow, error: str) -> None:
    """Set a row aside that the broker refuses for good; an operator must look at it."""
    session.execute(
        text("UPDATE outbox SET state = 'quarantined', batch_id = NULL, error = :error WHERE id = :id"),
        {"id": row.id, "error": error[:1000]},
    )
    session.commit()


def count_quarantined(connection: Connection) -> int:
    """How many rows an operator must look at."""
    return int(connection.execute(text("SELECT count(*) FROM outbox WHERE state = 'quarantined'")).scalar_one())


def forget_sent(connection: Connection, older_than_s: float, *, limit: int = 5000) -> int:
    """Delete up to `limit` rows that were sent more than `older_than_s` seconds ago; returns how many."""
    return connection.execute(
        text("""
DELETE FROM outbox WHERE id IN (
  SELECT id FROM outbox WHERE state = 'sent' AND sent_at < now() - make_interval(secs => :seconds) LIMIT :limit)"""),
        {"seconds": older_than_s, "limit": limit},
    ).rowcount


class OutboxListener:
    """Waits for the notification that something new is in the outbox."""

    def __init__(self, engine: Engine) -> None:
        self._connection = engine.raw_connection()
        driver = self._connection.driver_connection  # gone from the pool's view once it is detached
        assert driver is not None
        self._connection.detach()
        self._driver = driver
        self._driver.set_isolation_level(0)  # autocommit: LISTEN takes effect at once
        with self._driver.cursor() as cursor:
            cursor.execute(f"LISTEN {WAKE_CHANNEL}")

    def wait(self, timeout_s: float) -> bool:
        """True when there was a notification within `timeout_s` seconds."""
        poll = select.poll()  # `select` knows no file number over 1023
        poll.register(self._driver.fileno(), select.POLLIN)
        if not poll.poll(timeout_s * 1000):
            return False
        self._driver.poll()
        notified = bool(self._driver.notifies)
        self._driver.notifies.clear()
        return notified

    def close(self) -> None:
        """Give the session up."""
        self._connection.close()


def _has_new(session: Connection, shard: int) -> bool:
    found = session.execute(
        text("SELECT EXISTS (SELECT 1 FROM outbox WHERE shard = :shard AND state = 'new')"), {"shard": shard}
    )
    return bool(found.scalar_one())


def _load(session: Connection, shard: int) -> OutboxBatch | None:
    rows = session.execute(_LOAD, {"shard": shard}).all()
    if not rows:
        return None
    return OutboxBatch(
        rows[0].batch_id,
        [
            OutboxRow(
                row.id,
                OutboxMessage(
                    topic=row.topic,
                    dedupe_key=row.dedupe_key,
                    key=_bytes(row.message_key),
                    value=_bytes(row.payload),
                    headers=[(name, None if value is None else b64decode(value)) for name, value in row.headers],
                    timestamp_ms=row.message_timestamp_ms,
                ),
            )
            for row in rows
        ],
    )


def _bytes(content: memoryview | bytes | None) -> bytes | None:
    return None if content is None else bytes(content)
