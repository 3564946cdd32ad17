"""The dispatcher's thread: lanes, dispatch rounds, flights. It alone touches the lanes; others use its inbox."""

import queue
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog

from consumer.committer import Finished
from consumer.decode import Refusal
from consumer.flights import SHORT_WAIT_S, Again, Flights
from consumer.lanes import LaneKey, Lanes
from consumer.ownership import Ownership
from consumer.work import Work
from crm.store import claims
from crm.store.claims import Claim
from crm.store.engine import DatabaseUnavailable, Engine
from crm.store.group_commit import FinishedCommand
from crm.store.ownership import PartitionId

log = structlog.get_logger()

#: Bytes of messages that may wait in a lane that cannot go on.
LANE_BYTES = 1_000_000
#: The inbox is looked at least this often, for lanes that wake by time.
TICK_S = 0.25


@dataclass(frozen=True, slots=True)
class Arrived:
    """New commands, in offset order."""

    works: Sequence[Work]


@dataclass(frozen=True, slots=True)
class Revoked:
    """Partitions that are not ours any more, with the epoch that ended; `seen` is set when their work is dropped."""

    epochs: Mapping[PartitionId, int]
    seen: threading.Event


@dataclass(frozen=True, slots=True)
class Landed:
    """A flight ended with something to do later."""

    work: Work
    again: Again


@dataclass(frozen=True, slots=True)
class Settled:
    """A command is stored, or dropped with its partition."""

    work: Work


@dataclass(frozen=True, slots=True)
class StopTaking:
    """Start nothing more; `seen` is set when that holds."""

    seen: threading.Event


Event = Arrived | Revoked | Landed | Settled | StopTaking


@dataclass(frozen=True, slots=True)
class Outlets:
    """Whom the dispatcher tells.

    Attributes:
        commit: Takes a finished command.
        settled: Told of commands that need nothing stored (answered before): their offsets are finished.
        crashed: Told when a thread met a bug.
    """

    commit: Callable[[Finished], None]
    settled: Callable[[Work], None]
    crashed: Callable[[], None]


class Dispatcher:
    """Starts commands when their lanes allow, claims them in rounds, and hands on what is finished."""

    def __init__(
        self,
        engine: Engine,
        flights: Flights,
        ownership: Ownership,
        *,
        concurrency: int,
        lane_backlog: int,
        clock: Callable[[], datetime],
        outlets: Outlets,
    ) -> None:
        self._engine = engine
        self._flights = flights
        self._ownership = ownership
        self._concurrency = concurrency
        self._lane_backlog = lane_backlog
        self._clock = clock
        self._outlets = outlets
        self._lanes = Lanes()
        self._in_flight: set[Work] = set()
        self._taking = True
        self._inbox: queue.SimpleQueue[Event | None] = queue.SimpleQueue()
        self._pool = ThreadPoolExecutor(concurrency, thread_name_prefix="flight")

    def post(self, event: Event) -> None:
        """Put an event in the inbox; from any thread."""
        self._inbox.put(event)

    def close(self) -> None:
        """End `run`; flights that still run are not waited for."""
        self._inbox.put(None)
        self._pool.shutdown(wait=False, cancel_futures=True)

    def in_flight(self, partitions: Sequence[PartitionId] | None = None) -> int:
        """How many commands are between their claim and their commit, of these partitions or of all."""
        running = list(self._in_flight)
        return len(running) if partitions is None else sum(work.partition in partitions for work in running)

    def run(self) -> None:
        """Serve the inbox until `close`."""
        while True:
            try:
                event = self._inbox.get(timeout=self._patience_s())
            except queue.Empty:
                self._start_round()
                continue
            if event is None:
                return
            self._handle(event)
            # Everything that is there already belongs to one round: fewer, larger claims.
            while not self._inbox.empty():
                if (event := self._inbox.get()) is None:
                    return
                self._handle(event)
            self._start_round()

    def _patience_s(self) -> float:
        wake_at = self._lanes.next_wake()
        if wake_at is None:
            return TICK_S
        return min(TICK_S, max(0.001, (wake_at - self._clock()).total_seconds()))

    def _handle(self, event: Event) -> None:
        match event:
            case Arrived(works):
                for work in works:
                    self._add(work)
            case Revoked(epochs, seen):
                self._lanes.drop(epochs)
                seen.set()
            case Landed(work, again):
                self._in_flight.discard(work)
                self._put_back(work, again.until)
            case Settled(work):
                self._in_flight.discard(work)
                self._lanes.finish(work)
            case StopTaking(seen):
                self._taking = False
                seen.set()

    def _add(self, work: Work) -> None:
        self._lanes.add(work)
        self._answer_overflow(work.lane)

    def _answer_overflow(self, lane: LaneKey) -> None:
        """What waits beyond the cap in a lane that cannot go on is answered now, so that it holds up nobody else."""
        for work in self._lanes.cut_backlog(lane, self._lane_backlog, LANE_BYTES):
            work.refusal = Refusal("backlog_full", "too many commands wait for this connection already")
            work.overflows = True
            self._lanes.add(work)

    def _put_back(self, work: Work, until: datetime | None = None) -> None:
        """To the front of its lane, unless its partition is gone: then its next owner runs it."""
        if self._ownership.owns(work.partition, work.epoch):
            self._lanes.put_back(work, until)
            self._answer_overflow(work.lane)
        else:
            self._lanes.finish(work)

    def _start_round(self) -> None:
        free = self._concurrency - len(self._in_flight)
        if not self._taking or free <= 0:
            return
        works = self._distinct(self._lanes.take_ready(self._clock(), free))
        if not works:
            return
        try:
            with self._engine.begin() as connection:
                answers = claims.claim(connection, [work.claim_request() for work in works])
        except DatabaseUnavailable as problem:
            log.warning("claims_failed", reason=type(problem).__name__, commands=len(works))
            for work in works:
                self._put_back(work, self._soon())
            return
        for work, answer in zip(works, answers, strict=True):
            self._act(work, answer)

    def _distinct(self, works: Sequence[Work]) -> list[Work]:
        """One work a claim; a second one with the same id (for another CRM) comes in a later round."""
        chosen: dict[object, Work] = {}
        for work in works:
            if chosen.setdefault(work.claim_key, work) is not work:
                self._put_back(work, self._soon())
        return list(chosen.values())

    def _act(self, work: Work, answer: Claim) -> None:
        match answer.state:
            case "run":
                work.attempt = answer.attempt
                work.first_ready_at = answer.first_ready_at
                self._in_flight.add(work)
                self._pool.submit(self._fly, work)
            case "done" | "duplicate":
                self._lanes.finish(work)
                self._outlets.settled(work)
            case "reused":
                work.refuse_as_reused()
                self._put_back(work)
            case "wait":
                self._put_back(work, self._clock() + timedelta(seconds=answer.wait_s))
            case "not_owner":
                self._ownership.refuse(work.partition, work.epoch)
                self._lanes.finish(work)

    def _fly(self, work: Work) -> None:
        try:
            self._land(work)
        except Exception:
            # Nobody reads a pool thread's exception, and the lane would wait for ever.
            log.exception("flight_crashed", command_id=work.readable.command_id)
            self._outlets.crashed()

    def _land(self, work: Work) -> None:
        landing = self._flights.fly(work)
        if isinstance(landing, FinishedCommand):
            self._outlets.commit(Finished(work.offset, landing, work))
            return
        self.post(Landed(work, landing))
        if landing.reason:
            self._tell_waiting(work, landing.reason, landing.until)

    def _tell_waiting(self, work: Work, reason: str, until: datetime) -> None:
        log.info("command_waits", command_id=work.readable.command_id, reason=reason, until=until.isoformat())
        try:
            with self._engine.begin() as connection:
                claims.mark_waiting(connection, work.claim_key, attempt=work.attempt, reason=reason, until=until)
        except DatabaseUnavailable:
            log.warning("waiting_not_told", command_id=work.readable.command_id)

    def _soon(self) -> datetime:
        return self._clock() + timedelta(seconds=SHORT_WAIT_S)
