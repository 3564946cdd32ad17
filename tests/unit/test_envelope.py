"""CloudEvents over Kafka: what is sent, the three forms that are read, and bytes that nobody can read."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from cloudevents.core.bindings import kafka
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent

from schemas.envelope import MAX_DEPTH, SOURCE, Envelope, Headers, NotReadable, decode, encode
from schemas.examples import CONNECTION, PARTIAL_RESULT
from schemas.result import SyncResult
from schemas.topics import EventType

TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
STRUCTURED = [("content-type", b"application/cloudevents+json; charset=UTF-8")]
EVENT: dict[str, Any] = {
    "specversion": "1.0",
    "id": "e-1",
    "source": "/upstream",
    "type": EventType.COMMAND.value,
    "time": "2026-11-22T12:00:00Z",
    "data": {"entity": "person"},
}


def structured(**changes: Any) -> bytes:
    return json.dumps({**EVENT, **changes}).encode()


def without(*names: str) -> bytes:
    return json.dumps({name: value for name, value in EVENT.items() if name not in names}).encode()


def sent(traceparent: str | None = None) -> tuple[list[tuple[str, bytes]], bytes]:
    result = SyncResult.model_validate(PARTIAL_RESULT)
    return encode(EventType.RESULT, "s-1", result, subject="c-1", time=NOON, traceparent=traceparent)


def test_an_event_leaves_in_binary_mode() -> None:
    """The attributes are headers, the value is the data alone."""
    # Given, When
    headers, value = sent(TRACE)

    # Then
    assert dict(headers) == {
        "ce_specversion": b"1.0",
        "ce_id": b"s-1",
        "ce_source": SOURCE.encode(),
        "ce_type": b"io.morket.crm.sync.result.v1",
        "ce_subject": b"c-1",
        "ce_time": b"2026-11-22T12:00:00Z",
        "content-type": b"application/json",
        "traceparent": TRACE.encode(),
    }
    assert json.loads(value) == PARTIAL_RESULT


def test_another_reader_of_cloudevents_reads_what_is_sent() -> None:
    """The SDK's own reader finds the same event in what was sent."""
    # Given
    headers, value = sent()

    # When
    event = kafka.from_binary(kafka.KafkaMessage(dict(headers), None, value), JSONFormat(), CloudEvent)

    # Then
    assert (event.get_id(), event.get_type(), event.get_subject()) == ("s-1", EventType.RESULT.value, "c-1")
    assert event.get_time() == NOON
    assert event.get_data() == PARTIAL_RESULT


def test_what_is_sent_can_be_read_back() -> None:
    """Binary out, binary in: the same data, id, type and trace."""
    # Given
    headers, value = sent(TRACE)

    # When
    read = decode(headers, value)

    # Then
    assert read == Envelope(PARTIAL_RESULT, "s-1", EventType.RESULT.value, TRACE)


def test_a_structured_event_is_read() -> None:
    """The whole event in the value, as the CloudEvents SDK writes it."""
    # Given
    event = CloudEvent({"id": "e-1", "source": "/upstream", "type": "t", "traceparent": TRACE}, dict(CONNECTION))
    message = kafka.to_structured(event, JSONFormat())

    # When
    read = decode(list(message.headers.items()), message.value)

    # Then
    assert read == Envelope(CONNECTION, "e-1", "t", TRACE)


@pytest.mark.parametrize(
    "media_type",
    [b"application/cloudevents+json", b"application/cloudevents", b"Application/CloudEvents+JSON; charset=utf-8"],
)
def test_structured_mode_is_recognised_by_its_content_type(media_type: bytes) -> None:
    """The media type counts without its case and parameters, the header's name without its case."""
    # Given, When
    read = decode([("Content-Type", media_type)], structured())

    # Then
    assert read == Envelope({"entity": "person"}, "e-1", EventType.COMMAND.value, None)


@pytest.mark.parametrize("headers", [[], [("content-type", b"application/json")], [("content-type", b"text/plain")]])
def test_plain_json_is_read(headers: Headers) -> None:
    """A JSON object without any envelope is data, and the envelope said nothing."""
    # Given, When
    read = decode(headers, '{"entity": "Größe 😀"}'.encode())

    # Then
    assert read == Envelope({"entity": "Größe 😀"})


def test_a_byte_order_mark_is_ignored() -> None:
    """RFC 8259 section 8.1 lets a reader ignore it, and spreadsheets write it."""
    # Given, When, Then
    assert decode([], b'\xef\xbb\xbf{"a": 1}').data == {"a": 1}


def test_the_last_of_two_headers_counts() -> None:
    """Of headers with one name the last that has a value counts."""
    # Given
    headers = [("ce_id", b"first"), ("CE_ID", b"second"), ("ce_id", None)]

    # When, Then
    assert decode(headers, b"{}").event_id == "second"


@pytest.mark.parametrize("content", [None, b"", b"\xff\xfe", b"\x80"])
def test_a_header_that_says_nothing_counts_as_absent(content: bytes | None) -> None:
    """Empty, missing and binary headers leave the envelope silent; the data is read all the same."""
    # Given
    headers = [(name, content) for name in ("ce_id", "ce_type", "traceparent", "content-type", "other")]

    # When, Then
    assert decode(headers, b'{"a": 1}') == Envelope({"a": 1})


@pytest.mark.parametrize(
    ("header", "carried"),
    [
        (TRACE, TRACE),
        (f"cc-{TRACE[3:]}-later-versions-say-more", f"cc-{TRACE[3:]}-later-versions-say-more"),
        ("", None),
        ("x", None),
        (TRACE.upper(), None),
        (f"ff-{TRACE[3:]}", None),
        (f"00-{'0' * 32}-00f067aa0ba902b7-01", None),
        (f"00-4bf92f3577b34da6a3ce929d0e0e4736-{'0' * 16}-01", None),
        (f"{TRACE}\n", None),
        (f"{TRACE}-{'x' * 5000}", None),
    ],
)
def test_only_a_sound_traceparent_is_carried_on(header: str, carried: str | None) -> None:
    """A `traceparent` that breaks the form of W3C Trace Context is ignored; nothing foreign rides on it."""
    # Given, When, Then
    assert decode([("traceparent", header.encode())], b"{}").traceparent == carried
    assert decode(STRUCTURED, structured(traceparent=header)).traceparent == carried


def test_an_unsound_traceparent_is_not_sent() -> None:
    """Whoever hands over a broken trace context gets an event without one."""
    # Given, When
    headers, _ = sent("not a trace")

    # Then
    assert "traceparent" not in dict(headers)


def test_the_header_s_trace_comes_before_the_event_s() -> None:
    """The message's own trace is nearer to the message than the event's extension."""
    # Given
    nearer = TRACE.replace("4bf9", "0000")

    # When, Then
    assert decode([*STRUCTURED, ("traceparent", nearer.encode())], structured(traceparent=TRACE)).traceparent == nearer


@pytest.mark.parametrize(
    "value",
    [
        None,
        b"",
        b" ",
        b"null",
        b"[]",
        b'["a"]',
        b'"text"',
        b"7",
        b"{",
        b'{"a": 1} x',
        b"{'a': 1}",
        b'{"a": NaN}',
        b'{"a": Infinity}',
        b'{"a": [-Infinity]}',
        b'{"a": "\xff"}',
        b'\xff\xfe{\x00"\x00',
        '{"a": 1}'.encode("utf-16"),
        '{"a": 1}'.encode("utf-32"),
        b'{"a": "\x00"}',
        b'{"a": ' + b"9" * 5000 + b"}",
        b'{"a":' * 40 + b"1" + b"}" * 40,
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b'{"a": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    ],
    ids=lambda value: repr(value)[:24],
)
@pytest.mark.parametrize("headers", [[], STRUCTURED], ids=["plain", "structured"])
def test_what_is_no_json_object_is_not_readable(headers: Headers, value: bytes | None) -> None:
    """Whatever is no JSON object of sound depth is refused with a reason that can be logged and sent."""
    # Given, When
    with pytest.raises(NotReadable) as refused:
        decode(headers, value)

    # Then
    assert 8 <= len(str(refused.value)) < 300
    assert str(refused.value).isprintable()
    assert str(refused.value).encode()


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (structured(data=None), "data is not a JSON object"),
        (structured(data=[1]), "data is not a JSON object"),
        (structured(data="{}"), "data is not a JSON object"),
        (without("data"), "data is not a JSON object"),
        (json.dumps({**json.loads(without("data")), "data_base64": "e30="}).encode(), "data is not a JSON object"),
        (json.dumps({**json.loads(without("data")), "data_base64": 7}).encode(), "not a structured CloudEvent"),
        (without("id"), "it has no id"),
        (structured(id=""), "it has no id"),
        (structured(id=7), "not a structured CloudEvent"),
        (without("source"), "not a structured CloudEvent"),
        (without("type"), "not a structured CloudEvent"),
        (structured(type=None), "not a structured CloudEvent"),
        (structured(specversion="0.3"), "not a structured CloudEvent"),
        (structured(specversion=["1.0"]), "not a structured CloudEvent"),
        (structured(time="yesterday"), "not a structured CloudEvent"),
        (structured(time=7), "not a structured CloudEvent"),
        (structured(time="2026-11-22T12:00:00"), "not a structured CloudEvent"),
        (structured(**{"Bad\x00Name": "x"}), "not a structured CloudEvent"),
        (b"{}", "it has no id"),
    ],
)
def test_a_broken_structured_event_is_not_readable(value: bytes, reason: str) -> None:
    """What claims to be a CloudEvent and is none is refused, and no attribute is invented for it."""
    # Given, When
    with pytest.raises(NotReadable, match=reason) as refused:
        decode(STRUCTURED, value)

    # Then
    assert str(refused.value).isprintable()


@pytest.mark.parametrize("media_type", ["application/cloudevents-batch+json", "application/cloudevents+avro"])
def test_another_format_of_cloudevents_is_not_readable(media_type: str) -> None:
    """Batches (which the Kafka binding does not have) and other formats are named, not guessed at."""
    # Given, When, Then
    with pytest.raises(NotReadable, match="is not read"):
        decode([("content-type", media_type.encode())], structured())


def test_depth_is_bounded_where_the_bound_says() -> None:
    """The deepest JSON that is read has `MAX_DEPTH` levels; one more is refused."""
    # Given
    deepest = b'{"a":' * MAX_DEPTH + b"1" + b"}" * MAX_DEPTH

    # When, Then
    assert decode([], deepest).data
    with pytest.raises(NotReadable, match="32 levels"):
        decode([], b'{"a":' + deepest + b"}")


def test_large_numbers_and_lone_surrogates_are_the_contract_s_affair() -> None:
    """Whatever JSON itself allows is read, so that the command can be refused by a result, not put aside."""
    # Given
    value = b'{"huge": ' + b"9" * 300 + b', "over": 1e999, "half": "\\ud800", "nul": "\\u0000"}'

    # When
    data = decode([], value).data

    # Then
    assert data["huge"] == int("9" * 300)
    assert data["over"] == float("inf")
    assert data["half"] == "\ud800"
    assert data["nul"] == "\x00"
