"""What a parsed SOQL query is made of."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from sandbox.salesforce.schema import Field, ObjectType

Operator = Literal["=", "!=", "<", "<=", ">", ">=", "LIKE", "IN", "NOT IN"]


@dataclass(frozen=True, slots=True)
class Path:
    """A field of the queried object, or of its parent over one reference such as ``Account.Name``."""

    field: Field
    reference: Field | None = None
    parent: ObjectType | None = None


def comparable(known: Field, value: Any) -> Any:
    """Return what a stored or given value of a field is compared by: texts without regard to case, instants by time."""
    if value is None or isinstance(value, bool | int | float):
        return value
    if known.type == "datetime":
        return datetime.fromisoformat(value).timestamp()
    return value if known.type in {"id", "reference", "date"} else str(value).casefold()


@dataclass(frozen=True, slots=True)
class Comparison:
    """``path operator value``: for IN a frozenset; values are as ``comparable`` gives them; LIKE has a pattern."""

    path: Path
    operator: Operator
    value: Any = None
    pattern: re.Pattern[str] | None = None


@dataclass(frozen=True, slots=True)
class Combination:
    """Conditions joined by AND or OR."""

    operator: Literal["AND", "OR"]
    conditions: tuple["Condition", ...]


@dataclass(frozen=True, slots=True)
class Negation:
    """NOT of one condition."""

    condition: "Condition"


Condition = Comparison | Combination | Negation


@dataclass(frozen=True, slots=True)
class Ordering:
    """One member of ORDER BY; empty values come first unless ``nulls_last``."""

    path: Path
    is_descending: bool = False
    nulls_last: bool = False


@dataclass(frozen=True, slots=True)
class Query:
    """A whole query; ``paths`` is empty for ``SELECT COUNT()``."""

    kind: ObjectType
    paths: tuple[Path, ...]
    where: Condition | None = None
    order_by: tuple[Ordering, ...] = ()
    limit: int | None = None
    offset: int = 0


ObjectFinder = Callable[[str], ObjectType | None]
"""Finds an sObject by name in any case."""
