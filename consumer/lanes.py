"""One lane a connection: lanes run side by side, one command at a time within a lane. Pure; no thread ever sleeps here.

A lane outlives a revoke: while an old flight of this process still runs, commands that come back wait for it.
"""

import heapq
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from consumer.work import Work
from crm.store.ownership import PartitionId

LaneKey = tuple[UUID, str]


@dataclass(slots=True)
class _Lane:
    waiting: deque[Work] = field(default_factory=deque)
    running: Work | None = None
    wake_at: datetime | None = None
    is_queued: bool = False


class Lanes:
    """Which command may start now. Lanes take turns: one connection's backlog delays no other's first command."""

    def __init__(self) -> None:
        self._lanes: dict[LaneKey, _Lane] = {}
        self._turns: deque[LaneKey] = deque()
        self._sleeping: list[tuple[datetime, int, LaneKey]] = []
        self._ticket = 0

    def add(self, work: Work) -> None:
        """A new command, behind all others of its connection."""
        lane = self._lanes.setdefault(work.lane, _Lane())
        lane.waiting.append(work)
        self._queue(work.lane, lane)

    def cut_backlog(self, key: LaneKey, most: int, most_bytes: int) -> list[Work]:
        """Take out what waits beyond the first `most` or `most_bytes` in a lane that cannot go on now.

        Nothing is taken out of a lane that can, nor the head of one that cannot.

        A copy of a command that stays is not taken out: it would be answered before the command itself.
        """
        lane = self._lanes.get(key)
        if lane is None or lane.wake_at is None:
            return []
        kept: deque[Work] = deque()
        staying, used, cut = set(), 0, []
        for work in lane.waiting:
            fits = not kept or (len(kept) < most and used + work.size <= most_bytes)
            if fits or work.claim_key in staying:
                kept.append(work)
                staying.add(work.claim_key)
                used += work.size
            else:
                cut.append(work)
        lane.waiting = kept
        return cut

    def take_ready(self, now: datetime, limit: int) -> list[Work]:
        """Up to `limit` commands that may start now, one a lane at the most; their lanes are busy from here on."""
        self._wake(now)
        taken: list[Work] = []
        while self._turns and len(taken) < limit:
            lane = self._lanes.get(self._turns.popleft())
            if lane is None:  # emptied by a revoke
                continue
            lane.is_queued = False
            if lane.running is None and lane.wake_at is None and lane.waiting:
                lane.running = lane.waiting.popleft()
                taken.append(lane.running)
        return taken

    def finish(self, work: Work) -> None:
        """A command has ended (stored, dropped or nothing to do): its lane goes on."""
        lane = self._lanes.get(work.lane)
        if lane is None or lane.running is not work:
            return
        lane.running = None
        if lane.waiting:
            self._queue(work.lane, lane)
        else:
            del self._lanes[work.lane]

    def put_back(self, work: Work, until: datetime | None = None) -> None:
        """A command goes on at `until`, else at once; its lane waits with it, so that order is kept."""
        lane = self._lanes[work.lane]
        lane.running = None
        lane.waiting.appendleft(work)
        if until is None:
            self._queue(work.lane, lane)
            return
        lane.wake_at = until
        self._ticket += 1
        heapq.heappush(self._sleeping, (until, self._ticket, work.lane))

    def drop(self, epochs: Mapping[PartitionId, int]) -> None:
        """Forget the waiting commands of revoked partitions; running ones end by themselves."""
        for key, lane in list(self._lanes.items()):
            head = lane.waiting[0] if lane.waiting else None
            kept = deque(work for work in lane.waiting if epochs.get(work.partition) != work.epoch)
            if lane.wake_at and (not kept or kept[0] is not head):
                lane.wake_at = None
            lane.waiting = kept
            if kept:
                self._queue(key, lane)
            elif lane.running is None:
                del self._lanes[key]

    def next_wake(self) -> datetime | None:
        """When the next waiting lane goes on."""
        return self._sleeping[0][0] if self._sleeping else None

    @property
    def running(self) -> list[Work]:
        """The commands that have left `take_ready` and not ended."""
        return [lane.running for lane in self._lanes.values() if lane.running]

    def _queue(self, key: LaneKey, lane: _Lane) -> None:
        if not lane.is_queued and lane.running is None and lane.wake_at is None:
            lane.is_queued = True
            self._turns.append(key)

    def _wake(self, now: datetime) -> None:
        while self._sleeping and self._sleeping[0][0] <= now:
            until, _, key = heapq.heappop(self._sleeping)
            lane = self._lanes.get(key)
            if lane and lane.wake_at == until:
                lane.wake_at = None
                self._queue(key, lane)
