"""CloudEvents 1.0 over Kafka, through the CloudEvents SDK: binary mode out; binary, structured or plain JSON in.

https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/bindings/kafka-protocol-binding.md
"""

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from cloudevents.core.bindings import kafka
from cloudevents.core.exceptions import BaseCloudEventException
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent
from pydantic import BaseModel

from schemas.printable import printable
from schemas.topics import EventType

Headers = Sequence[tuple[str, bytes | None]]

#: CloudEvents `source` of everything that this service sends.
SOURCE: Final = "/morket/crm-sync"

#: A command needs five levels (command, records, record, fields, list), its envelope one more; what is far deeper is an
#: attack on whoever walks it.
MAX_DEPTH: Final = 32

_CLOUDEVENTS: Final = "application/cloudevents"
_STRUCTURED_JSON: Final = frozenset({_CLOUDEVENTS, "application/cloudevents+json"})

#: W3C Trace Context, section 3.2: a `traceparent` that breaks the form is to be ignored.
_TRACEPARENT: Final = re.compile(
    r"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(-[\x21-\x7e]{1,200})?"
)


class NotReadable(ValueError):
    """The bytes are no JSON object, or claim to be a CloudEvent and are not."""


@dataclass(frozen=True, slots=True)
class Envelope:
    """A message as read: its data, and what the envelope said (each None where it said nothing usable)."""

    data: dict[str, Any]
    event_id: str | None = None
    event_type: str | None = None
    traceparent: str | None = None


def encode(
    event_type: EventType,
    event_id: str,
    data: BaseModel,
    *,
    subject: str,
    time: datetime,
    traceparent: str | None = None,
) -> tuple[list[tuple[str, bytes]], bytes]:
    """Kafka headers and value of an event in binary mode.

    Args:
        event_type: CloudEvents `type`.
        event_id: Unique for this source: readers may use it to dedupe.
        data: A contract model; sent as JSON.
        subject: What it is about (a command id, a connection id).
        time: When it happened, UTC.
        traceparent: W3C trace context to carry on; one that breaks its form is left out.
    """
    attributes: dict[str, Any] = {
        "id": event_id,
        "source": SOURCE,
        "type": event_type.value,
        "subject": subject,
        "time": time,
        "datacontenttype": "application/json",
    }
    # The contract model writes itself: the SDK then passes the text through.
    message = kafka.to_binary(CloudEvent(attributes, data.model_dump_json()), _TextFormat())
    headers = list(message.headers.items())
    sound = _traceparent(traceparent)
    if sound:
        headers.append(("traceparent", sound.encode()))
    return headers, message.value


def decode(headers: Headers, value: bytes | None) -> Envelope:
    """Read a message in binary, structured or plain JSON form.

    Of headers with one name the last that has a value counts. Headers that are not UTF-8 count as absent.

    Raises:
        NotReadable: with a reason for a person.
    """
    named = {name.lower(): content for name, content in headers if content is not None}
    traceparent = _traceparent(_text(named.get("traceparent")))
    media_type = (_text(named.get("content-type")) or "").partition(";")[0].strip().lower()
    if not media_type.startswith(_CLOUDEVENTS):
        return Envelope(_json_object(value), _text(named.get("ce_id")), _text(named.get("ce_type")), traceparent)
    if media_type not in _STRUCTURED_JSON:
        raise NotReadable(f"{printable(media_type)} is not read; send application/cloudevents+json")
    event = _structured(named, value)
    data = event.get_data()
    if not isinstance(data, dict):
        raise NotReadable("the CloudEvent's data is not a JSON object")
    traceparent = traceparent or _traceparent(event.get_extension("traceparent"))
    return Envelope(data, event.get_id(), event.get_type(), traceparent)


class _TextFormat(JSONFormat):
    """The SDK's JSON format for data that is JSON text already."""

    def write_data(self, data: dict[str, Any] | str | bytes | None, datacontenttype: str | None) -> bytes:  # noqa: ARG002
        return data.encode() if isinstance(data, str) else json.dumps(data).encode()


def _structured(headers: dict[str, bytes], value: bytes | None) -> CloudEvent:
    # Our reading comes first: the SDK's lets NaN and any depth through, and invents an id where there is none, so that
    # a message that is read twice would be two commands.
    if not _json_object(value).get("id"):
        raise NotReadable("not a structured CloudEvent: it has no id")
    message = kafka.KafkaMessage(headers=headers, key=None, value=_utf8(value).encode())
    try:
        event = kafka.from_structured(message, JSONFormat(), CloudEvent)
    except (BaseCloudEventException, ValueError, LookupError, TypeError, AttributeError, ArithmeticError) as problem:
        raise NotReadable(f"not a structured CloudEvent: {printable(str(problem), 200)}") from None
    assert isinstance(event, CloudEvent)
    return event


def _json_object(value: bytes | None) -> dict[str, Any]:
    try:
        data = json.loads(_utf8(value), parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as problem:
        raise NotReadable(f"not JSON: {printable(str(problem), 200)}") from None
    if not isinstance(data, dict):
        raise NotReadable("not a JSON object")
    _check_depth(data)
    return data


def _utf8(value: bytes | None) -> str:
    """JSON on the wire is UTF-8 (RFC 8259 section 8.1); a byte order mark may be ignored."""
    return (value or b"").decode("utf-8-sig")


def _check_depth(data: dict[str, Any]) -> None:
    level: list[Any] = [data]
    for _ in range(MAX_DEPTH):
        level = [child for parent in level for child in _children(parent) if isinstance(child, dict | list)]
        if not level:
            return
    raise NotReadable(f"the JSON is nested more than {MAX_DEPTH} levels deep")


def _children(parent: dict[str, Any] | list[Any]) -> Iterable[Any]:
    return parent.values() if isinstance(parent, dict) else parent


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON (RFC 8259 section 6)")


def _text(value: bytes | None) -> str | None:
    """The text of a header; None where it is absent, empty or not UTF-8."""
    try:
        return (value or b"").decode() or None
    except UnicodeDecodeError:
        return None


def _traceparent(value: object) -> str | None:
    return value if isinstance(value, str) and _TRACEPARENT.fullmatch(value) else None
