"""The AsyncAPI 3.0 document of the topics, made from the models.

https://www.asyncapi.com/docs/reference/specification/v3.0.0
"""

from typing import Any, Final

from pydantic.json_schema import models_json_schema

from schemas.asyncapi_messages import CORRELATION_IDS, messages
from schemas.command import PullCommand, PushCommand
from schemas.connection import ConnectionEvent
from schemas.json_schemas import Json, tidy
from schemas.plan import SyncPlan
from schemas.records import PulledRecords
from schemas.result import SyncResult
from schemas.topics import Topics

#: Version of the contracts as a whole: the minor part rises when they grow.
CONTRACTS_VERSION: Final = "1.0.0"
_BINDING: Final = {"bindingVersion": "0.5.0"}

_READ: Final = (
    "Consumers must set `isolation.level=read_committed`: messages are sent in Kafka transactions, and a consumer that "
    "reads uncommitted ones can see a message that was taken back and sent again."
)
_WRITE: Final = (
    "Producers must set the partitioner `murmur2_random` (librdkafka's name; Java's default places keys the same way): "
    "the commands of one connection have one key, and keep their order only within one partition."
)

#: Channel -> (field of Topics, title, what it carries, its messages).
_CHANNELS: Final[dict[str, tuple[str, str, str, tuple[str, ...]]]] = {
    "syncCommands": ("commands", "Sync commands", f"Orders to push or pull records. {_WRITE}", ("syncCommand",)),
    "syncResults": (
        "results",
        "Sync results",
        f"Exactly one result for every readable command. {_READ}",
        ("syncResult",),
    ),
    "syncRecords": (
        "records",
        "Pulled records and plans",
        f"What pulls brought and what dry runs would do: values of CRM fields, so personal data. {_READ}",
        ("pulledRecords", "syncPlan"),
    ),
    "syncDeadLetters": (
        "dead_letters",
        "Dead letters",
        f"Messages of the commands topic that nobody can be answered for, as they came. {_READ}",
        ("deadLetter",),
    ),
    "connectionEvents": (
        "connections",
        "Connection events",
        f"The whole state of a connection each time it changes. {_READ}",
        ("connectionEvent",),
    ),
}

#: Operation -> (action as this service sees it, channel, message, summary).
_OPERATIONS: Final[dict[str, tuple[str, str, str, str]]] = {
    "receiveSyncCommand": ("receive", "syncCommands", "syncCommand", "Run a command, once for each id and body."),
    "sendSyncResult": ("send", "syncResults", "syncResult", "Answer a command."),
    "sendPlan": ("send", "syncRecords", "syncPlan", "Say what a command with `dry_run: true` would do."),
    "sendPulledRecords": ("send", "syncRecords", "pulledRecords", "Hand over what a pull brought."),
    "sendDeadLetter": ("send", "syncDeadLetters", "deadLetter", "Put a message aside that nobody can be answered for."),
    "sendConnectionEvent": ("send", "connectionEvents", "connectionEvent", "Tell the state of a connection."),
}


def document() -> Json:
    """The document, with the topics' default names."""
    return {
        "asyncapi": "3.0.0",
        "id": "urn:morket:crm-sync",
        "info": {
            "title": "Morket CRM sync",
            "version": CONTRACTS_VERSION,
            "description": "Moves records between Morket workspaces and the CRMs that they have connected. CloudEvents "
            f"1.0 in the Kafka binding: binary mode out; binary, structured or plain JSON in. {_READ} {_WRITE}",
            "license": {"name": "Apache-2.0", "url": "https://www.apache.org/licenses/LICENSE-2.0"},
        },
        "defaultContentType": "application/json",
        "channels": {name: _channel(name) for name in _CHANNELS},
        "operations": {name: _operation(name) for name in _OPERATIONS},
        "components": {
            "messages": messages(),
            "correlationIds": CORRELATION_IDS,
            "schemas": _payloads(),
        },
    }


def _channel(name: str) -> Json:
    topic, title, description, carried = _CHANNELS[name]
    address = str(getattr(Topics(), topic))
    client: Json = (
        {"x-producer-settings": {"partitioner": "murmur2_random"}}
        if name == "syncCommands"
        else {"x-consumer-settings": {"isolation.level": "read_committed"}}
    )
    return {
        "address": address,
        "title": title,
        "description": description,
        "messages": {message: {"$ref": f"#/components/messages/{message}"} for message in carried},
        "bindings": {"kafka": {"topic": address, **_BINDING}},
        **client,
    }


def _operation(name: str) -> Json:
    action, channel, message, summary = _OPERATIONS[name]
    operation: dict[str, Any] = {
        "action": action,
        "channel": {"$ref": f"#/channels/{channel}"},
        "summary": summary,
        "messages": [{"$ref": f"#/channels/{channel}/messages/{message}"}],
        "bindings": {"kafka": dict(_BINDING)},
    }
    if name == "receiveSyncCommand":
        operation["reply"] = {
            "channel": {"$ref": "#/channels/syncResults"},
            "messages": [{"$ref": "#/channels/syncResults/messages/syncResult"}],
        }
    return operation


def _payloads() -> Json:
    """The models as AsyncAPI Schema Objects, which are a superset of JSON Schema draft 7."""
    _, schema = models_json_schema(
        [
            (PushCommand, "validation"),
            (PullCommand, "validation"),
            (SyncResult, "serialization"),
            (SyncPlan, "serialization"),
            (PulledRecords, "serialization"),
            (ConnectionEvent, "serialization"),
        ],
        ref_template="#/components/schemas/{model}",
    )
    command = {
        "title": "SyncCommand",
        "oneOf": [{"$ref": f"#/components/schemas/{name}"} for name in ("PushCommand", "PullCommand")],
    }
    return {**tidy(schema)["$defs"], "SyncCommand": command}
