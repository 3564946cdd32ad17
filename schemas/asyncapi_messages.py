"""The messages of the AsyncAPI document: headers, key, payload, correlation and examples of each."""

from collections.abc import Sequence
from typing import Final

from schemas import values
from schemas.dead_letter import DEAD_LETTER_HEADERS, DeadLetterHeader
from schemas.envelope import SOURCE
from schemas.examples import EXAMPLES
from schemas.json_schemas import Json
from schemas.topics import EventType

#: Where the id stands that ties an answer to its command, and events to their connection.
CORRELATION_IDS: Final[Json] = {
    "commandId": {
        "description": "The id of the command; in a command it may be left to the CloudEvents id.",
        "location": "$message.payload#/command_id",
    },
    "connectionId": {"description": "The connection.", "location": "$message.payload#/connection_id"},
    "originalOffset": {
        "description": "Together with the topic and partition: the message that was put aside.",
        "location": f"$message.header#/{DeadLetterHeader.OFFSET}",
    },
}

_OURS: Final = ("ce_specversion", "ce_id", "ce_source", "ce_type", "ce_subject", "ce_time", "content-type")


# The keys stand in the messages themselves: the schema of the Kafka binding takes a reference for both a reference and
# a schema, and wants exactly one of them.
_WORKSPACE: Final = r"^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}:"
_KEY_EXAMPLES: Final = ["5b0f8a9e-3c1d-4e7a-9f62-1d2c3b4a5e6f:salesforce"]
_COMMAND_KEY: Final[Json] = {
    "type": "string",
    "description": "{workspace_id}:{integration}; the workspace id in lower case.",
    "pattern": _WORKSPACE + values.SLUG_PATTERN.removeprefix("^"),
    "examples": _KEY_EXAMPLES,
}
_ANSWER_KEY: Final[Json] = {
    "type": "string",
    "description": "{workspace_id}:{integration}; the integration as the command named it, if it did.",
    "pattern": _WORKSPACE,
    "examples": _KEY_EXAMPLES,
}


def messages() -> Json:
    """Name -> AsyncAPI Message Object."""
    return {
        "syncCommand": _command(),
        "syncResult": _event("result", EventType.RESULT, "SyncResult", "Sync result", "The one answer to a command."),
        "syncPlan": _event(
            "plan", EventType.PLAN, "SyncPlan", "Sync plan", "What a command would do; nothing was written."
        ),
        "pulledRecords": _event(
            "records", EventType.RECORDS, "PulledRecords", "Pulled records", "The records that one pull brought."
        ),
        "connectionEvent": _event(
            "connection",
            EventType.CONNECTION,
            "ConnectionEvent",
            "Connection event",
            "A connection as it is after the event.",
            correlation="connectionId",
        ),
        "deadLetter": _dead_letter(),
    }


def _command() -> Json:
    return {
        "name": EventType.COMMAND.value,
        "title": "Sync command",
        "summary": "Push 1 to 200 records, or pull up to 200.",
        "description": "CloudEvents in binary or structured mode, or plain JSON without any of these headers.",
        "headers": _headers(EventType.COMMAND, required=(), source=None),
        "payload": {"$ref": "#/components/schemas/SyncCommand"},
        "correlationId": {"$ref": "#/components/correlationIds/commandId"},
        "bindings": _key(_COMMAND_KEY),
        "examples": _examples("command"),
    }


def _event(
    name: str, event_type: EventType, payload: str, title: str, summary: str, *, correlation: str = "commandId"
) -> Json:
    return {
        "name": event_type.value,
        "title": title,
        "summary": summary,
        "headers": _headers(event_type, required=_OURS, source=SOURCE),
        "payload": {"$ref": f"#/components/schemas/{payload}"},
        "correlationId": {"$ref": f"#/components/correlationIds/{correlation}"},
        "bindings": _key(_ANSWER_KEY),
        "examples": _examples(name),
    }


def _dead_letter() -> Json:
    added = {header.value: {"type": "string", "description": text} for header, text in DEAD_LETTER_HEADERS.items()}
    return {
        "name": "deadLetter",
        "title": "Dead letter",
        "summary": "A message as it came, byte for byte, with added headers that say why it was put aside.",
        "contentType": "application/octet-stream",
        "headers": {"type": "object", "required": list(added), "properties": added, "additionalProperties": True},
        "payload": {"description": "Any bytes: what was sent. Nothing where the value was too large to be kept."},
        "correlationId": {"$ref": "#/components/correlationIds/originalOffset"},
        "bindings": _key({"type": "string", "description": "As it came: any bytes, or none."}),
    }


def _headers(event_type: EventType, *, required: Sequence[str], source: str | None) -> Json:
    """The CloudEvents attributes as headers (CloudEvents Kafka binding, section 3.2) and the W3C trace context."""
    of_source: Json = {"const": source} if source else {"minLength": 1}
    return {
        "type": "object",
        "required": list(required),
        "additionalProperties": True,
        "properties": {
            "ce_specversion": {"type": "string", "const": "1.0"},
            "ce_id": {"type": "string", "minLength": 1, "description": "Unique together with source and type."},
            "ce_source": {"type": "string", **of_source},
            "ce_type": {"type": "string", "const": event_type.value},
            "ce_subject": {"type": "string", "description": "What it is about: a command id or connection id."},
            "ce_time": {"type": "string", "format": "date-time"},
            "content-type": {"type": "string", "description": "application/json", "examples": ["application/json"]},
            "traceparent": {"type": "string", "description": "W3C Trace Context, carried from command to answers."},
        },
    }


def _key(schema: Json) -> Json:
    return {"kafka": {"key": schema, "bindingVersion": "0.5.0"}}


def _examples(name: str) -> list[Json]:
    return [{"payload": example} for example in EXAMPLES[name]]
