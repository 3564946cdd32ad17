"""The generated parts of the documentation: tables of fields and failures, and example messages."""

import json
from collections.abc import Iterable
from typing import Any, Final

from pydantic.json_schema import models_json_schema

from schemas import command, connection, plan, records, result
from schemas.dead_letter import DEAD_LETTER_HEADERS, DEAD_LETTER_REASONS
from schemas.examples import EXAMPLES
from schemas.failure import CATEGORIES, COMMAND_FAILURES
from schemas.json_schemas import Json

_READ_BY_US: Final = (command.PushCommand, command.PullCommand)
_READ_BY_OTHERS: Final = (
    result.SyncResult,
    plan.SyncPlan,
    records.PulledRecords,
    connection.ConnectionEvent,
)
_STEP: Final = "#/$defs/"
#: What is explained on another page.
_ELSEWHERE: Final = {"FailureCategory": "errors.md#categories"}


def contract_sections() -> dict[str, str]:
    """Section of `docs/contracts.md` -> its Markdown."""
    definitions = models_json_schema(
        [(model, "validation") for model in _READ_BY_US] + [(model, "serialization") for model in _READ_BY_OTHERS]
    )[1]["$defs"]
    fields = {
        f"fields of {name}": _field_table(schema)
        for name, schema in definitions.items()
        if schema.get("type") == "object"
    }
    headers = {"dead letter headers": _table(("header", "meaning"), DEAD_LETTER_HEADERS.items())}
    examples = {f"example of {name}": _example(shown[0]) for name, shown in EXAMPLES.items()}
    return {**fields, **headers, **examples}


def error_sections() -> dict[str, str]:
    """Section of `docs/errors.md` -> its Markdown."""
    failures = (
        (f"`{code}`", f"`{failure.category}`", "yes" if failure.retryable else "no", failure.hint)
        for code, failure in COMMAND_FAILURES.items()
    )
    return {
        "categories": _table(("category", "meaning"), CATEGORIES.items()),
        "command failures": _table(("code", "category", "retryable", "what to do"), failures),
        "dead letter reasons": _table(("reason", "meaning"), DEAD_LETTER_REASONS.items()),
    }


def _field_table(schema: Json) -> str:
    required = schema.get("required", [])
    # What we send is always there; only in what we read does a default say something.
    is_sent = schema.get("additionalProperties") is not False
    rows = [
        (f"`{name}`", _type(of), *(() if is_sent else (_default(of, name in required),)), of.get("description", ""))
        for name, of in schema["properties"].items()
    ]
    return _table(("field", "type", "meaning") if is_sent else ("field", "type", "default", "meaning"), rows)


def _default(schema: Json, is_required: bool) -> str:  # noqa: FBT001 - a column of the table
    return "required" if is_required else f"`{json.dumps(schema['default'])}`"


def _type(schema: Json) -> str:
    """The type of a field in words."""
    if "$ref" in schema:
        name = schema["$ref"].removeprefix(_STEP)
        return f"[{name}]({_ELSEWHERE.get(name, '#' + name.lower())})"
    if "anyOf" in schema:
        return " or ".join(_type(one) for one in schema["anyOf"])
    words = [schema["const"]] if "const" in schema else schema.get("enum")
    if words:
        return ", ".join(f"`{word}`" for word in words)
    if schema["type"] == "array":
        return f"list of {_type(schema['items'])}"
    return str(schema.get("format") or schema["type"]).replace("date-time", "instant")


def _table(head: tuple[str, ...], rows: Iterable[tuple[Any, ...]]) -> str:
    lines = [" | ".join(head), " | ".join("---" for _ in head)]
    lines += [" | ".join(_cell(cell, first=place == 0) for place, cell in enumerate(row)) for row in rows]
    return "\n".join(f"| {line} |" for line in lines)


def _cell(cell: object, *, first: bool) -> str:
    text = str(cell).replace("|", "\\|")
    if "`" in text:
        return text
    return f"`{text}`" if first else text.replace("<", "\\<")


def _example(message: Json) -> str:
    return f"```json\n{json.dumps(message, indent=2)}\n```"
