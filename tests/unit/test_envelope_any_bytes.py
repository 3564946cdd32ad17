"""No message whatever breaks the reader of envelopes: it is read, or refused with a reason."""

import json
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from schemas.envelope import Envelope, Headers, NotReadable, decode

EVENT: dict[str, Any] = {"specversion": "1.0", "id": "e-1", "source": "/upstream", "type": "t", "data": {"a": 1}}
STRUCTURED = [("content-type", b"application/cloudevents+json")]
HEADER_NAMES = st.sampled_from(["content-type", "ce_id", "ce_type", "traceparent"]) | st.text()
HEADER_VALUES = st.none() | st.binary() | st.sampled_from([STRUCTURED[0][1], b"application/cloudevents"])
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)
ATTRIBUTES = st.sampled_from([*EVENT, "time", "data_base64", "subject", "dataschema", "traceparent"]) | st.text()


def read(headers: Headers, value: bytes | None) -> Envelope | NotReadable:
    try:
        return decode(headers, value)
    except NotReadable as refused:
        return refused


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])  # a busy machine is no failure
@given(
    headers=st.lists(st.tuples(HEADER_NAMES, HEADER_VALUES), max_size=5),
    value=st.none() | st.binary() | st.text().map(str.encode) | JSON.map(lambda data: json.dumps(data).encode()),
)
def test_any_bytes_are_read_or_refused(headers: Headers, value: bytes | None) -> None:
    """Any headers and any bytes give an object of data, or a refusal in words that can be logged and sent."""
    # Given any message, When
    outcome = read(headers, value)

    # Then
    if isinstance(outcome, NotReadable):
        assert str(outcome).isprintable()
        assert str(outcome).encode()
    else:
        assert isinstance(outcome.data, dict)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])  # a busy machine is no failure
@given(changes=st.dictionaries(ATTRIBUTES, JSON, max_size=3))
def test_any_structured_event_is_read_or_refused(changes: dict[str, Any]) -> None:
    """Attributes of any name and type, in whatever combination, give the event's own id, or a refusal in words."""
    # Given an event with anything in it
    event = {**EVENT, **changes}

    # When
    outcome = read(STRUCTURED, json.dumps(event).encode())

    # Then
    if isinstance(outcome, NotReadable):
        assert str(outcome).isprintable()
    else:
        assert outcome.event_id == event["id"]
        assert outcome.data == event["data"]
