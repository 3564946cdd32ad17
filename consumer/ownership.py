"""Ownership of partitions as this worker knows it: epochs, and leases renewed by a thread of their own.

No CRM call leaves unless the remaining lease, read on a monotonic clock just before the send, is longer than the call's
total timeout: so a call of a worker that lost its partition has ended before the next owner resumes the command.
"""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

import structlog

from crm.errors import LeaseLost
from crm.store import ownership
from crm.store.engine import DatabaseUnavailable, Engine
from crm.store.ownership import PartitionId

log = structlog.get_logger()

#: Seconds of a lease that are never used: clocks drift, and a send takes a moment.
MARGIN_S = 0.25


def steady_clock() -> float:
    """Seconds of a clock that never jumps; where the system has one, also through a suspend of the machine."""
    clock = getattr(time, "CLOCK_BOOTTIME", None)
    return time.monotonic() if clock is None else time.clock_gettime(clock)


@dataclass(frozen=True, slots=True)
class Lease:
    """One partition of ours: its epoch, and the monotonic instant until which calls may run."""

    epoch: int
    deadline: float


class Ownership:
    """Takes, renews, checks and releases partitions. Safe to use from every thread."""

    def __init__(
        self,
        engine: Engine,
        *,
        member: str,
        lease_s: float,
        renewal_s: float,
        clock: Callable[[], float] = steady_clock,
    ) -> None:
        self._engine = engine
        self._member = member
        self._lease_s = lease_s
        self._renewal_s = renewal_s
        self._clock = clock
        self._lock = threading.Lock()
        self._leases: dict[PartitionId, Lease] = {}
        self._refused: dict[PartitionId, int] = {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._renew_until_stopped, name="lease-renewal", daemon=True)

    def start(self) -> None:
        """Begin to renew."""
        self._thread.start()

    def stop(self) -> None:
        """End the renewals; leases that were not released run out."""
        self._stop.set()
        self._thread.join(timeout=10)

    def take(self, partition: PartitionId) -> int:
        """Become the owner of a partition; returns the epoch.

        Raises:
            DatabaseUnavailable: it is not ours.
        """
        asked_at = self._clock()
        with self._engine.begin() as connection:
            epoch = ownership.take(connection, partition, member=self._member, lease_s=self._lease_s)
        with self._lock:
            self._leases[partition] = Lease(epoch, asked_at + self._lease_s)
            self._refused.pop(partition, None)
        return epoch

    def release(self, partition: PartitionId, epoch: int) -> None:
        """Nothing of ours runs for the partition any more: the next owner need not wait."""
        self.forget(partition, epoch)
        try:
            with self._engine.begin() as connection:
                ownership.release(connection, partition, epoch=epoch)
        except DatabaseUnavailable:
            log.warning("lease_not_released", partition=partition.partition, epoch=epoch)

    def forget(self, partition: PartitionId, epoch: int) -> None:
        """Send nothing more for the partition; the lease runs out by itself."""
        with self._lock:
            if (lease := self._leases.get(partition)) and lease.epoch == epoch:
                del self._leases[partition]

    def check(self, partition: PartitionId, epoch: int, timeout_s: float) -> None:
        """Raise LeaseLost unless a call of `timeout_s` seconds that leaves now ends within the lease."""
        with self._lock:
            lease = self._leases.get(partition)
        if lease is None or lease.epoch != epoch:
            raise LeaseLost(f"{partition.topic}/{partition.partition} is not ours any more")
        left_s = lease.deadline - self._clock()
        if left_s <= timeout_s + MARGIN_S:
            raise LeaseLost(f"{left_s:.1f} s of lease are left, a call may take {timeout_s:.1f} s")

    def owns(self, partition: PartitionId, epoch: int) -> bool:
        """Whether the partition is still ours under this epoch, as far as this process knows."""
        with self._lock:
            lease = self._leases.get(partition)
            return lease is not None and lease.epoch == epoch

    def refuse(self, partition: PartitionId, epoch: int) -> None:
        """The database said that another epoch is in force."""
        self.forget(partition, epoch)
        with self._lock:
            # An old flight may be refused after the present epoch was: the newest is what the poll thread must hear of.
            self._refused[partition] = max(epoch, self._refused.get(partition, epoch))

    def pop_refused(self) -> dict[PartitionId, int]:
        """Partitions that were refused since the last call, with the epoch that was refused."""
        with self._lock:
            refused, self._refused = self._refused, {}
        return refused

    def _renew_until_stopped(self) -> None:
        while not self._stop.wait(self._renewal_s):
            try:
                self.renew()
            except Exception:
                # This thread must live as long as the process: without it no call ever leaves again.
                log.exception("lease_renewal_crashed")

    @property
    def problems(self) -> list[str]:
        """Partitions whose lease is over, for people: nothing is sent for them."""
        with self._lock:
            leases = dict(self._leases)
        late = [partition for partition, lease in leases.items() if lease.deadline <= self._clock()]
        return [f"{p.topic}/{p.partition}: the lease is over, PostgreSQL did not renew it" for p in late]

    def renew(self) -> None:
        """Renew every lease once."""
        with self._lock:
            leases = dict(self._leases)
        for partition, lease in leases.items():
            try:
                self._renew_one(partition, lease)
            except DatabaseUnavailable as problem:
                log.warning("lease_not_renewed", partition=partition.partition, reason=type(problem).__name__)

    def _renew_one(self, partition: PartitionId, lease: Lease) -> None:
        asked_at = self._clock()
        with self._engine.begin() as connection:
            renewed = ownership.renew(connection, partition, epoch=lease.epoch, lease_s=self._lease_s)
        if not renewed:
            log.warning("partition_refused", partition=partition.partition, epoch=lease.epoch)
            self.refuse(partition, lease.epoch)
            return
        with self._lock:
            if (current := self._leases.get(partition)) and current.epoch == lease.epoch:
                self._leases[partition] = Lease(lease.epoch, asked_at + self._lease_s)
