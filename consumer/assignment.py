"""The partitions that this worker has: taken, paused, resumed, committed, let go. Used by the poll thread alone."""

import queue
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import structlog
from confluent_kafka import Consumer, KafkaException, TopicPartition

from consumer.dead_letters import FloodBrake
from consumer.dispatcher import Dispatcher, Revoked
from consumer.offsets import BackPressure, PartitionTracker
from consumer.ownership import Ownership
from crm.store.engine import DatabaseUnavailable
from crm.store.ownership import PartitionId

log = structlog.get_logger()

POLL_S = 0.05
COMMIT_EVERY_S = 0.5
RETAKE_EVERY_S = 1.0
KAFKA_TIMEOUT_S = 5.0
#: Fewest messages that a partition may hold in memory, however many partitions share the budget.
LEAST_PER_PARTITION = 1_000


@dataclass(frozen=True, slots=True)
class AssignmentSettings:
    """Budgets of messages and bytes over all partitions, and the grace for flights when partitions are revoked."""

    max_queued: int
    max_queued_bytes: int
    revoke_grace_s: float


@dataclass(slots=True)
class Assigned:
    """One partition that is ours."""

    tracker: PartitionTracker
    brake: FloodBrake = field(default_factory=FloodBrake)
    is_paused: bool = False
    is_flooded: bool = False


class Assignment:
    """Follows the consumer group's rebalances, and keeps PostgreSQL's idea of ownership and Kafka's together."""

    def __init__(
        self, consumer: Consumer, ownership: Ownership, dispatcher: Dispatcher, settings: AssignmentSettings
    ) -> None:
        self._consumer = consumer
        self._ownership = ownership
        self._dispatcher = dispatcher
        self._settings = settings
        self._assigned: dict[PartitionId, Assigned] = {}
        self._untaken: set[PartitionId] = set()
        self._finished: queue.SimpleQueue[tuple[PartitionId, int, int]] = queue.SimpleQueue()
        self._next_commit = 0.0
        self._next_retake = 0.0

    def get(self, partition: PartitionId) -> Assigned | None:
        """The partition's state; None for one that is not ours to work now."""
        return self._assigned.get(partition)

    def finished(self, partition: PartitionId, epoch: int, offset: int) -> None:
        """A message needs nothing more; from any thread."""
        self._finished.put((partition, epoch, offset))

    @property
    def problems(self) -> list[str]:
        """Why this worker is not ready, for people; empty when all is well."""
        flooded = [partition for partition, held in list(self._assigned.items()) if held.is_flooded]
        found = [f"{p.topic}/{p.partition} is stopped: most of its last messages are no commands" for p in flooded]
        return found + [f"{p.topic}/{p.partition} waits for the database" for p in list(self._untaken)]

    def stop_flooded(self, partition: PartitionId, offset: int) -> None:
        """Read no further than `offset` until somebody has looked and restarted the worker."""
        assigned = self._assigned[partition]
        assigned.is_flooded = assigned.is_paused = True
        place = TopicPartition(partition.topic, partition.partition, offset)
        self._consumer.pause([place])
        self._consumer.seek(place)

    def pause_all(self) -> None:
        """Read nothing more."""
        if self._assigned:
            self._consumer.pause([TopicPartition(place.topic, place.partition) for place in self._assigned])

    def serve_finished(self) -> None:
        """Count what other threads have finished since the last call."""
        while not self._finished.empty():
            partition, epoch, offset = self._finished.get()
            assigned = self._assigned.get(partition)
            if assigned and assigned.tracker.epoch == epoch:
                assigned.tracker.finish(offset)

    def apply_back_pressure(self) -> None:
        """Pause partitions at their high water, resume them at their low water."""
        share = max(1, len(self._assigned))
        budget = BackPressure(
            max(LEAST_PER_PARTITION, self._settings.max_queued // share), self._settings.max_queued_bytes // share
        )
        for partition, assigned in self._assigned.items():
            if assigned.is_flooded:
                continue
            place = [TopicPartition(partition.topic, partition.partition)]
            if not assigned.is_paused and budget.must_pause(assigned.tracker):
                assigned.is_paused = True
                self._consumer.pause(place)
            elif assigned.is_paused and budget.may_resume(assigned.tracker):
                assigned.is_paused = False
                self._consumer.resume(place)

    def commit_offsets(self, *, now: bool = False) -> None:
        """Offsets go to Kafka after PostgreSQL, asynchronously: a lost commit only means asking claims again."""
        if not now and time.monotonic() < self._next_commit:
            return
        self._next_commit = time.monotonic() + COMMIT_EVERY_S
        offsets = []
        for partition, assigned in self._assigned.items():
            if (offset := assigned.tracker.to_commit()) is not None:
                assigned.tracker.committed = offset
                offsets.append(TopicPartition(partition.topic, partition.partition, offset))
        if offsets:
            self._consumer.commit(offsets=offsets, asynchronous=True)

    def on_assign(self, consumer: Consumer, places: list[TopicPartition]) -> None:
        """Kafka gave us partitions."""
        consumer.assign(places)
        # A pause survives a rebalance, so partitions are always resumed by name.
        consumer.resume(places)
        is_reachable = True
        for place in places:
            partition = PartitionId(place.topic, place.partition)
            # Each try may take seconds, and this is the poll thread: after the first failure the rest waits its turn.
            is_reachable = is_reachable and self._own(partition)
            if partition not in self._assigned:
                self._untaken.add(partition)
                consumer.pause([place])
        log.info("partitions_assigned", partitions=[place.partition for place in places])

    def _own(self, partition: PartitionId) -> bool:
        """Take a partition; without a database it is paused and tried again."""
        place = TopicPartition(partition.topic, partition.partition)
        try:
            epoch = self._ownership.take(partition)
        except DatabaseUnavailable as problem:
            log.warning("partition_not_taken", partition=partition.partition, reason=type(problem).__name__)
            self._untaken.add(partition)
            self._consumer.pause([place])
            return False
        self._untaken.discard(partition)
        self._assigned[partition] = Assigned(PartitionTracker(epoch))
        return True

    def retake_refused(self) -> None:
        """Take again what another member took while Kafka still says that it is ours, from the committed offset on."""
        for partition, epoch in self._ownership.pop_refused().items():
            assigned = self._assigned.get(partition)
            if assigned and assigned.tracker.epoch == epoch:
                del self._assigned[partition]
                self._dispatcher.post(Revoked({partition: epoch}, threading.Event()))
                self._consumer.pause([TopicPartition(partition.topic, partition.partition)])
                self._untaken.add(partition)
                self._next_retake = time.monotonic() + POLL_S
        if not self._untaken or time.monotonic() < self._next_retake:
            return
        self._next_retake = time.monotonic() + RETAKE_EVERY_S
        for partition in list(self._untaken):
            if not self._resume_from_committed(partition):
                return

    def _resume_from_committed(self, partition: PartitionId) -> bool:
        place = TopicPartition(partition.topic, partition.partition)
        try:
            offset = self._consumer.committed([place], timeout=KAFKA_TIMEOUT_S)[0].offset
            if offset < 0:
                offset = self._consumer.get_watermark_offsets(place, timeout=KAFKA_TIMEOUT_S)[0]
            self._consumer.seek(TopicPartition(partition.topic, partition.partition, offset))
        except KafkaException as problem:
            log.warning("committed_offset_unknown", partition=partition.partition, reason=str(problem)[:200])
            return False
        if self._own(partition):
            self._consumer.resume([place])
        log.info("partition_retaken", partition=partition.partition, offset=offset)
        return partition in self._assigned

    def on_revoke(self, _consumer: Consumer, places: list[TopicPartition]) -> None:
        """Take nothing more, a short grace for what is in flight, commit, release, forget."""
        partitions = [PartitionId(place.topic, place.partition) for place in places]
        self._drop_waiting(partitions)
        deadline = time.monotonic() + self._settings.revoke_grace_s
        while self._dispatcher.in_flight(partitions) and time.monotonic() < deadline:
            time.sleep(POLL_S)
        self.serve_finished()
        self.commit_offsets(now=True)
        still_flying = self._dispatcher.in_flight(partitions)
        for partition in partitions:
            self._let_go(partition, release=not still_flying)
        log.info("partitions_revoked", partitions=[place.partition for place in places], in_flight=still_flying)

    def on_lost(self, _consumer: Consumer, places: list[TopicPartition]) -> None:
        """Somebody else may work them already: drop, commit nothing."""
        partitions = [PartitionId(place.topic, place.partition) for place in places]
        self._drop_waiting(partitions)
        for partition in partitions:
            self._let_go(partition, release=False)
        log.warning("partitions_lost", partitions=[place.partition for place in places])

    def _drop_waiting(self, partitions: Sequence[PartitionId]) -> None:
        epochs = {
            partition: self._assigned[partition].tracker.epoch
            for partition in partitions
            if partition in self._assigned
        }
        seen = threading.Event()
        self._dispatcher.post(Revoked(epochs, seen))
        seen.wait(timeout=self._settings.revoke_grace_s)

    def _let_go(self, partition: PartitionId, *, release: bool) -> None:
        self._untaken.discard(partition)
        assigned = self._assigned.pop(partition, None)
        if assigned is None:
            return
        if release:
            self._ownership.release(partition, assigned.tracker.epoch)
        else:
            self._ownership.forget(partition, assigned.tracker.epoch)
