"""Bytes from Kafka become a command, a refusal that is answered, or a dead letter."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumer.decode import Limits, Readable, Unreadable, decode
from schemas.topics import EventType
from services.commands_in import LIMITS, NOW, WORKSPACE, command_body, raw_message

COMMAND_TYPE = EventType.COMMAND.value.encode()


def read(message: Any) -> Readable:
    """A message that has readable ids."""
    found = decode(message, LIMITS, NOW)
    assert isinstance(found, Readable), found
    return found


def dead(message: Any, limits: Limits = LIMITS) -> str:
    """The reason of a dead letter."""
    found = decode(message, limits, NOW)
    assert isinstance(found, Unreadable), found
    return found.reason


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (None, "not_json"),
        (b"", "not_json"),
        (b"hello", "not_json"),
        (b"\xff\xfe\x00", "not_json"),
        (b'{"workspace_id": NaN}', "not_json"),
        (b"[1, 2]", "not_json"),
        (b'"text"', "not_json"),
        (b"[" * 100_000, "not_json"),
        (b'{"a":' * 40 + b"1" + b"}" * 40, "not_json"),
        (b"{}", "no_readable_ids"),
        (command_body(workspace_id=...), "no_readable_ids"),
        (command_body(workspace_id="acme"), "no_readable_ids"),
        (command_body(workspace_id=7), "no_readable_ids"),
        (command_body(command_id=7), "no_readable_ids"),
        (command_body(command_id=""), "no_readable_ids"),
        (command_body(command_id=" c-1"), "no_readable_ids"),
        (command_body(command_id="c\u00001"), "no_readable_ids"),
        (command_body(command_id="x" * 129), "no_readable_ids"),
    ],
)
def test_a_message_that_names_nobody_is_a_dead_letter(value: Any, reason: str) -> None:
    """Without a readable workspace id and command id there is nobody to answer."""
    # Given
    message = raw_message(value)
    # When, Then
    assert dead(message) == reason


def test_a_message_over_the_size_limit_is_a_dead_letter() -> None:
    """Key, value and headers count; exactly the limit is still read."""
    # Given a good command of exactly the limit
    fits = raw_message(command_body(), headers=[("padding", b"x")])
    limits = Limits(fits.size, LIMITS.claim_retention_s, LIMITS.expire_after_s)
    # When one byte is added to a header
    over = raw_message(command_body(), headers=[("padding", b"xy")])
    # Then
    assert isinstance(decode(fits, limits, NOW), Readable)
    assert dead(over, limits) == "too_large"


def test_a_message_that_outlived_the_claims_is_a_dead_letter() -> None:
    """Older than the retention of claims: running it could run it twice, so it never runs."""
    # Given
    retention = timedelta(seconds=LIMITS.claim_retention_s)
    # When, Then
    assert dead(raw_message(command_body(), age=retention + timedelta(seconds=1))) == "too_old"
    assert isinstance(decode(raw_message(command_body(), age=retention), LIMITS, NOW), Readable)


@pytest.mark.parametrize("event_type", [EventType.RESULT, EventType.CONNECTION])
def test_another_event_on_the_commands_topic_is_a_dead_letter(event_type: EventType) -> None:
    """A result that somebody published on the commands topic is not run, even when it has a command's ids."""
    # Given
    message = raw_message(command_body(), headers=[("ce_type", event_type.value.encode()), ("ce_id", b"e-1")])
    # When, Then
    assert dead(message) == "not_a_command"


def test_a_good_command_is_read_whole() -> None:
    """Ids, command, body, expiry and trace context come out; nothing is refused."""
    # Given
    trace = b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    # When
    found = read(raw_message(command_body(), headers=[("traceparent", trace), ("ce_type", COMMAND_TYPE)]))
    # Then
    assert found.refusal is None
    assert found.command is not None
    assert (found.workspace_id, found.command_id, found.integration) == (WORKSPACE, "c-1", "salesforce")
    assert found.traceparent == trace.decode()


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"records": []}, "records"),
        ({"records": [{"fields": {}}] * 201}, "records"),
        ({"records": "all"}, "records"),
        ({"records": [{"fields": {"email": {"work": "a@b.c"}}}]}, "records[0].fields.email"),
        ({"records": [{"fields": {"email": [["a"]]}}]}, "records[0].fields.email"),
        ({"records": [{"fields": {}, "colour": "red"}]}, "records[0].colour"),
        ({"colour": "red"}, "colour"),
        ({"direction": "sideways"}, "direction"),
        ({"direction": ...}, "direction"),
        ({"integration": "Sales Force"}, "integration"),
        ({"integration": ...}, "integration"),
        ({"entity": None}, "entity"),
        ({"dry_run": "yes"}, "dry_run"),
        ({"expires_at": "tomorrow"}, "expires_at"),
        ({"match_on": ["email", "phone"]}, "match_on"),
    ],
)
def test_a_readable_command_that_breaks_the_contract_is_refused_by_field(changes: dict[str, Any], field: str) -> None:
    """Whoever can be named is answered `invalid_command`, with the place that is wrong."""
    # Given
    message = raw_message(command_body(**changes))
    # When
    found = read(message)
    # Then
    assert found.command is None
    assert found.refusal is not None
    assert (found.refusal.code, found.refusal.field) == ("invalid_command", field)


@pytest.mark.parametrize("key", [None, b"", b"salesforce", f"{WORKSPACE}:hubspot".encode(), b"\xff\xfe"])
def test_a_wrong_or_missing_key_is_refused(key: bytes | None) -> None:
    """Order within a connection rests on the key, so a command with another one is answered `key_mismatch`."""
    # Given
    message = raw_message(command_body(), key=key)
    # When
    found = read(message)
    # Then
    assert found.command is None
    assert found.refusal is not None
    assert found.refusal.code == "key_mismatch"
    assert f"{WORKSPACE}:salesforce" in found.refusal.message


def test_the_command_id_of_the_body_wins() -> None:
    """The body's id is the command's, whatever the CloudEvents id says."""
    # Given, When
    found = read(raw_message(command_body(), headers=[("ce_id", b"event-9")]))
    # Then
    assert found.command_id == "c-1"


@pytest.mark.parametrize("given_id", [..., None])
def test_the_cloudevents_id_stands_in_for_a_missing_command_id(given_id: Any) -> None:
    """Without one in the body, the event's id is the command's: a publisher's retry is recognised."""
    # Given, When
    found = read(raw_message(command_body(command_id=given_id), headers=[("ce_id", b"event-9")]))
    # Then
    assert found.command_id == "event-9"
    assert found.command is not None
    assert found.command.command_id == "event-9"


@pytest.mark.parametrize("headers", [[], [("ce_id", b"")], [("ce_id", b"x" * 200)], [("ce_id", b"\xff")]])
def test_an_id_is_derived_from_the_place_where_nothing_names_one(headers: list[tuple[str, bytes]]) -> None:
    """Topic, partition and offset give the same id each time the message is read, and another at another place."""
    # Given
    message = raw_message(command_body(command_id=...), headers=headers)
    # When
    found, again = read(message), read(message)
    elsewhere = read(raw_message(command_body(command_id=...), headers=headers, offset=813))
    # Then
    assert found.command_id == again.command_id
    assert len(found.command_id) == 36
    assert elsewhere.command_id != found.command_id


def test_a_structured_cloudevent_is_read() -> None:
    """Structured mode carries the same command; its id stands in for a missing command id."""
    # Given
    event = {"specversion": "1.0", "id": "event-7", "source": "/up", "type": EventType.COMMAND.value}
    value = json.dumps({**event, "data": command_body(command_id=...)}).encode()
    # When
    found = read(raw_message(value, headers=[("content-type", b"application/cloudevents+json")]))
    # Then
    assert (found.command_id, found.refusal) == ("event-7", None)


def test_a_command_expires_a_day_after_it_was_published_unless_it_says_otherwise() -> None:
    """The publisher's own instant holds; else the message's timestamp and the default."""
    # Given
    own = "2026-11-22T12:05:00Z"
    # When, Then
    published = NOW - timedelta(hours=1)
    assert read(raw_message(command_body(), age=timedelta(hours=1))).expires_at == published + timedelta(days=1)
    assert read(raw_message(command_body(expires_at=own))).expires_at == datetime(2026, 11, 22, 12, 5, tzinfo=UTC)


@pytest.mark.parametrize("timestamp_ms", [-1, 0, int(NOW.timestamp() * 1_000_000), 2**62])
def test_a_timestamp_that_says_nothing_is_taken_as_now(timestamp_ms: int) -> None:
    """No timestamp, or one of the future such as microseconds: neither too old for ever nor valid for ages."""
    # Given
    message = replace(raw_message(command_body()), timestamp_ms=timestamp_ms)
    # When, Then
    assert read(message).expires_at == NOW + timedelta(days=1)


def test_white_space_and_the_order_of_keys_do_not_make_another_body() -> None:
    """Two messages that ask the same have one fingerprint; a changed value has another."""
    # Given
    body = command_body()
    turned = json.dumps(dict(reversed(body.items())), indent=3).encode()
    # When
    same, turned_read, other = (
        read(raw_message(body)),
        read(raw_message(turned)),
        read(raw_message(command_body(entity="company"))),
    )
    # Then
    assert same.body_hash == turned_read.body_hash
    assert other.body_hash != same.body_hash


@given(value=st.binary(max_size=300), key=st.none() | st.binary(max_size=80))
def test_no_bytes_make_the_decoder_fail(value: bytes, key: bytes | None) -> None:
    """Whatever stands in the topic is read to one of the two ends."""
    # Given, When
    found = decode(raw_message(value, key=key), LIMITS, NOW)
    # Then
    assert isinstance(found, Readable | Unreadable)


JSON = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@given(data=st.data())
def test_a_command_with_ids_is_always_answerable(data: st.DataObject) -> None:
    """Any JSON in any field but the two ids leaves a readable command: it gets a result, never a dead letter."""
    # Given
    names = st.sampled_from([name for name in command_body() if name not in ("command_id", "workspace_id")])
    changes = data.draw(st.dictionaries(names, JSON, max_size=4))
    extra = data.draw(st.dictionaries(st.text(max_size=6), JSON, max_size=2))
    body = {**command_body(**changes), **{name: value for name, value in extra.items() if name not in command_body()}}
    # When
    found = read(raw_message(body))
    # Then
    assert (found.command is None) == (found.refusal is not None)
