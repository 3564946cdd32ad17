"""The records of one HubSpot portal: stored by id, indexed by key properties, with what search already sees."""

import time
from collections import defaultdict, deque
from dataclasses import dataclass, field
from datetime import UTC, datetime

from sandbox.hubspot.catalog import OBJECTS, object_type

_FIRST_HUB_ID = 48_110_000
_FIRST_USER_ID = 71_300_000
_FIRST_RECORD_ID = 151_000_000_000
_MILLISECONDS = 1000


def wire_datetime(epoch_ms: int) -> str:
    """Return a datetime as HubSpot writes it, such as ``2026-11-22T10:00:00.000Z``."""
    moment = datetime.fromtimestamp(epoch_ms / _MILLISECONDS, UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{epoch_ms % _MILLISECONDS:03d}Z"


def now_ms() -> int:
    """Return the present as epoch milliseconds."""
    return time.time_ns() // 1_000_000


@dataclass(frozen=True, slots=True)
class Link:
    """One association as its creation gave it; ``type_id`` is directed, from the record that has it."""

    to_type: str
    to_id: str
    type_id: int


@dataclass(frozen=True, slots=True)
class HubspotRecord:
    """One state of a record; absent properties are empty. ``settled`` is the state before, for a search that lags."""

    id: str
    properties: dict[str, str]
    created_ms: int
    updated_ms: int
    is_archived: bool = False
    associations: tuple[Link, ...] = ()
    settled: "HubspotRecord | None" = None


@dataclass
class Portal:
    """A HubSpot portal with one user: identity, rate windows, records."""

    hub_id: int
    name: str
    user_id: int
    user_email: str
    domain: str
    call_times: dict[str, deque[float]] = field(default_factory=lambda: defaultdict(deque))
    results_sent: int = 0
    objects: dict[str, dict[str, HubspotRecord]] = field(default_factory=lambda: defaultdict(dict))
    _index: dict[tuple[str, str, str], dict[str, None]] = field(default_factory=lambda: defaultdict(dict))
    _number: int = _FIRST_RECORD_ID
    _undo: list[tuple[str, str, HubspotRecord | None]] = field(default_factory=list)

    def next_id(self) -> str:
        """Return a decimal id that no record of this portal has."""
        self._number += 1
        return str(self._number)

    def get(self, type_name: str, record_id: str) -> HubspotRecord | None:
        """Return a live record by its id."""
        record = self.objects[type_name].get(record_id)
        return None if record is None or record.is_archived else record

    def find(self, type_name: str, property_name: str, value: str) -> list[HubspotRecord]:
        """Return the live records whose indexed property has this value; letter case is ignored."""
        ids = self._index.get((type_name, property_name, value.casefold()), {})
        return [self.objects[type_name][record_id] for record_id in ids]

    def put(self, type_name: str, record: HubspotRecord) -> None:
        """Store a record in place of its former state."""
        before = self.objects[type_name].get(record.id)
        self._undo.append((type_name, record.id, before))
        self._replace(type_name, record.id, before, record)

    def begin(self) -> None:
        """Start a new undo log."""
        self._undo.clear()

    def roll_back(self) -> None:
        """Take back every ``put`` since ``begin``."""
        for type_name, record_id, before in reversed(self._undo):
            self._replace(type_name, record_id, self.objects[type_name].get(record_id), before)
        self._undo.clear()

    def _replace(
        self, type_name: str, record_id: str, before: HubspotRecord | None, after: HubspotRecord | None
    ) -> None:
        kind = object_type(type_name) or OBJECTS[0]
        for name in kind.indexed:
            if before is not None and before.properties.get(name):
                self._index[type_name, name, before.properties[name].casefold()].pop(record_id, None)
            if after is not None and after.properties.get(name) and not after.is_archived:
                self._index[type_name, name, after.properties[name].casefold()][record_id] = None
        if after is None:
            self.objects[type_name].pop(record_id, None)
        else:
            self.objects[type_name][record_id] = after


def new_portal(number: int, name: str) -> Portal:
    """Make the ``number``-th portal (from 1) with its super admin."""
    slug = "".join(letter for letter in name.lower() if letter.isalnum()) or "portal"
    return Portal(
        hub_id=_FIRST_HUB_ID + number,
        name=name,
        user_id=_FIRST_USER_ID + number,
        user_email=f"admin@{slug}.example",
        domain=f"{slug}.example",
        _number=_FIRST_RECORD_ID + number * 1_000_000_000,
    )
