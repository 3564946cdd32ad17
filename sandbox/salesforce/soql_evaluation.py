"""Evaluating a parsed query over the records of one org."""

import operator
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

from sandbox.salesforce.rendering import attributes, field_value
from sandbox.salesforce.soql_syntax import (
    Combination,
    Comparison,
    Condition,
    Negation,
    Ordering,
    Path,
    Query,
    comparable,
)
from sandbox.salesforce.store import Org, Record

_ORDERED: dict[str, Callable[[Any, Any], bool]] = {
    "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge,
}  # fmt: skip


def select(query: Query, org: Org, *, with_deleted: bool) -> list[Record]:
    """Return the matching records in order, cut by LIMIT and OFFSET."""
    rows = [
        record
        for record in _candidates(query, org)
        if (with_deleted or not record.get("IsDeleted")) and (query.where is None or _holds(query.where, record, org))
    ]
    for ordering in reversed(query.order_by):
        rows.sort(key=partial(_sort_key, ordering, org), reverse=ordering.is_descending)
    end = None if query.limit is None else query.offset + query.limit
    return rows[query.offset : end]


def render_row(query: Query, record: Record, org: Org, version: str) -> dict[str, Any]:
    """Return one row of a query's reply; parents come as objects, a missing parent as null."""
    row: dict[str, Any] = {"attributes": attributes(query.kind, record, version)}
    for path in query.paths:
        if path.reference is None or path.parent is None:
            row[path.field.name] = field_value(path.field, record)
            continue
        name = str(path.reference.relationship)
        parent = _parent(path, record, org)
        if parent is None:
            row[name] = None
        else:
            shown = row.setdefault(name, {"attributes": attributes(path.parent, parent, version)})
            shown[path.field.name] = field_value(path.field, parent)
    return row


def _candidates(query: Query, org: Org) -> Iterable[Record]:
    """Narrow the search by an indexed ``=`` or ``IN`` that every match must fulfil."""
    conditions: tuple[Condition | None, ...] = (query.where,)
    if isinstance(query.where, Combination):
        conditions = query.where.conditions if query.where.operator == "AND" else ()
    for condition in conditions:
        if not isinstance(condition, Comparison) or condition.operator not in {"=", "IN"}:
            continue
        path, values = condition.path, condition.value if condition.operator == "IN" else [condition.value]
        if path.reference is None and path.field.name in query.kind.indexed and None not in values:
            found = (record for value in values for record in org.find(query.kind.name, path.field.name, value))
            return {record["Id"]: record for record in found}.values()
    return list(org.objects[query.kind.name].values())


def _parent(path: Path, record: Record, org: Org) -> Record | None:
    if path.reference is None or path.parent is None:
        return None
    parent_id = record.get(path.reference.name)
    return org.get(path.parent.name, parent_id) if parent_id else None


def _stored(path: Path, record: Record, org: Org) -> Any:
    owner = record if path.reference is None else _parent(path, record, org)
    return None if owner is None else owner.get(path.field.name)


def _value(path: Path, record: Record, org: Org) -> Any:
    value = _stored(path, record, org)
    if value is None and path.field.type == "boolean":
        return False
    return comparable(path.field, value)


def _holds(condition: Condition, record: Record, org: Org) -> bool:
    if isinstance(condition, Negation):
        return not _holds(condition.condition, record, org)
    if isinstance(condition, Combination):
        results = (_holds(part, record, org) for part in condition.conditions)
        return all(results) if condition.operator == "AND" else any(results)
    return _compares(condition, record, org)


def _compares(comparison: Comparison, record: Record, org: Org) -> bool:
    value = _value(comparison.path, record, org)
    if comparison.pattern is not None:
        return value is not None and comparison.pattern.match(str(value)) is not None
    if comparison.operator in {"IN", "NOT IN"}:
        return (value in comparison.value) == (comparison.operator == "IN")
    wanted = comparison.value
    if comparison.operator in {"=", "!="}:
        return bool(value == wanted) == (comparison.operator == "=")
    return value is not None and wanted is not None and _ORDERED[comparison.operator](value, wanted)


def _sort_key(ordering: Ordering, org: Org, record: Record) -> tuple[bool, Any]:
    is_instant = ordering.path.field.type == "datetime"  # stored as text of one form, so that its order is that of time
    value = (_stored if is_instant else _value)(ordering.path, record, org)
    has_value_first = ordering.nulls_last != ordering.is_descending
    return (has_value_first, "") if value is None else (not has_value_first, value)
