"""The live properties of an account's objects, read once an hour.

Source: developers.hubspot.com/docs/api-reference/latest/crm/properties.
"""

import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, Final
from urllib.parse import quote

from crm.adapters.hubspot.calls import Calls, json_object, objects_in
from crm.adapters.hubspot.defaults import facts_of
from crm.adapters.hubspot.errors import raise_for_status
from crm.errors import CommandRefused
from crm.model import FieldDescription

#: Characters that a text property holds.
MAX_TEXT: Final = 65_536
#: Multi-select: stored as `a;b`. https://developers.hubspot.com/docs/api-reference/latest/crm/properties/guide
MULTI: Final = "multi_enumeration"
_LIFE_S: Final = 3600.0
_NOT_FOUND: Final = frozenset({400, 404})


class PropertyCatalogue:
    """Property metadata by (account, object), shared by all threads of an adapter.

    Args:
        life_s: Seconds after which the metadata is read again.
        clock: Monotonic seconds.
    """

    def __init__(self, *, life_s: float = _LIFE_S, clock: Callable[[], float] = time.monotonic) -> None:
        self._life_s = life_s
        self._clock = clock
        self._lock = threading.Lock()
        self._known: dict[tuple[str, str], tuple[float, dict[str, FieldDescription]]] = {}

    def of(self, calls: Calls, crm_object: str) -> Mapping[str, FieldDescription]:
        """Property name -> description; one call when it is not known or too old.

        Raises:
            CommandRefused: code `no_mapping_for_entity`, HubSpot has no such object.
            CrmError: as `errors.raise_for_status` says.
        """
        key = self._key(calls, crm_object)
        with self._lock:
            read_at, known = self._known.get(key, (0.0, {}))
            if known and self._clock() - read_at < self._life_s:
                return known
        # The call is made outside the lock: two threads may both ask, none waits for the other's network.
        fresh = _fetch(calls, crm_object)
        with self._lock:
            self._known[key] = (self._clock(), fresh)
        return fresh

    def forget(self, calls: Calls, crm_object: str) -> None:
        """Read it again next time: HubSpot refused a property that looked fine."""
        with self._lock:
            self._known.pop(self._key(calls, crm_object), None)

    @staticmethod
    def _key(calls: Calls, crm_object: str) -> tuple[str, str]:
        return calls.tokens.account_id or calls.tokens.access_token, crm_object


def _fetch(calls: Calls, crm_object: str) -> dict[str, FieldDescription]:
    path = f"/crm/properties/{calls.version}/{quote(crm_object, safe='')}"
    reply = calls.send("GET", path)
    # Wrong object names answer 404, some 400 "Unable to infer object type".
    if reply.status in _NOT_FOUND:
        raise CommandRefused(f"HubSpot has no object {crm_object}", code="no_mapping_for_entity")
    raise_for_status(reply, what=f"GET {path}")
    unique = facts_of(crm_object).unique
    results = objects_in(json_object(reply, f"GET {path}").get("results"))
    return {str(item["name"]): describe(item, unique) for item in results if item.get("name")}


def describe(item: Mapping[str, Any], unique: frozenset[str] = frozenset()) -> FieldDescription:
    """One property of HubSpot's metadata as a field description.

    Args:
        item: An element of `results`.
        unique: Names that are unique although `hasUniqueValue` does not say so (contacts' `email`).
    """
    modification = item.get("modificationMetadata")
    is_read_only = bool(item.get("calculated")) or (
        isinstance(modification, Mapping) and bool(modification.get("readOnlyValue"))
    )
    kind = _kind(str(item.get("type") or "string"), str(item.get("fieldType") or ""))
    options = tuple(
        (str(option.get("value", "")), str(option.get("label", "")))
        for option in objects_in(item.get("options"))
        if option.get("value") not in (None, "")
    )
    return FieldDescription(
        name=str(item["name"]),
        label=str(item.get("label") or item["name"]),
        kind=kind,
        max_length=MAX_TEXT if kind in {"string", "phone_number"} else None,
        createable=not is_read_only,
        updateable=not is_read_only,
        unique=bool(item.get("hasUniqueValue")) or item["name"] in unique,
        # Options that live elsewhere (owners, pipelines) are not in the list, so the list decides nothing.
        restricted=kind in {"enumeration", MULTI} and bool(options) and not item.get("externalOptions"),
        options=options if kind != "bool" else (),
    )


def _kind(kind: str, field_type: str) -> str:
    if kind == "enumeration" and field_type == "booleancheckbox":
        return "bool"
    if kind == "enumeration" and field_type == "checkbox":
        return MULTI
    return kind
