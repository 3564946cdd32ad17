"""The live fields of an org's objects, read once an hour.

Source: REST API Developer Guide, resources_sobject_describe.htm.
"""

import math
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from crm.adapters.salesforce.calls import Org
from crm.adapters.salesforce.soql import identifier
from crm.adapters.salesforce.state_codes import StateCode, state_codes
from crm.errors import CallRefused, CommandRefused, CrmUnavailable
from crm.model import FieldDescription

_LIFE_S: Final = 3600.0
#: Seconds for which a describe is taken as true even where Salesforce refuses one of its fields: reading it again and
#: repeating the call would cost two calls to learn nothing.
FRESH_S: Final = 60.0
_NO_SUCH_OBJECT: Final = frozenset({"NOT_FOUND", "INVALID_TYPE"})


@dataclass(frozen=True, slots=True)
class Relationship:
    """A reference to a record of one other object: `Account` on Contact is `AccountId` and points to Account."""

    name: str
    reference_field: str
    target: str


@dataclass(frozen=True, slots=True)
class ObjectFields:
    """An object's own name and its fields by lower-case name.

    Attributes:
        relationships: Lower-case relationship name -> what it refers to; without those that may be of several objects.
        reference_of: Path of a related record's field (`Account.Morket_Id__c`) -> the reference field that it fills.
        states: Name of a StateCode field -> the states that the org knows.
    """

    name: str
    by_name: Mapping[str, FieldDescription]
    relationships: Mapping[str, Relationship] = field(default_factory=dict)
    reference_of: Mapping[str, str] = field(default_factory=dict)
    states: Mapping[str, tuple[StateCode, ...]] = field(default_factory=dict)

    def find(self, name: str) -> FieldDescription | None:
        """The field of this name in any case; None where the org has none or hides it from the user."""
        return self.by_name.get(name.lower())


class DescribeCache:
    """Describes by (org, object), shared by all threads of an adapter; `clock` gives monotonic seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._known: dict[tuple[str, str], tuple[float, ObjectFields]] = {}

    def get(self, org: Org, crm_object: str) -> ObjectFields:
        """The object's fields; one call when they are not known or too old.

        Raises:
            CommandRefused: code `no_mapping_for_entity`, the org has no such object or the user may not see it.
            ConfigurationFault: the org does not serve our API version.
        """
        key = (org.cache_key, identifier(crm_object).lower())
        with self._lock:
            read_at, known = self._known.get(key, (0.0, None))
        if known is not None and self._clock() - read_at < _LIFE_S:
            return known
        fields = _describe(org, crm_object)
        with self._lock:
            now = self._clock()
            # Orgs come and go: what is too old is not kept either.
            self._known = {other: entry for other, entry in self._known.items() if now - entry[0] < _LIFE_S}
            self._known[key] = (now, fields)
        return fields

    def age_s(self, org: Org, crm_object: str) -> float:
        """Seconds since the object was described; infinite when it is not known."""
        with self._lock:
            entry = self._known.get((org.cache_key, crm_object.lower()))
        return math.inf if entry is None else self._clock() - entry[0]

    def drop(self, org: Org) -> None:
        """Forget the objects of an org, one of whose fields has proved to be another."""
        with self._lock:
            self._known = {key: entry for key, entry in self._known.items() if key[0] != org.cache_key}


def _describe(org: Org, crm_object: str) -> ObjectFields:
    try:
        content = org.call("GET", f"/sobjects/{identifier(crm_object)}/describe")
    except CallRefused as refusal:
        if refusal.crm_code in _NO_SUCH_OBJECT:
            org.check_version()
            raise CommandRefused(f"Salesforce has no object {crm_object}", code="no_mapping_for_entity") from refusal
        raise
    entries = content.get("fields") if isinstance(content, dict) else None
    if not isinstance(entries, list):
        raise CrmUnavailable("Salesforce answered a describe without fields")
    named = [entry for entry in entries if isinstance(entry, dict) and entry.get("name")]
    fields = [_field(entry) for entry in named]
    return ObjectFields(
        name=str(content.get("name") or crm_object),
        by_name={field.name.lower(): field for field in fields},
        relationships={found.name.lower(): found for found in map(_relationship, named) if found},
        states=state_codes(named),
    )


def _field(entry: Mapping[str, Any]) -> FieldDescription:
    kind = str(entry.get("type") or "string")
    createable = bool(entry.get("createable"))
    return FieldDescription(
        name=str(entry["name"]),
        label=str(entry.get("label") or entry["name"]),
        kind=kind,
        # For whole numbers the limit is their digits, for texts their characters.
        max_length=(entry.get("digits") if kind == "int" else entry.get("length")) or None,
        required=createable and not entry.get("nillable") and not entry.get("defaultedOnCreate") and kind != "boolean",
        createable=createable,
        updateable=bool(entry.get("updateable")),
        unique=bool(entry.get("unique")),
        restricted=bool(entry.get("restrictedPicklist")),
        external_id=bool(entry.get("externalId")),
        options=tuple(_options(entry)),
    )


def _options(entry: Mapping[str, Any]) -> list[tuple[str, str]]:
    values = entry.get("picklistValues")
    active = [value for value in values if isinstance(value, dict) and value.get("active", True)] if values else []
    return [(str(value.get("value")), str(value.get("label") or value.get("value"))) for value in active]


def _relationship(entry: Mapping[str, Any]) -> Relationship | None:
    targets, name = entry.get("referenceTo"), entry.get("relationshipName")
    if not name or not isinstance(targets, list) or len(targets) != 1:
        return None
    return Relationship(str(name), str(entry["name"]), str(targets[0]))
