"""Which offset of a partition may be committed. Pure."""

from dataclasses import dataclass, field


@dataclass(slots=True)
class PartitionTracker:
    """The unfinished messages of one assigned partition, under the epoch that it was taken with.

    Offsets have gaps (control records of transactions), so the committed position is the lowest unfinished offset, or
    the consumer's own position where nothing is unfinished. Messages that are read again are answered by their claims.
    """

    epoch: int
    position: int | None = None
    committed: int | None = None
    _unfinished: dict[int, int] = field(default_factory=dict)
    _bytes: int = 0

    def took(self, offset: int, size: int) -> None:
        """A message was taken; `size` in bytes."""
        self._unfinished[offset] = size
        self._bytes += size
        self.position = offset + 1

    def finish(self, offset: int) -> None:
        """Its outcome is stored, or there is nothing to do for it. Unknown offsets are passed over."""
        self._bytes -= self._unfinished.pop(offset, 0)

    def to_commit(self) -> int | None:
        """The next offset to commit, or None when it was committed already."""
        # Insertion order is offset order: the first key is the lowest unfinished.
        next_offset = next(iter(self._unfinished), self.position)
        return next_offset if next_offset != self.committed else None

    @property
    def count(self) -> int:
        """Messages that are queued, running or waiting."""
        return len(self._unfinished)

    @property
    def size(self) -> int:
        """Bytes of them."""
        return self._bytes


@dataclass(frozen=True, slots=True)
class BackPressure:
    """When to stop taking from a partition and when to go on: a high and a low water mark of count and bytes."""

    max_count: int
    max_bytes: int

    def must_pause(self, tracker: PartitionTracker) -> bool:
        """High water."""
        return tracker.count >= self.max_count or tracker.size >= self.max_bytes

    def may_resume(self, tracker: PartitionTracker) -> bool:
        """Low water: half, so that a pause (which throws away what was fetched) is rare."""
        return tracker.count <= self.max_count // 2 and tracker.size <= self.max_bytes // 2
