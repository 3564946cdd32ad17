"""Search filters: reading and evaluating them (search guide, "Filter search results")."""

import re
from dataclasses import dataclass
from typing import Any

from sandbox.hubspot.errors import vague_problem, validation
from sandbox.hubspot.rendering import property_value
from sandbox.hubspot.schema import ObjectType, Property
from sandbox.hubspot.store import HubspotRecord
from sandbox.hubspot.values import InvalidValueError, instant_ms
from sandbox.switches import HubspotSwitches

ONE_VALUE = frozenset({"EQ", "NEQ", "LT", "LTE", "GT", "GTE", "CONTAINS_TOKEN", "NOT_CONTAINS_TOKEN"})
MANY_VALUES = frozenset({"IN", "NOT_IN"})
NO_VALUE = frozenset({"HAS_PROPERTY", "NOT_HAS_PROPERTY"})
_NEGATED = {"NEQ": "EQ", "NOT_IN": "IN", "NOT_HAS_PROPERTY": "HAS_PROPERTY", "NOT_CONTAINS_TOKEN": "CONTAINS_TOKEN"}
_TOKENS = re.compile(r"[^\W_]+")


@dataclass(frozen=True, slots=True)
class Filter:
    """One filter; BETWEEN has two values, HAS_PROPERTY none."""

    property_name: str
    operator: str
    values: tuple[str, ...] = ()


def read_groups(kind: ObjectType, raw: Any, switches: HubspotSwitches) -> list[list[Filter]]:
    """Read ``filterGroups``: filters inside a group are joined by AND, the groups by OR.

    Raises:
        RefusedError: 400, too many of them, or HubSpot's unexplained 400 for anything else.
    """
    if raw is None:
        return []
    if not isinstance(raw, list) or not all(isinstance(group, dict) for group in raw):
        raise vague_problem()
    groups = [[_read_filter(kind, one) for one in group.get("filters") or ()] for group in raw]
    counts, most_groups = [len(group) for group in groups], switches.search_most_groups
    most_in_group, most = switches.search_most_group_filters, switches.search_most_filters
    if len(groups) > most_groups or sum(counts) > most or max(counts, default=0) > most_in_group:
        message = f"At most {most_groups} filterGroups, {most_in_group} filters each, {most} in all"
        raise validation(message).refusal()
    return [group for group in groups if group]


def _read_filter(kind: ObjectType, raw: Any) -> Filter:
    if not isinstance(raw, dict) or raw.get("propertyName") not in kind.properties:
        raise vague_problem()
    operator = str(raw.get("operator"))
    read = Filter(raw["propertyName"], operator, _read_values(operator, raw))
    known = kind.properties[read.property_name]
    if known.type in {"number", "date", "datetime"} and operator not in NO_VALUE:
        for value in read.values:
            sortable_value(known, value)
    return read


def _read_values(operator: str, raw: dict[str, Any]) -> tuple[str, ...]:
    if operator in NO_VALUE:
        return ()
    if operator in MANY_VALUES:
        listed = raw.get("values")
        if not isinstance(listed, list) or not listed:
            raise vague_problem()
        return tuple(str(value) for value in listed)
    if operator == "BETWEEN" and raw.get("value") is not None and raw.get("highValue") is not None:
        return str(raw["value"]), str(raw["highValue"])
    if operator in ONE_VALUE and raw.get("value") is not None:
        return (str(raw["value"]),)
    raise vague_problem()


def sortable_value(known: Property, text: str) -> float | str:
    """Return what a value is compared by: numbers and instants by size, texts without regard to case.

    Raises:
        RefusedError: HubSpot's unexplained 400, a filter's value does not fit the property.
    """
    try:
        if known.type == "number":
            return float(text)
        if known.type in {"date", "datetime"}:
            return float(instant_ms(text))
    except (ValueError, InvalidValueError) as error:
        raise vague_problem() from error
    return text if known.type == "enumeration" else text.casefold()


def matches(kind: ObjectType, record: HubspotRecord, one: Filter) -> bool:
    """Tell whether a record passes a filter."""
    known = kind.properties[one.property_name]
    text = property_value(kind, record, one.property_name)
    if one.operator in _NEGATED:
        return not _holds(known, text, Filter(one.property_name, _NEGATED[one.operator], one.values))
    return _holds(known, text, one)


def _holds(known: Property, text: str | None, one: Filter) -> bool:
    if text is None:
        return False
    if one.operator == "HAS_PROPERTY":
        return True
    if one.operator == "CONTAINS_TOKEN":
        return _contains_token(text, one.values[0])
    if one.operator == "IN" and known.type == "string":
        return text.casefold() in one.values  # values that are not lower case never match, as documented
    value, wanted = sortable_value(known, text), [sortable_value(known, given) for given in one.values]
    return _compare(one.operator, value, wanted)


def _compare(operator: str, value: Any, wanted: list[Any]) -> bool:
    if operator in {"EQ", "IN"}:
        return value in wanted
    if operator == "BETWEEN":
        return bool(wanted[0] <= value <= wanted[1])
    if operator in {"LT", "LTE"}:
        return bool(value < wanted[0] or (operator == "LTE" and value == wanted[0]))
    return bool(value > wanted[0] or (operator == "GTE" and value == wanted[0]))


def _contains_token(text: str, wanted: str) -> bool:
    if "*" in wanted:
        pattern = ".*".join(re.escape(part) for part in wanted.casefold().split("*"))
        return re.fullmatch(pattern, text.casefold()) is not None
    return set(_TOKENS.findall(wanted.casefold())) <= set(_TOKENS.findall(text.casefold()))
