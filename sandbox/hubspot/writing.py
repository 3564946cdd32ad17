"""Writing one record of a portal: create, update, upsert, archive. Shared by batch and single endpoints."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sandbox.hubspot.catalog import LIFECYCLE_STAGES
from sandbox.hubspot.errors import Problem, PropertyFault, invalid_values, not_found, validation
from sandbox.hubspot.links import read_links
from sandbox.hubspot.schema import ObjectType
from sandbox.hubspot.store import HubspotRecord, Portal, now_ms
from sandbox.hubspot.values import normalize
from sandbox.switches import HubspotSwitches

_DATED = re.compile(r"(\d{4})-(\d\d)\Z")
_FIRST_WITH_ADMIN_RULES = "2026-09"
_POISON = "\x00\ud800"


@dataclass(frozen=True, slots=True)
class Written:
    """A record that was written."""

    record: HubspotRecord
    is_new: bool = False


@dataclass(frozen=True, slots=True)
class Writer:
    """Writes records of one object type under the switches and the API version of one call."""

    portal: Portal
    kind: ObjectType
    switches: HubspotSwitches
    version: str

    def create(self, raw: Mapping[str, Any], associations: Sequence[dict[str, Any]] = ()) -> Written | Problem:
        """Create a record, associated with others."""
        values, faults = normalize(self.kind, raw)
        faults += self._missing(values)
        if faults:
            return self._invalid(faults)
        clash = self._clash(values, None)
        if clash is not None:
            return clash
        links = read_links(self.portal, self.kind, associations)
        if isinstance(links, Problem):
            return links
        now = now_ms()
        record = HubspotRecord(self.portal.next_id(), _filled(values), now, now, associations=links)
        return Written(self._store(record), is_new=True)

    def update(self, record: HubspotRecord, raw: Mapping[str, Any]) -> Written | Problem:
        """Change some properties of a record; an empty text clears one."""
        values, faults = normalize(self.kind, raw)
        if faults:
            return self._invalid(faults)
        clash = self._clash(values, record.id)
        if clash is not None:
            return clash
        merged = {**record.properties, **_forward_only(values, record)}
        now = max(now_ms(), record.updated_ms + 1)
        is_settled = now - record.updated_ms >= self.switches.search_delay_ms
        settled = replace(record, settled=None) if is_settled else record.settled
        changed = replace(record, properties=_filled(merged), updated_ms=now, settled=settled)
        return Written(self._store(changed))

    def upsert(self, id_property: str, key: str, raw: Mapping[str, Any]) -> Written | Problem:
        """Update the record whose unique property has this value, or create one that has it."""
        found = self.portal.find(self.kind.name, id_property, key.strip())
        if found:
            return self.update(found[0], raw)
        return self.create({id_property: key, **raw})

    def locate(self, given: str, id_property: str | None) -> HubspotRecord | Problem:
        """Return the live record with this id, or with this value of a key property."""
        if id_property is None or id_property == "hs_object_id":
            return self.portal.get(self.kind.name, given) or not_found()
        found = self.portal.find(self.kind.name, id_property, given.strip())
        return found[0] if found else not_found()

    def archive(self, record: HubspotRecord) -> None:
        """Archive a record: reads, look-ups and search no longer find it."""
        self.portal.put(self.kind.name, replace(record, is_archived=True, updated_ms=now_ms(), settled=None))

    def _store(self, record: HubspotRecord) -> HubspotRecord:
        self.portal.put(self.kind.name, record)
        return record

    def _invalid(self, faults: list[PropertyFault]) -> Problem:
        if self.switches.poison_messages:
            faults = [replace(fault, message=fault.message + _POISON) for fault in faults]
            return replace(invalid_values(faults), message=invalid_values(faults).message + _POISON)
        return invalid_values(faults)

    def _missing(self, values: Mapping[str, str]) -> list[PropertyFault]:
        if not any(values.get(name) for name in self.kind.needs_one_of):
            names = ", ".join(self.kind.needs_one_of)
            message = f"At least one of these properties must be set: {names}"
            return [PropertyFault(self.kind.needs_one_of[0], "REQUIRED_FIELD", message)]
        is_dated = _DATED.match(self.version) is not None and self.version >= _FIRST_WITH_ADMIN_RULES
        required = self.switches.admin_required_properties if is_dated else []
        return [
            PropertyFault(name, self.switches.admin_rule_error, f"{name} is required by a rule of this account")
            for name in required
            if name in self.kind.properties and not values.get(name)
        ]

    def _clash(self, values: Mapping[str, str], own_id: str | None) -> Problem | None:
        for name, value in values.items():
            if not value or not self.kind.is_key(name):
                continue
            for other in self.portal.find(self.kind.name, name, value):
                if other.id == own_id:
                    continue
                if name == "email":
                    return Problem("CONFLICT", f"Contact already exists. Existing ID: {other.id}", status=409)
                message = f"{other.id} already has that value for {name}."
                return validation(f"Cannot set PropertyValueCoordinates: {message}")
        return None


def _filled(values: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in values.items() if value}


def _forward_only(values: Mapping[str, str], record: HubspotRecord) -> dict[str, str]:
    """Drop a lifecycle stage that lies before the present one: the real one ignores it too."""
    wanted, present = values.get("lifecyclestage"), record.properties.get("lifecyclestage")
    goes_back = wanted and present and LIFECYCLE_STAGES.index(wanted) < LIFECYCLE_STAGES.index(present)
    return {name: value for name, value in values.items() if not (goes_back and name == "lifecyclestage")}
