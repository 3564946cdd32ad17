"""Lanes: one command at a time within a connection, in order; connections side by side, in turns."""

from collections import defaultdict
from datetime import datetime, timedelta
from uuid import UUID

from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, multiple, rule

from consumer.decode import Readable
from consumer.lanes import LaneKey, Lanes
from consumer.work import Work
from crm.store.ownership import PartitionId
from services.commands_in import NOW

PARTITIONS = [PartitionId("commands", 0), PartitionId("commands", 1)]


def work_of(connection: int, offset: int, epoch: int = 1) -> Work:
    """A command of a connection, which has a partition of its own choice, as its key would."""
    workspace_id = UUID(int=connection)
    read = Readable(workspace_id, f"c{offset}", b"", NOW + timedelta(days=1), content={"integration": "salesforce"})
    return Work(PARTITIONS[connection % 2], offset, epoch, read)


def starts(lanes: Lanes, now: datetime = NOW, limit: int = 99) -> list[int]:
    """Offsets of the commands that start now."""
    return [work.offset for work in lanes.take_ready(now, limit)]


class LanesMachine(RuleBasedStateMachine):
    """Any order of arrivals, starts, endings, waits and revokes, against queues that are easy to believe."""

    running = Bundle("running")

    def __init__(self) -> None:
        super().__init__()
        self.lanes, self.now, self.offset = Lanes(), NOW, 0
        self.epochs = dict.fromkeys(PARTITIONS, 1)
        self.waiting: dict[LaneKey, list[Work]] = defaultdict(list)
        self.flying: dict[LaneKey, Work] = {}
        self.asleep: dict[LaneKey, datetime] = {}

    @rule(connection=st.integers(1, 4))
    def arrive(self, connection: int) -> None:
        """A command comes."""
        self.offset += 1
        work = work_of(connection, self.offset, self.epochs[PARTITIONS[connection % 2]])
        self.waiting[work.lane].append(work)
        self.lanes.add(work)

    @rule(target=running, limit=st.integers(0, 6))
    def start(self, limit: int) -> object:
        """A round: of each lane that can go on its first command, as many as there is room for."""
        ready = {
            lane: works[0]
            for lane, works in self.waiting.items()
            if works and lane not in self.flying and self.asleep.get(lane, self.now) <= self.now
        }
        taken = self.lanes.take_ready(self.now, limit)
        assert len(taken) == min(limit, len(ready))
        for work in taken:
            assert ready[work.lane] is work
            self.flying[work.lane] = self.waiting[work.lane].pop(0)
            self.asleep.pop(work.lane, None)
        return multiple(*taken)

    @rule(work=consumes(running))
    def end(self, work: Work) -> None:
        """It is stored, dropped, or needs nothing."""
        del self.flying[work.lane]
        self.lanes.finish(work)
        self.lanes.finish(work)  # said twice, it ends nobody else

    @rule(work=consumes(running), wait_s=st.none() | st.integers(0, 20))
    def put_back(self, work: Work, wait_s: int | None) -> None:
        """It goes on later; of a partition that is gone, it ends instead."""
        del self.flying[work.lane]
        if work.epoch != self.epochs[work.partition]:
            self.lanes.finish(work)
            return
        until = None if wait_s is None else self.now + timedelta(seconds=wait_s)
        self.waiting[work.lane].insert(0, work)
        if until:
            self.asleep[work.lane] = until
        self.lanes.put_back(work, until)

    @rule(partition=st.sampled_from(PARTITIONS))
    def revoke(self, partition: PartitionId) -> None:
        """A partition goes, and may come back under the next epoch."""
        epoch = self.epochs[partition]
        self.epochs[partition] += 1
        for lane, works in self.waiting.items():
            if works and works[0].partition == partition:
                works.clear()
                self.asleep.pop(lane, None)
        self.lanes.drop({partition: epoch})

    @rule(seconds=st.integers(1, 10))
    def wait(self, seconds: int) -> None:
        """Time goes by."""
        self.now += timedelta(seconds=seconds)

    @invariant()
    def one_running_a_lane(self) -> None:
        """What runs is what the model says, one a lane."""
        assert sorted(work.offset for work in self.lanes.running) == sorted(w.offset for w in self.flying.values())

    @rule(connection=st.integers(1, 4), most=st.integers(1, 3))
    def cut(self, connection: int, most: int) -> None:
        """What waits beyond a cap in a lane that cannot go on is taken out, the newest; nothing of a lane that can."""
        lane = work_of(connection, 0).lane
        cut = self.lanes.cut_backlog(lane, most, 10**9)
        if self.asleep.get(lane, self.now) > self.now:
            assert cut == self.waiting[lane][most:]
            del self.waiting[lane][most:]
        elif lane not in self.asleep:
            assert cut == []
        else:  # its time has come, and no round has looked yet: either is right
            assert cut in ([], self.waiting[lane][most:])
            self.waiting[lane] = [work for work in self.waiting[lane] if work not in cut]

    @invariant()
    def nobody_oversleeps(self) -> None:
        """The next moment to look is never after the first lane's."""
        for lane in self.waiting:
            if self.asleep.get(lane, self.now) > self.now:
                wake = self.lanes.next_wake()
                assert wake is not None
                assert wake <= self.asleep[lane]


TestLanes = LanesMachine.TestCase


def test_lanes_take_turns() -> None:
    """A connection with a long backlog delays no other's first command by more than one of its own."""
    # Given one lane with five commands, then two with one each
    lanes = Lanes()
    works = [work_of(1, offset) for offset in range(5)] + [work_of(2, 10), work_of(3, 20)]
    for work in works:
        lanes.add(work)
    # When there is room for one at a time
    order = []
    for _ in works:
        (work,) = lanes.take_ready(NOW, 1)
        order.append(work.offset)
        lanes.finish(work)
    # Then
    assert order == [0, 10, 20, 1, 2, 3, 4]


def test_a_waiting_command_holds_only_its_own_lane() -> None:
    """What waits for a time keeps its place at the front; other lanes go on; at that time it is the first to start."""
    # Given
    lanes = Lanes()
    for work in (work_of(1, 1), work_of(1, 2), work_of(2, 3)):
        lanes.add(work)
    first, other = lanes.take_ready(NOW, 9)
    # When
    lanes.put_back(first, NOW + timedelta(seconds=30))
    lanes.finish(other)
    lanes.add(work_of(2, 4))
    # Then
    assert starts(lanes) == [4]
    assert starts(lanes, NOW + timedelta(seconds=29.9)) == []
    assert starts(lanes, NOW + timedelta(seconds=30)) == [1]


def test_a_command_that_is_put_back_without_a_time_starts_at_once_and_first() -> None:
    """A command whose claim must be asked again stays before those behind it."""
    # Given
    lanes = Lanes()
    lanes.add(work_of(1, 1))
    lanes.add(work_of(1, 2))
    (first,) = lanes.take_ready(NOW, 9)
    # When
    lanes.put_back(first)
    # Then
    assert starts(lanes) == [1]


def test_a_command_that_comes_back_waits_for_its_old_flight() -> None:
    """A lane outlives a revoke: the same command under the next epoch starts only when the old flight has ended."""
    # Given a command in flight when its partition is revoked, with another behind it
    lanes = Lanes()
    lanes.add(work_of(1, 1, epoch=1))
    lanes.add(work_of(1, 2, epoch=1))
    (old,) = lanes.take_ready(NOW, 9)
    lanes.drop({old.partition: 1})
    # When the partition comes back with both
    lanes.add(work_of(1, 1, epoch=2))
    lanes.add(work_of(1, 2, epoch=2))
    # Then nothing starts before the old flight has ended; then both in order
    assert starts(lanes) == []
    lanes.finish(old)
    (again,) = lanes.take_ready(NOW, 9)
    assert (again.offset, again.epoch) == (1, 2)
    lanes.finish(again)
    assert starts(lanes) == [2]


def test_a_revoke_wakes_what_waited_behind_a_dropped_command() -> None:
    """When the command that a lane waits for is gone, the lane does not sleep on for it."""
    # Given a lane that waits an hour for a command of partition 1, with a command of the next epoch behind
    lanes = Lanes()
    lanes.add(work_of(1, 1, epoch=1))
    (waits,) = lanes.take_ready(NOW, 9)
    lanes.put_back(waits, NOW + timedelta(hours=1))
    lanes.add(work_of(1, 2, epoch=2))
    # When
    lanes.drop({waits.partition: 1})
    # Then
    assert starts(lanes) == [2]


def test_a_cut_counts_bytes_and_spares_the_head_and_copies_of_what_stays() -> None:
    """The command that a lane waits for stays however large it is; so does a copy of a command that stays."""
    # Given a lane that waits for a large command, with four behind it, the last a copy of the second
    lanes = Lanes()
    works = [work_of(1, offset) for offset in range(5)]
    works[4].claim_id = works[1].claim_id
    for work, size in zip(works, [900, 60, 60, 60, 60], strict=True):
        work.size = size
        lanes.add(work)
    (head,) = lanes.take_ready(NOW, 9)
    lanes.put_back(head, NOW + timedelta(hours=1))
    # When
    by_bytes = lanes.cut_backlog(head.lane, 99, 960)
    # Then
    assert [work.offset for work in by_bytes] == [2, 3]
    assert [work.offset for work in lanes.cut_backlog(head.lane, 1, 10)] == [1, 4]
    assert starts(lanes, NOW + timedelta(hours=1)) == [0]


def test_commands_refused_for_a_full_backlog_do_not_wait_behind_it() -> None:
    """A command that is answered `backlog_full` has a lane of its own beside the one that cannot go on."""
    # Given
    lanes = Lanes()
    lanes.add(work_of(1, 1))
    (waits,) = lanes.take_ready(NOW, 9)
    lanes.put_back(waits, NOW + timedelta(hours=1))
    overflow = work_of(1, 2)
    overflow.overflows = True
    # When
    lanes.add(overflow)
    # Then
    assert starts(lanes) == [2]
