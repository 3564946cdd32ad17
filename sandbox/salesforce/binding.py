"""Reading a JSON record into an sObject: field names and JSON types, before any rule about values.

A fault here means that the request "is not well formed"; whether it fails the whole call or one record is a switch.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Any

from sandbox.salesforce.errors import RecordError
from sandbox.salesforce.schema import NUMBER_TYPES, Field, ObjectType
from sandbox.salesforce.store import Record, wire_datetime

WRONG_TYPE = "JSON_PARSER_ERROR"
"""The code of a value that does not fit its field, where a whole call is refused for it."""

_DATETIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d(\.\d{1,6})?)?(Z|[+-]\d\d:?\d\d)\Z")
_DATE = re.compile(r"\d{4}-\d\d-\d\d\Z")


@dataclass(frozen=True, slots=True)
class Bound:
    """Values by exact field name, and what could not be bound."""

    values: Record = field(default_factory=dict)
    errors: tuple[RecordError, ...] = ()


class _UnboundError(Exception):
    """A JSON value that does not fit its field's type."""


def bind(kind: ObjectType, raw: Mapping[str, Any]) -> Bound:
    """Bind the members of a JSON record, ``attributes`` and ``id`` aside, to the fields of its sObject."""
    values: Record = {}
    errors: list[RecordError] = []
    for name, value in raw.items():
        if name in {"attributes", "Id", "id"}:
            continue
        known = kind.find(name)
        if known is None:
            message = f"No such column '{name}' on sobject of type {kind.name}"
            errors.append(RecordError("INVALID_FIELD", message, (name,)))
            continue
        try:
            values[known.name] = None if value is None else _convert(known, value)
        except _UnboundError as error:
            errors.append(RecordError(WRONG_TYPE, str(error), (known.name,)))
    return Bound(values, tuple(errors))


def _convert(known: Field, value: Any) -> Any:
    if known.type == "boolean":
        return _boolean(value)
    if known.type in NUMBER_TYPES:
        return _number(known, value)
    if not isinstance(value, str):
        raise _UnboundError(_mismatch("string", value))
    if known.type == "date":
        return _date(value)
    if known.type == "datetime":
        return _datetime(value)
    return value.strip() or None


def _mismatch(wanted: str, value: Any) -> str:
    names = {bool: "VALUE_TRUE", int: "VALUE_NUMBER_INT", float: "VALUE_NUMBER_FLOAT", str: "VALUE_STRING"}
    token = names.get(type(value), "START_OBJECT" if isinstance(value, dict) else "START_ARRAY")
    shown = f" value {value}" if isinstance(value, str | int | float) else ""
    return f"Cannot deserialize instance of {wanted} from {token}{shown} or request may be missing a required field"


def _boolean(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value.lower() in {"true", "false"}:
        return value.lower() == "true"
    raise _UnboundError(_mismatch("boolean", value))


def _number(known: Field, value: Any) -> int | float | None:
    wanted = "int" if known.type == "int" else "double"
    if isinstance(value, str) and not value.strip():
        return None
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise _UnboundError(_mismatch(wanted, value))
    try:
        number = float(value)
    except ValueError as error:
        raise _UnboundError(_mismatch(wanted, value)) from error
    if not math.isfinite(number) or (known.type == "int" and number != int(number)):
        raise _UnboundError(_mismatch(wanted, value))
    return int(number) if known.type == "int" else round(number, known.scale)


def _date(value: str) -> str | None:
    if not value.strip():
        return None
    text = value.strip()[:10]
    if not _DATE.match(text):
        raise _UnboundError(_mismatch("date", value))
    try:
        return date.fromisoformat(text).isoformat()
    except ValueError as error:
        raise _UnboundError(_mismatch("date", value)) from error


def _datetime(value: str) -> str | None:
    text = value.strip()
    if not text:
        return None
    if not _DATETIME.match(text):
        raise _UnboundError(_mismatch("datetime", value))
    try:
        return wire_datetime(datetime.fromisoformat(text).astimezone(UTC).timestamp())
    except (ValueError, OverflowError) as error:
        raise _UnboundError(_mismatch("datetime", value)) from error
