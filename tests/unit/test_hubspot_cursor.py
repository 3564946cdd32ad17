"""HubSpot pull cursors: opaque, checked, small enough, and steady while a search still catches up."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crm.adapters.hubspot.cursor import FRESH_MS, MAX_SEEN, Position, Seen, remember, settle
from crm.errors import CommandRefused

NOW = 1_795_000_000_000


def seen_at(*moments: int) -> list[Seen]:
    return [Seen.of(moment, str(moment)) for moment in moments]


def test_a_cursor_comes_back_as_it_was() -> None:
    """Encoding and decoding lose nothing, and the fullest cursor fits the contract's 2,000 characters."""
    # Given the fullest position
    seen = tuple(seen_at(*range(NOW, NOW + MAX_SEEN)))
    position = Position("2-" + "9" * 20, NOW, 2**63 - 1, seen, NOW, NOW, "NTI1Cg" * 10, NOW)

    # When it is encoded and read again
    text = position.encode()

    # Then it is the same, in URL-safe characters
    assert Position.decode(text, position.crm_object) == position
    assert len(text) <= 2_000
    assert text.replace("-", "").replace("_", "").isalnum()


@given(st.integers(0, 10_000), st.characters(min_codepoint=33, max_codepoint=126))
def test_an_altered_cursor_is_refused(place: int, letter: str) -> None:
    """Any changed character makes the cursor `invalid_cursor`."""
    # Given a cursor with one character replaced
    text = Position("contacts", NOW, 5, tuple(seen_at(NOW))).encode()
    place %= len(text) - 1
    altered = text[:place] + letter + text[place + 1 :]

    # When it is read / Then it is refused unless nothing changed
    if altered == text:
        assert Position.decode(altered, "contacts").record_id == 5
    else:
        with pytest.raises(CommandRefused) as refused:
            Position.decode(altered, "contacts")
        assert refused.value.code == "invalid_cursor"


@pytest.mark.parametrize("text", ["", "x", "é", "A" * 2000, "null", "e30"])
def test_garbage_is_refused(text: str) -> None:
    """What no pull gave is `invalid_cursor`."""
    # Given garbage / When it is read / Then it is refused
    with pytest.raises(CommandRefused, match="not one that a HubSpot pull gave"):
        Position.decode(text, "contacts")


def test_a_cursor_of_another_object_is_refused() -> None:
    """A cursor of companies does not read contacts."""
    # Given a cursor of companies / When contacts are read with it / Then it is refused by name
    with pytest.raises(CommandRefused, match="belongs to companies"):
        Position.decode(Position("companies", NOW).encode(), "contacts")


def test_old_changes_are_not_remembered() -> None:
    """When the newest change is older than the search's lag, the place alone says it all."""
    # Given a drained pull whose last record changed long ago
    old = NOW - FRESH_MS - 1

    # When it settles / Then the place stays and nothing is remembered
    settled = settle(Position("contacts", old, 7), seen_at(old), NOW)
    assert (settled.at_ms, settled.record_id, settled.seen) == (old, 7, ())


def test_fresh_changes_are_stepped_back_over_and_remembered() -> None:
    """When the newest change is fresh, the next pull looks again at the last seconds and skips what it gave."""
    # Given a drained pull with an old and two fresh changes
    old, fresh = NOW - FRESH_MS - 5, (NOW - 20, NOW - 10)

    # When it settles
    settled = settle(Position("contacts", NOW - 10, 7), seen_at(old, *fresh), NOW)

    # Then it stands before the fresh ones and knows both
    assert settled.at_ms == NOW - FRESH_MS
    assert list(settled.seen) == seen_at(*fresh)


def test_a_burst_is_stepped_back_over_as_far_as_it_can_be_remembered() -> None:
    """Of more fresh changes than fit, the newest are remembered, and the place stands just before them."""
    # Given more fresh changes than a cursor holds
    moments = range(NOW - 2 * MAX_SEEN, NOW)

    # When the pull settles
    settled = settle(Position("contacts", NOW - 1, 7), seen_at(*moments), NOW)

    # Then everything after the place is remembered
    assert len(settled.seen) == MAX_SEEN
    assert settled.at_ms == NOW - MAX_SEEN - 1
    assert all(entry.at_ms > settled.at_ms for entry in settled.seen)


def test_a_place_in_the_middle_keeps_what_the_end_will_need() -> None:
    """Between two pages of one walk the place does not move, fresh records add up and old ones are dropped."""
    # Given a place with one remembered record, and two more on the next page
    position = Position("contacts", NOW - 5, 7, tuple(seen_at(NOW - 9)))

    # When the page ends in the middle
    kept = remember(position, seen_at(NOW - 5, NOW - FRESH_MS - 1), NOW)

    # Then the fresh ones of both pages are known
    assert (kept.at_ms, kept.record_id) == (NOW - 5, 7)
    assert list(kept.seen) == seen_at(NOW - 9, NOW - 5)


def test_the_step_back_ends_at_the_start_of_the_walk() -> None:
    """A walk that began at `modified_since` never gives what changed before it, however late the search is."""
    # Given a drained walk that began a second ago
    began = NOW - 1_000

    # When it settles
    settled = settle(Position("contacts", NOW - 10, 7, floor_ms=began), seen_at(NOW - 10), NOW)

    # Then it stands just before its beginning
    assert settled.at_ms == began - 1
