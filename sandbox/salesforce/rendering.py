"""Records as the REST API writes them: ``attributes`` first, then the fields asked for."""

from collections.abc import Iterable
from typing import Any

from sandbox.salesforce.schema import Field, ObjectType
from sandbox.salesforce.store import Record


def attributes(kind: ObjectType, record: Record, version: str) -> dict[str, str]:
    """Return the ``attributes`` member of a record."""
    return {"type": kind.name, "url": f"/services/data/{version}/sobjects/{kind.name}/{record['Id']}"}


def field_value(known: Field, record: Record) -> Any:
    """Return a field's value as JSON; numbers that are not ``int`` are written with a decimal point."""
    value = record.get(known.name)
    if value is not None and known.type in {"double", "currency", "percent"}:
        return float(value)
    return value


def render_record(kind: ObjectType, record: Record, names: Iterable[str], version: str) -> dict[str, Any]:
    """Return a record with the fields of these exact names; empty ones are null."""
    values = {name: field_value(kind.fields[name], record) for name in names}
    return {"attributes": attributes(kind, record, version), **values}
