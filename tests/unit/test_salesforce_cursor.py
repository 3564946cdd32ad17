"""The cursor of a Salesforce pull: any change once, none twice, whatever text comes back."""

import base64
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crm.adapters.salesforce.cursor import FRESH_S, MAX_SEEN, Cursor, mark_of
from crm.errors import CommandRefused

RECORD_ID = "00Q5g0000000001EAA"
NOW_MS = 1_795_348_800_000


def cursor_after(count: int, *, seconds_apart: int = 0) -> Cursor:
    cursor = Cursor.since("Lead", None)
    for index in range(count):
        at_ms = NOW_MS + index * seconds_apart * 1000
        cursor = cursor.after(at_ms, RECORD_ID, [mark_of({"Id": index}, at_ms)])
    return cursor


@given(st.integers(0, 400), st.integers(0, 3))
@settings(max_examples=25, deadline=None)
def test_a_cursor_reads_back_and_fits_the_contract(count: int, seconds_apart: int) -> None:
    """At most 2,000 characters, however many records were given."""
    # When
    cursor = cursor_after(count, seconds_apart=seconds_apart)

    # Then
    for place in (cursor, cursor.settled()):
        text = place.encode()
        assert len(text) <= 2000
        assert Cursor.decode(text, "lead") == place


def test_a_settled_cursor_steps_back_as_far_as_it_remembers() -> None:
    """What was given in the last seconds is remembered, and the next query begins before it."""
    # When
    settled = cursor_after(3).settled()

    # Then
    assert len(settled.seen) == 3
    assert settled.condition() == "SystemModstamp >= " + _literal(NOW_MS - FRESH_S * 1000 + 1000)


def test_a_burst_that_does_not_fit_is_not_stepped_over() -> None:
    """Rather than repeat records for ever, a second with more of them than fit counts as complete."""
    # When
    settled = cursor_after(MAX_SEEN + 1).settled()

    # Then
    assert settled.seen == ()
    assert settled.condition() == "SystemModstamp >= " + _literal(NOW_MS + 1000)


def test_a_start_in_the_past_is_never_stepped_over() -> None:
    """`modified_since` is a floor: the step back does not bring what was not asked for."""
    # Given
    since = datetime.fromtimestamp(NOW_MS / 1000, UTC)

    # When
    start = Cursor.since("Lead", since)
    settled = start.after(NOW_MS + 1000, RECORD_ID, [mark_of({}, NOW_MS + 1000)]).settled()

    # Then
    assert start.condition() == settled.condition() == "SystemModstamp >= " + _literal(NOW_MS)


def test_a_place_between_two_records_of_one_instant() -> None:
    """The id decides between records that share an instant."""
    # When
    condition = cursor_after(1).condition()

    # Then
    moment = _literal(NOW_MS)
    assert condition == f"(SystemModstamp > {moment} OR (SystemModstamp = {moment} AND Id > '{RECORD_ID}'))"


@given(st.text(max_size=100))
def test_no_other_text_is_a_cursor(text: str) -> None:
    """Whatever comes back is refused with one code, unless this service gave it."""
    # When / Then
    with pytest.raises(CommandRefused) as refused:
        Cursor.decode(text, "Lead")
    assert refused.value.code == "invalid_cursor"


@given(st.integers(0, 60), st.integers(0, 255))
def test_a_damaged_cursor_is_refused(place: int, byte: int) -> None:
    """One changed byte is noticed."""
    # Given
    raw = bytearray(base64.urlsafe_b64decode(cursor_after(2).encode() + "=="))
    before = raw[place]
    raw[place] = byte
    text = base64.urlsafe_b64encode(raw).decode()

    # When / Then
    if byte == before:
        assert Cursor.decode(text.rstrip("="), "Lead") == cursor_after(2)
    else:
        with pytest.raises(CommandRefused):
            Cursor.decode(text.rstrip("="), "Lead")


def _literal(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")
