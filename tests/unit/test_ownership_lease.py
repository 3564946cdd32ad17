"""The lease of a partition as its worker knows it: no call leaves unless it ends within the lease."""

from collections.abc import Callable

import pytest
from sqlalchemy import create_engine

from consumer.ownership import Ownership
from crm.errors import LeaseLost
from crm.store.engine import DatabaseUnavailable
from crm.store.ownership import PartitionId
from services.commands_in import PARTITION

OTHER = PartitionId("crm.sync.commands", 4)


class Clock:
    """A monotonic clock that stands still until it is told."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        """Seconds."""
        return self.now


class Owners:
    """What the statements of `partition_owner` answer, and how long that takes on the worker's clock.

    Their SQL is tested on PostgreSQL; here only the arithmetic of the lease is looked at.
    """

    def __init__(self, patch: pytest.MonkeyPatch, clock: Clock) -> None:
        self.clock, self.epoch, self.latency_s, self.is_ours, self.is_away = clock, 0, 0.0, True, False
        patch.setattr("crm.store.ownership.take", self._take)
        patch.setattr("crm.store.ownership.renew", self._renew)
        patch.setattr("crm.store.ownership.release", lambda *_a, **_k: None)

    def _take(self, *_arguments: object, **_named: object) -> int:
        self._answer()
        self.epoch += 1
        return self.epoch

    def _renew(self, *_arguments: object, **_named: object) -> bool:
        self._answer()
        return self.is_ours

    def _answer(self) -> None:
        self.clock.now += self.latency_s
        if self.is_away:
            raise DatabaseUnavailable[0]("away", None, Exception("away"))


@pytest.fixture
def clock() -> Clock:
    """The worker's clock."""
    return Clock()


@pytest.fixture
def owners(monkeypatch: pytest.MonkeyPatch, clock: Clock) -> Owners:
    """What the database answers."""
    return Owners(monkeypatch, clock)


@pytest.fixture
def ownership(owners: Owners, clock: Clock) -> Ownership:
    """A worker's ownership with leases of 60 s."""
    assert owners.epoch == 0
    return Ownership(create_engine("sqlite://"), member="w1:1", lease_s=60.0, renewal_s=2.0, clock=clock)


def may_call(ownership: Ownership, epoch: int, timeout_s: float, partition: PartitionId = PARTITION) -> bool:
    """Whether a call of so many seconds may leave now."""
    try:
        ownership.check(partition, epoch, timeout_s)
    except LeaseLost:
        return False
    return True


@pytest.mark.parametrize(("after_s", "may"), [(0.0, True), (29.7, True), (29.75, False), (59.0, False), (600.0, False)])
def test_a_call_leaves_only_when_it_ends_within_the_lease(
    ownership: Ownership, clock: Clock, after_s: float, *, may: bool
) -> None:
    """Of a lease of 60 s a call of 30 s may leave in the first 30 s, less a margin of 0.25 s for clocks that drift."""
    # Given
    epoch = ownership.take(PARTITION)
    # When
    clock.now += after_s
    # Then
    assert may_call(ownership, epoch, 30.0) is may


def test_the_lease_counts_from_before_the_database_was_asked(
    ownership: Ownership, owners: Owners, clock: Clock
) -> None:
    """A slow answer shortens our lease, never the next owner's wait: we stop before the database thinks we do."""
    # Given a database that takes 10 s to answer, so that its clock starts the lease later than ours
    owners.latency_s = 10.0
    epoch = ownership.take(PARTITION)
    # When, Then 50 s of 60 are left
    assert may_call(ownership, epoch, 49.7)
    assert not may_call(ownership, epoch, 49.75)
    # When it is renewed as slowly, Then the same
    clock.now += 20.0
    ownership.renew()
    assert may_call(ownership, epoch, 49.7)
    assert not may_call(ownership, epoch, 49.75)


def test_a_renewal_prolongs_the_lease(ownership: Ownership, clock: Clock) -> None:
    """While PostgreSQL renews, calls go on leaving."""
    # Given
    epoch = ownership.take(PARTITION)
    for _ in range(100):
        # When
        clock.now += 2.0
        ownership.renew()
        # Then
        assert may_call(ownership, epoch, 30.0)


def test_without_the_database_calls_stop_before_the_lease_ends(
    ownership: Ownership, owners: Owners, clock: Clock
) -> None:
    """A worker that cannot renew stops sending by itself: the next owner needs nobody's word for it."""
    # Given
    epoch = ownership.take(PARTITION)
    owners.is_away = True
    # When
    clock.now += 31.0
    ownership.renew()
    # Then the partition is still ours, and once the lease is over readiness says so
    assert not may_call(ownership, epoch, 30.0)
    assert ownership.owns(PARTITION, epoch)
    assert ownership.problems == []
    clock.now += 29.0
    assert "the lease is over" in ownership.problems[0]


@pytest.mark.parametrize("let_go", [Ownership.forget, Ownership.release, Ownership.refuse])
def test_nothing_leaves_for_a_partition_that_was_let_go(
    ownership: Ownership, let_go: Callable[[Ownership, PartitionId, int], None]
) -> None:
    """Revoked, lost or refused: from that moment no call leaves; other partitions go on."""
    # Given
    epoch, other = ownership.take(PARTITION), ownership.take(OTHER)
    # When
    let_go(ownership, PARTITION, epoch)
    # Then
    assert not may_call(ownership, epoch, 1.0)
    assert not ownership.owns(PARTITION, epoch)
    assert may_call(ownership, other, 1.0, OTHER)


def test_work_of_an_earlier_epoch_may_not_call(ownership: Ownership) -> None:
    """A partition that came back does not bring back the commands that were taken under its former epoch."""
    # Given
    first = ownership.take(PARTITION)
    # When
    second = ownership.take(PARTITION)
    # Then
    assert not may_call(ownership, first, 1.0)
    assert not ownership.owns(PARTITION, first)
    assert may_call(ownership, second, 1.0)


def test_letting_an_earlier_epoch_go_leaves_the_present_one(ownership: Ownership) -> None:
    """A late word about an old epoch (an old flight that was refused) must not stop the present owner: it is us."""
    # Given
    first = ownership.take(PARTITION)
    second = ownership.take(PARTITION)
    # When
    ownership.forget(PARTITION, first)
    ownership.refuse(PARTITION, first)
    # Then
    assert may_call(ownership, second, 1.0)


def test_a_refused_renewal_ends_the_lease_and_is_told_once(ownership: Ownership, owners: Owners) -> None:
    """Somebody else took the partition: no call leaves any more, and the poll thread hears of it."""
    # Given
    epoch = ownership.take(PARTITION)
    owners.is_ours = False
    # When
    ownership.renew()
    # Then
    assert not may_call(ownership, epoch, 1.0)
    assert ownership.pop_refused() == {PARTITION: epoch}
    assert ownership.pop_refused() == {}


def test_a_late_refusal_of_an_old_epoch_does_not_hide_that_of_the_present_one(ownership: Ownership) -> None:
    """Whatever order refusals come in, the poll thread hears of the newest epoch: else it would never take it again."""
    # Given
    first = ownership.take(PARTITION)
    second = ownership.take(PARTITION)
    # When
    ownership.refuse(PARTITION, second)
    ownership.refuse(PARTITION, first)
    # Then
    assert ownership.pop_refused() == {PARTITION: second}


def test_taking_a_partition_again_forgets_its_refusal(ownership: Ownership) -> None:
    """What was refused under the former epoch is no reason to give the new one up."""
    # Given
    epoch = ownership.take(PARTITION)
    ownership.refuse(PARTITION, epoch)
    # When
    ownership.take(PARTITION)
    # Then
    assert ownership.pop_refused() == {}
