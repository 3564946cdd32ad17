"""One shard of the relay: outbox -> Kafka, exactly once for readers of committed messages.

Each crash window closes by itself: prepared and not in Kafka -> the same batch again; in Kafka and not marked -> the
cursor says so, mark only; a stopped predecessor that comes back -> its producer is fenced, its lock is gone.
"""

import threading
import time
from collections.abc import Callable

import structlog
from confluent_kafka import KafkaError, KafkaException, Message, Producer

from consumer.kafka_client import cursor_reader, transactional_producer
from consumer.relay_cursor import CursorTopicMissing, cursor_record, read_cursor
from consumer.settings import RelaySettings
from crm.store import outbox_batches
from crm.store.engine import Connection, DatabaseUnavailable, Engine
from crm.store.outbox import OutboxMessage
from crm.store.outbox_batches import OutboxBatch

log = structlog.get_logger()

PAUSE_S = 1.0
#: What a broker says of a message that it will never take.
REFUSED_FOR_GOOD = frozenset(
    {KafkaError.MSG_SIZE_TOO_LARGE, KafkaError.INVALID_RECORD, KafkaError.INVALID_MSG, KafkaError.INVALID_TIMESTAMP}
)


class RowRefused(Exception):
    """The broker refuses a message of the batch for good."""


class ShardRelay:
    """Relays one shard while it holds the shard's lock.

    Attributes:
        wake: Set when there may be something to send.
        stalled_since: Monotonic instant since when nothing could be sent; None while all is well. For readiness.
        busy_since: Monotonic instant when the work under way began; None while there is none. For the watchdog.
    """

    def __init__(
        self,
        shard: int,
        engine: Engine,
        settings: RelaySettings,
        stopping: threading.Event,
    ) -> None:
        self._shard = shard
        self._engine = engine
        self._settings = settings
        self._stopping = stopping
        self.wake = threading.Event()
        self.busy_since: float | None = None
        self.stalled_since: float | None = None

    def run(self) -> None:
        """Try to hold the shard and relay it, until stopping."""
        while not self._stopping.is_set():
            try:
                self._hold()
            except DatabaseUnavailable as problem:
                log.warning("relay_lost_database", shard=self._shard, reason=type(problem).__name__)
            except KafkaException as problem:
                log.warning("relay_lost_producer", shard=self._shard, reason=str(problem)[:300])
            except CursorTopicMissing as problem:
                log.error("relay_cannot_start", shard=self._shard, reason=str(problem))  # noqa: TRY400 - no bug of ours
            except Exception:
                # The shard's messages wait for this thread alone: it must never end while the process lives.
                log.exception("relay_crashed", shard=self._shard)
            self.busy_since = None
            self._stalls()
            self._stopping.wait(PAUSE_S)

    def _stalls(self) -> None:
        """Something went wrong: what is not sent since then is what readiness tells."""
        if self.stalled_since is None and not self._stopping.is_set():
            self.stalled_since = time.monotonic()

    def _hold(self) -> None:
        session = outbox_batches.open_shard_session(self._engine, idle_timeout_s=self._settings.idle_session_s)
        try:
            while not outbox_batches.try_lock(session, self._shard):
                if self._stopping.wait(PAUSE_S):
                    return
            self._relay(session)
        finally:
            session.invalidate()
            session.close()

    def _relay(self, session: Connection) -> None:
        self.busy_since = time.monotonic()
        producer = transactional_producer(self._settings, f"{self._settings.relay_id_prefix}-relay-{self._shard}")
        producer.init_transactions(3 * self._settings.transaction_timeout_s)
        cursor = self._read_cursor()
        log.info("shard_held", shard=self._shard, cursor=cursor)
        self.busy_since = None
        while not self._stopping.is_set():
            self.wake.clear()
            batch = outbox_batches.next_batch(session, self._shard, limit=self._settings.batch_size, above=cursor)
            if batch is None:
                self.busy_since = self.stalled_since = None
                self.wake.wait(self._settings.scan_s)
                continue
            self.busy_since = time.monotonic()
            if batch.id > cursor and not self._send(producer, session, batch):
                self._stalls()
                continue
            self.stalled_since = None
            cursor = max(cursor, batch.id)
            outbox_batches.mark_sent(session, self._shard, batch.id)

    def _read_cursor(self) -> int:
        reader = cursor_reader(self._settings)
        try:
            return read_cursor(reader, self._settings.topics.relay_cursor, self._shard)
        finally:
            reader.close()

    def _send(self, producer: Producer, session: Connection, batch: OutboxBatch) -> bool:
        """True when Kafka has the batch; False when it must be looked at again (shortened or aborted).

        Raises:
            KafkaException: the producer is fenced or broken; a new one reads the cursor and goes on from there.
        """
        try:
            self._transact(producer, batch)
        except RowRefused as refusal:
            _abort(producer, self._settings.transaction_timeout_s)
            self._set_aside(session, batch, str(refusal))
            return False
        except KafkaException as problem:
            error = problem.args[0]
            if error.fatal() or not error.txn_requires_abort():
                raise
            log.warning("relay_batch_aborted", shard=self._shard, batch=batch.id, reason=error.name())
            _abort(producer, self._settings.transaction_timeout_s)
            if len(batch.rows) > 1:
                # Perhaps one row is at fault, whose topic is missing or forbidden: its neighbours before it go out.
                outbox_batches.shorten(session, batch)
            self._stopping.wait(PAUSE_S)
            return False
        return True

    def _transact(self, producer: Producer, batch: OutboxBatch) -> None:
        refused: list[str] = []

        def delivered(error: KafkaError | None, _message: Message) -> None:
            if error is not None and error.code() in REFUSED_FOR_GOOD:
                refused.append(error.str())

        producer.begin_transaction()
        for row in batch.rows:
            _produce(producer, row.message, delivered)
        producer.produce(
            self._settings.topics.relay_cursor,
            partition=self._shard,
            key=str(self._shard).encode(),
            value=cursor_record(batch.id),
        )
        try:
            _until_answered(producer.commit_transaction, self._settings.transaction_timeout_s)
        except KafkaException:
            if refused:
                raise RowRefused(refused[0]) from None
            raise

    def _set_aside(self, session: Connection, batch: OutboxBatch, reason: str) -> None:
        if len(batch.rows) > 1:
            outbox_batches.shorten(session, batch)
            return
        log.error("outbox_row_quarantined", shard=self._shard, row=batch.rows[0].id, reason=reason)
        outbox_batches.quarantine(session, batch.rows[0], reason)


def _produce(
    producer: Producer, message: OutboxMessage, delivered: Callable[[KafkaError | None, Message], None]
) -> None:
    while True:
        try:
            producer.produce(
                message.topic,
                key=message.key,
                value=message.value,
                headers=list(message.headers),
                timestamp=message.timestamp_ms or 0,
                on_delivery=delivered,
            )
        except BufferError:
            producer.poll(0.1)
        except KafkaException as problem:
            if problem.args[0].code() in REFUSED_FOR_GOOD:
                raise RowRefused(problem.args[0].str()) from None
            raise
        else:
            return


def _until_answered(call: Callable[[float], None], timeout_s: float) -> None:
    """Call again while the client says that the same call may be repeated; the watchdog bounds it."""
    while True:
        try:
            call(timeout_s)
        except KafkaException as problem:
            if not problem.args[0].retriable():
                raise
        else:
            return


def _abort(producer: Producer, timeout_s: float) -> None:
    _until_answered(producer.abort_transaction, timeout_s)
