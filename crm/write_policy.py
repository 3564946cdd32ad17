"""May a value replace what is in the CRM? The first question of every sales team, answered field by field. Pure.

overwrite      write it (default)
fill_if_empty  write it only where the CRM's field is empty; costs a look-up, and what a person types between the
               look-up and the write is overwritten: a short race that no CRM lets us close
create_only    write it when the record is created, never later
"""

from collections.abc import Mapping
from typing import TypeVar

from crm.matching import is_empty
from schemas.command import WritePolicy

Value = TypeVar("Value")


def effective(command: WritePolicy | None, mapping: WritePolicy | None, connection: WritePolicy) -> WritePolicy:
    """The policy that holds for a field: the command's, else the mapping's, else the connection's."""
    return command or mapping or connection


def needs_current_values(policies: Mapping[str, WritePolicy]) -> bool:
    """True when an update cannot be decided without what the CRM holds now."""
    return "fill_if_empty" in policies.values()


def may_skip_look_up(policies: Mapping[str, WritePolicy]) -> bool:
    """True when it does not matter whether the record exists: every field is overwritten."""
    return all(policy == "overwrite" for policy in policies.values())


def allowed_on_update(
    values: Mapping[str, Value], policies: Mapping[str, WritePolicy], current: Mapping[str, object]
) -> tuple[dict[str, Value], tuple[str, ...]]:
    """Split the values of an update into what may be written and the CRM fields that are kept.

    Args:
        values: CRM field -> value to write (or to clear with).
        policies: CRM field -> policy; fields without one are overwritten.
        current: CRM field -> what the CRM holds; needed for `fill_if_empty`.
    """
    kept = tuple(name for name in values if not _may_write(policies.get(name, "overwrite"), current.get(name)))
    return {name: value for name, value in values.items() if name not in kept}, kept


def _may_write(policy: WritePolicy, current: object) -> bool:
    if policy == "fill_if_empty":
        return current is None or (isinstance(current, str | list) and is_empty(current))
    return policy == "overwrite"
