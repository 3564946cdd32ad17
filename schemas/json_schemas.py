"""The published JSON Schemas (2020-12), made from the models."""

from collections.abc import Iterator
from typing import Any, Final

from pydantic import TypeAdapter
from pydantic.json_schema import JsonSchemaMode

from schemas.command import SYNC_COMMAND
from schemas.connection import ConnectionEvent
from schemas.examples import EXAMPLES
from schemas.plan import SyncPlan
from schemas.records import PulledRecords
from schemas.result import SyncResult

Json = dict[str, Any]

_DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"

#: Name -> (model, mode, title). Commands are read by us, so they are described as they are validated; the rest is read
#: by others, so it is described as it is sent.
_PUBLISHED: Final[dict[str, tuple[TypeAdapter[Any], JsonSchemaMode, str]]] = {
    "command": (SYNC_COMMAND, "validation", "Sync command"),
    "result": (TypeAdapter(SyncResult), "serialization", "Sync result"),
    "plan": (TypeAdapter(SyncPlan), "serialization", "Sync plan"),
    "records": (TypeAdapter(PulledRecords), "serialization", "Pulled records"),
    "connection": (TypeAdapter(ConnectionEvent), "serialization", "Connection event"),
}

_COMMAND_DESCRIPTION: Final = (
    "What an upstream service asks this service to do with up to 200 records. Unknown fields are refused. Beyond this "
    "schema: a record may not both set and clear a field."
)


def published_schemas() -> dict[str, Json]:
    """File name -> JSON Schema of every message that is published."""
    return {f"{name}.v1.json": _published(name) for name in _PUBLISHED}


def tidy(schema: Json) -> Json:
    """A schema of pydantic's, changed in place so that it says all that the models enforce, and nothing idle."""
    for part in _parts(schema):
        if "patternProperties" in part:
            part["additionalProperties"] = False
        elif part.get("type") == "object":
            part.setdefault("additionalProperties", True)
        if part.get("minLength") == 0:
            del part["minLength"]
    return schema


def _published(name: str) -> Json:
    adapter, mode, title = _PUBLISHED[name]
    schema = tidy(adapter.json_schema(mode=mode))
    head = {
        "$schema": _DIALECT,
        "$id": f"urn:morket:crm-sync:schema:{name}.v1",
        "title": title,
        "description": schema.get("description", _COMMAND_DESCRIPTION),
    }
    return {**head, **{key: value for key, value in schema.items() if key not in head}, "examples": EXAMPLES[name]}


def _parts(node: object) -> Iterator[Json]:
    """Every object within a schema, itself included."""
    if isinstance(node, dict):
        yield node
        for child in node.values():
            yield from _parts(child)
    elif isinstance(node, list):
        for child in node:
            yield from _parts(child)
