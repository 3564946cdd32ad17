"""The poll loop: the one thread that owns the Kafka consumer. It reads and hands over; it never waits for a CRM."""

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

import structlog
from confluent_kafka import Consumer, KafkaError, KafkaException, Message

from consumer.assignment import POLL_S, Assigned, Assignment
from consumer.committer import Finished
from consumer.dead_letters import UNDECODABLE, dead_letter
from consumer.decode import Limits, RawMessage, Readable, Unreadable, decode
from consumer.dispatcher import Arrived, Dispatcher, StopTaking
from consumer.work import Work
from crm.store.ownership import PartitionId
from schemas.topics import Topics

log = structlog.get_logger()

BATCH = 499


@dataclass(frozen=True, slots=True)
class LoopSettings:
    """What the loop needs to know; times in seconds."""

    group_id: str
    stop_grace_s: float
    limits: Limits


class Loop:
    """Reads commands until told to stop; `consumer.worker` puts it together."""

    def __init__(
        self,
        consumer: Consumer,
        topics: Topics,
        settings: LoopSettings,
        assignment: Assignment,
        dispatcher: Dispatcher,
        commit: Callable[[Finished], None],
        clock: Callable[[], datetime],
    ) -> None:
        self._consumer = consumer
        self._topics = topics
        self._settings = settings
        self._assignment = assignment
        self._dispatcher = dispatcher
        self._commit = commit
        self._clock = clock
        self.stopping = threading.Event()

    def run(self) -> None:
        """Read until `stopping` is set, then stop in order: take nothing more, finish, commit, close."""
        held = self._assignment
        self._consumer.subscribe(
            [self._topics.commands], on_assign=held.on_assign, on_revoke=held.on_revoke, on_lost=held.on_lost
        )
        try:
            while not self.stopping.is_set():
                held.serve_finished()
                self._take(self._read())
                held.retake_refused()
                held.apply_back_pressure()
                held.commit_offsets()
            self._finish_in_flight()
        finally:
            self._consumer.close()

    def _read(self) -> list[Message]:
        # `consume` alone waits out its whole timeout; `poll` returns with the first message.
        first = self._consumer.poll(POLL_S)
        if first is None:
            return []
        return [first, *self._consumer.consume(BATCH, 0)]

    def _take(self, messages: Sequence[Message]) -> None:
        works: list[Work] = []
        for message in messages:
            if (error := message.error()) is not None:
                self._on_error(error)
                continue
            raw = _raw(message)
            assigned = self._assignment.get(raw.partition)
            # A message of a partition that was refused or stopped meanwhile is read again later.
            if assigned is None or assigned.is_flooded:
                continue
            work = self._accept(raw, assigned)
            if work:
                works.append(work)
        if works:
            self._dispatcher.post(Arrived(works))

    def _read_command(self, raw: RawMessage, now: datetime) -> Readable | Unreadable:
        try:
            return decode(raw, self._settings.limits, now)
        except Exception as problem:
            # No message may stop the group: whoever reads it next would stop at it too.
            log.exception("message_unreadable", partition=raw.partition.partition, offset=raw.offset)
            return Unreadable("unreadable", type(problem).__name__)

    def _accept(self, raw: RawMessage, assigned: Assigned) -> Work | None:
        now = self._clock()
        read = self._read_command(raw, now)
        undecodable = isinstance(read, Unreadable) and read.reason in UNDECODABLE
        if assigned.brake.saw(undecodable=undecodable):
            log.error("partition_stopped", partition=raw.partition.partition, offset=raw.offset, reason="flood")
            self._assignment.stop_flooded(raw.partition, raw.offset)
            return None
        assigned.tracker.took(raw.offset, raw.size)
        epoch = assigned.tracker.epoch
        if not isinstance(read, Unreadable):
            return Work(raw.partition, raw.offset, epoch, read, raw.size)
        log.warning("dead_letter", partition=raw.partition.partition, offset=raw.offset, reason=read.reason)
        kept = replace(raw, key=None, value=None, headers=()) if read.reason == "unreadable" else raw
        letter = dead_letter(
            kept, read, epoch=epoch, topic=self._topics.dead_letters, group_id=self._settings.group_id, now=now
        )
        self._commit(Finished(raw.offset, letter))
        return None

    def _finish_in_flight(self) -> None:
        """Take nothing more, finish what is in flight (bounded), commit.

        Polling goes on meanwhile, so that Kafka keeps us in the group; what it brings is left for the next owner.
        """
        self._dispatcher.post(StopTaking(seen := threading.Event()))
        seen.wait(timeout=self._settings.stop_grace_s)
        deadline = time.monotonic() + self._settings.stop_grace_s
        self._assignment.pause_all()
        while self._dispatcher.in_flight() and time.monotonic() < deadline:
            self._consumer.poll(POLL_S)
            self._assignment.serve_finished()
        self._assignment.serve_finished()
        self._assignment.commit_offsets(now=True)
        log.info("worker_stopped", in_flight=self._dispatcher.in_flight())

    def _on_error(self, error: KafkaError) -> None:
        if error.fatal():
            raise KafkaException(error)
        log.warning("kafka_error", code=error.name(), retriable=error.retriable())


def _raw(message: Message) -> RawMessage:
    topic, partition, offset = message.topic(), message.partition(), message.offset()
    if topic is None or partition is None or offset is None:
        raise ValueError("the Kafka client gave a message without topic, partition or offset")
    return RawMessage(
        partition=PartitionId(topic, partition),
        offset=offset,
        key=_as_bytes(message.key()),
        value=_as_bytes(message.value()),
        headers=_headers(message),
        timestamp_ms=message.timestamp()[1],
    )


def _headers(message: Message) -> list[tuple[str, bytes | None]]:
    try:
        found = message.headers() or []
    except (SystemError, UnicodeDecodeError):  # a header's name is not UTF-8: the client cannot give any of them
        log.warning("headers_unreadable", partition=message.partition(), offset=message.offset())
        return []
    pairs = found.items() if isinstance(found, dict) else found
    return [(name, _as_bytes(content)) for name, content in pairs]


def _as_bytes(content: object) -> bytes | None:
    if isinstance(content, str):
        return content.encode()
    return content if isinstance(content, bytes) else None
