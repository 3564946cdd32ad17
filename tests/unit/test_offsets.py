"""Which offset may be committed, and when a partition is paused: against a model that remembers everything."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumer.offsets import BackPressure, PartitionTracker

#: One step: take the next message after a gap of so many offsets, finish one of those that are open, or commit.
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("take"), st.integers(0, 5)),
        st.tuples(st.just("finish"), st.integers(0, 30)),
        st.tuples(st.just("commit"), st.just(0)),
    ),
    max_size=60,
)


@given(steps=STEPS, start=st.integers(0, 10_000))
def test_nothing_is_committed_past_an_unfinished_message(steps: list[tuple[str, int]], start: int) -> None:
    """The committed position is the lowest unfinished offset, else the one after the last that was taken."""
    # Given a tracker, and a model that keeps every offset
    tracker, open_offsets, position, committed = PartitionTracker(epoch=1), list[int](), None, None
    next_offset = start
    for step, number in steps:
        # When messages come (offsets have gaps), end in any order, and the position is committed now and then
        if step == "take":
            next_offset += number
            tracker.took(next_offset, 10)
            open_offsets.append(next_offset)
            next_offset += 1
            position = next_offset
        elif step == "finish" and open_offsets:
            tracker.finish(open_offsets.pop(number % len(open_offsets)))
        elif step == "commit" and tracker.to_commit() is not None:
            tracker.committed = committed = tracker.to_commit()
        # Then both agree, and a position that was committed is not committed again
        expected = min(open_offsets, default=position)
        assert tracker.to_commit() == (None if expected == committed else expected)
        assert (tracker.count, tracker.size) == (len(open_offsets), 10 * len(open_offsets))


def test_a_gap_at_the_end_is_no_reason_to_wait() -> None:
    """Control records leave gaps: the position after the last message is committed though the next offset is far."""
    # Given messages at 3 and 7
    tracker = PartitionTracker(epoch=1)
    tracker.took(3, 1)
    tracker.took(7, 1)
    # When the later one is finished, then the earlier one
    tracker.finish(7)
    before = tracker.to_commit()
    tracker.finish(3)
    # Then the earlier one held the position back
    assert (before, tracker.to_commit()) == (3, 8)


def test_an_unknown_offset_is_passed_over() -> None:
    """What was never taken, or is finished already, changes nothing when it is finished again."""
    # Given
    tracker = PartitionTracker(epoch=1)
    tracker.took(5, 100)
    # When
    tracker.finish(4)
    tracker.finish(5)
    tracker.finish(5)
    # Then
    assert (tracker.count, tracker.size, tracker.to_commit()) == (0, 0, 6)


def test_a_fresh_tracker_commits_nothing() -> None:
    """A partition of which nothing was read yet has no position to commit."""
    # Given, When
    tracker = PartitionTracker(epoch=4)
    # Then
    assert tracker.to_commit() is None


@pytest.mark.parametrize(
    ("count", "size", "pause", "resume"),
    [
        (1, 0, False, True),
        (50, 500, False, True),
        (51, 500, False, False),
        (50, 501, False, False),
        (99, 999, False, False),
        (100, 0, True, False),
        (1, 1000, True, False),
    ],
)
def test_back_pressure_has_a_high_and_a_low_water_mark(count: int, size: int, *, pause: bool, resume: bool) -> None:
    """A partition pauses at either full mark and resumes when both are at half or below."""
    # Given so many messages of so many bytes in all
    tracker = PartitionTracker(epoch=1)
    for offset in range(count):
        tracker.took(offset, size // count + (1 if offset < size % count else 0))
    budget = BackPressure(max_count=100, max_bytes=1000)
    # When
    answers = budget.must_pause(tracker), budget.may_resume(tracker)
    # Then
    assert answers == (pause, resume)


@given(sizes=st.lists(st.integers(0, 400), max_size=200))
def test_back_pressure_never_pauses_and_resumes_at_once(sizes: list[int]) -> None:
    """No state asks for both: a partition would flap."""
    # Given
    tracker, budget = PartitionTracker(epoch=1), BackPressure(max_count=100, max_bytes=20_000)
    for offset, size in enumerate(sizes):
        # When
        tracker.took(offset, size)
        # Then
        assert not (budget.must_pause(tracker) and budget.may_resume(tracker))
