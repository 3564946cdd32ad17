"""The group commit's thread: outcomes queue up while the previous commit runs, the next takes all. No timer."""

import queue
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

import structlog

from consumer.ownership import Ownership
from consumer.results import not_storable
from consumer.work import Work
from crm.store.engine import DatabaseUnavailable, DataNotStorable, Engine
from crm.store.group_commit import FinishedCommand, commit_group
from crm.store.outbox import MessageTooLarge
from crm.store.ownership import Tenure
from schemas.topics import Topics

log = structlog.get_logger()

#: Most commands of one transaction, and bytes after which it takes no further one, so that a statement stays far below
#: its time limit and PostgreSQL's 256 MB for one JSON value: over either it would fail again and again.
MAX_GROUP = 256
MAX_GROUP_BYTES = 16_000_000
RETRY_S = 0.5


@dataclass(frozen=True, slots=True)
class Finished:
    """A finished command or dead letter; `work` is None for the latter."""

    offset: int
    leaves: FinishedCommand
    work: Work | None = None


class Committer:
    """Stores what is finished and tells `done` which entries are settled: stored, or dropped with their partition."""

    def __init__(
        self,
        engine: Engine,
        ownership: Ownership,
        topics: Topics,
        clock: Callable[[], datetime],
        *,
        done: Callable[[Sequence[Finished], frozenset[Tenure]], None],
        crashed: Callable[[], None],
    ) -> None:
        self._engine = engine
        self._ownership = ownership
        self._topics = topics
        self._clock = clock
        self._done = done
        self._crashed = crashed
        self._queue: queue.SimpleQueue[Finished | None] = queue.SimpleQueue()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="group-commit", daemon=True)

    def start(self) -> None:
        """Begin to store."""
        self._thread.start()

    def put(self, finished: Finished) -> None:
        """Store this with the next group."""
        self._queue.put(finished)

    def stop(self, timeout_s: float) -> None:
        """Store what is queued, then end; gives up after `timeout_s` (what is not stored is run again)."""
        self._stopping.set()
        self._queue.put(None)
        self._thread.join(timeout_s)

    def _run(self) -> None:
        try:
            self._store_until_stopped()
        except Exception:
            log.exception("group_commit_crashed")
            self._crashed()

    def _store_until_stopped(self) -> None:
        while True:
            group = self._next_group()
            if group:
                self._settle(group)
            elif self._stopping.is_set():
                return

    def _next_group(self) -> list[Finished]:
        group: list[Finished] = []
        size = 0
        entry = self._queue.get()
        while True:
            if entry:
                group.append(entry)
                size += entry.leaves.size
            if len(group) >= MAX_GROUP or size >= MAX_GROUP_BYTES:
                return group
            try:
                entry = self._queue.get_nowait()
            except queue.Empty:
                return group

    def _settle(self, group: Sequence[Finished]) -> None:
        """Store a group; a row that PostgreSQL refuses is found by halving."""
        try:
            owned = self._commit(group)
        except (MessageTooLarge, *DataNotStorable) as problem:
            if len(group) == 1:
                self._settle_culprit(group[0], problem)
                return
            middle = len(group) // 2
            self._settle(group[:middle])
            self._settle(group[middle:])
            return
        self._done(group, owned)

    def _settle_culprit(self, culprit: Finished, problem: Exception) -> None:
        log.error("outcome_not_storable", offset=culprit.offset, problem=type(problem).__name__)
        if culprit.work is None:
            raise problem
        replaced = replace(culprit, leaves=not_storable(culprit.work, self._topics, self._clock()))
        try:
            owned = self._commit([replaced])
        except (MessageTooLarge, *DataNotStorable):
            # Not even the bare row: the result must go out all the same, or the command would come back for ever.
            replaced = replace(replaced, leaves=replace(replaced.leaves, history=None))
            owned = self._commit([replaced])
        self._done([replaced], owned)

    def _commit(self, group: Sequence[Finished]) -> frozenset[Tenure]:
        """One transaction, repeated until PostgreSQL answers: a commit whose answer was lost does no harm twice."""
        while True:
            try:
                with self._engine.begin() as connection:
                    owned = commit_group(connection, [finished.leaves for finished in group])
            except DatabaseUnavailable as problem:
                log.warning("group_commit_failed", reason=type(problem).__name__, commands=len(group))
                time.sleep(RETRY_S)
                continue
            for finished in group:
                if finished.leaves.tenure not in owned:
                    self._ownership.refuse(*finished.leaves.tenure)
            return owned
