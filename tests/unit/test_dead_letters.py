"""Dead letters keep a message as it came; a flood of them stops its partition."""

from datetime import timedelta
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumer.dead_letters import UNDECODABLE, WINDOW, FloodBrake, dead_letter
from consumer.decode import RawMessage, Unreadable
from crm.store.outbox import MAX_MESSAGE_BYTES, OutboxMessage
from schemas.dead_letter import DEAD_LETTER_HEADERS
from services.commands_in import NOW, PARTITION, raw_message

HEADERS = st.lists(st.tuples(st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=20),
                             st.none() | st.binary(max_size=40)), max_size=5)  # fmt: skip


def letter_of(message: RawMessage, unreadable: Unreadable | None = None) -> OutboxMessage:
    """The one message that a dead letter leaves."""
    reason = unreadable or Unreadable("not_json", "no JSON at all")
    finished = dead_letter(message, reason, epoch=7, topic="dlq", group_id="crm-sync", now=NOW)
    assert (finished.partition, finished.epoch, finished.claim, finished.history) == (PARTITION, 7, None, None)
    (letter,) = finished.messages
    return letter


def added(letter: OutboxMessage) -> dict[str, str]:
    """The headers that were added."""
    return {name: value.decode() for name, value in letter.headers if value is not None and name.startswith("dlq.")}


@given(value=st.none() | st.binary(max_size=400), key=st.none() | st.binary(max_size=60), headers=HEADERS)
def test_bytes_key_headers_and_timestamp_are_untouched(
    value: bytes | None, key: bytes | None, headers: list[tuple[str, bytes | None]]
) -> None:
    """Whoever replays a dead letter has the publisher's message; ours is only added behind it."""
    # Given
    message = raw_message(value, key=key, headers=headers, age=timedelta(hours=3))
    # When
    letter = letter_of(message)
    # Then
    assert (letter.value, letter.key, letter.timestamp_ms) == (value, key, message.timestamp_ms)
    assert list(letter.headers)[: len(headers)] == headers
    assert all(name.startswith("dlq.") for name, _ in list(letter.headers)[len(headers) :])


def test_the_added_headers_say_where_it_stood_and_why_it_is_here() -> None:
    """Every published header is there, in words and numbers that a person can use."""
    # Given
    message = raw_message(b"hello", offset=812, age=timedelta(hours=3))
    # When
    letter = letter_of(message, Unreadable("not_json", "not JSON: Expecting value"))
    # Then
    assert added(letter) == {
        "dlq.original.topic": "crm.sync.commands",
        "dlq.original.partition": "3",
        "dlq.original.offset": "812",
        "dlq.original.timestamp": "2026-11-22T09:00:00+00:00",
        "dlq.original.size": "5",
        "dlq.original.sha256": sha256(b"hello").hexdigest(),
        "dlq.consumer.group": "crm-sync",
        "dlq.failed-at": "2026-11-22T12:00:00+00:00",
        "dlq.error.code": "not_json",
        "dlq.error.message": "not JSON: Expecting value",
    }
    assert set(added(letter)) == {str(name) for name in DEAD_LETTER_HEADERS}


def test_one_message_leaves_one_letter_however_often_it_is_read() -> None:
    """The dedupe key is the message's place: topic, partition and offset."""
    # Given, When
    first, again = letter_of(raw_message(b"x", offset=5)), letter_of(raw_message(b"x", offset=5))
    other = letter_of(raw_message(b"x", offset=6))
    # Then
    assert first.dedupe_key == again.dedupe_key == "crm.sync.commands/3/5"
    assert other.dedupe_key != first.dedupe_key


@pytest.mark.parametrize(
    ("value", "key", "headers"),
    [
        (b"x" * 2_000_000, b"k", [("trace", b"t")]),
        (b"x", b"k" * 1_500_000, [("trace", b"t")]),
        (b"x", b"k", [("trace", b"t"), ("attachment", b"h" * 1_500_000)]),
        (b"x", b"k", [("trace", b"t"), *(("n" * 900, b"v") for _ in range(2_000))]),
    ],
)
def test_a_message_too_large_for_the_topic_leaves_hash_and_position(
    value: bytes, key: bytes, headers: list[tuple[str, bytes | None]]
) -> None:
    """Small headers, the hash and the position fit always; the original can be found in the commands topic."""
    # Given
    message = raw_message(value, key=key, headers=headers)
    # When
    letter = letter_of(message, Unreadable("too_large", "2000000 bytes"))
    # Then
    assert letter.size < MAX_MESSAGE_BYTES
    assert letter.value is None
    assert letter.timestamp_ms == message.timestamp_ms
    assert ("trace", b"t") in letter.headers
    found = added(letter)
    assert found["dlq.original.sha256"] == sha256(value).hexdigest()
    assert (found["dlq.original.size"], found["dlq.original.offset"]) == (str(len(value)), "812")


@given(name=st.text(max_size=30))
def test_any_header_name_can_be_stored(name: str) -> None:
    """A header's name becomes text in PostgreSQL: no NUL and no lone surrogate is left in it."""
    # Given, When
    letter = letter_of(raw_message(b"x", headers=[(name, b"v")]))
    # Then
    kept = letter.headers[0][0]
    assert "\0" not in kept
    kept.encode()


def test_a_flood_of_garbage_stops_the_partition() -> None:
    """More than half of the last 200 messages undecodable: stop; half is still borne."""
    # Given
    brake = FloodBrake()
    # When half of a window is garbage, in between commands
    borne = [brake.saw(undecodable=number % 2 == 0) for number in range(WINDOW)]
    # Then one more than half stops it
    assert not any(borne)
    brake.saw(undecodable=True)  # an even place: garbage in place of garbage
    assert brake.saw(undecodable=True)


def test_a_topic_of_nothing_but_garbage_stops_after_half_a_window() -> None:
    """The brake does not wait for a full window: message 101 of a bad deploy stops it."""
    # Given
    brake = FloodBrake()
    # When
    stops = [brake.saw(undecodable=True) for _ in range(101)]
    # Then
    assert stops == [False] * 100 + [True]


def test_old_garbage_is_forgotten() -> None:
    """Only the last 200 messages count."""
    # Given 100 undecodable messages, then 200 good ones
    brake = FloodBrake()
    for number in range(300):
        brake.saw(undecodable=number < 100)
    # When, Then
    assert not brake.saw(undecodable=True)


def test_messages_that_are_merely_wrong_never_count() -> None:
    """What is too large, too old or against the contract is no sign of a bad deploy of the whole topic."""
    # Given, When, Then
    assert set(UNDECODABLE) == {"not_json", "no_readable_ids", "not_a_command", "unreadable"}
