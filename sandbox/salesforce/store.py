"""The records of one Salesforce org: stored by id, indexed by key fields, with an undo log for ``allOrNone``."""

import time
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from sandbox.salesforce.catalog import OBJECTS
from sandbox.salesforce.ids import PREFIXES, new_id

Record = dict[str, Any]
"""Values by exact field name. Absent and ``None`` mean empty; datetimes are text as on the wire."""

_FIRST_NUMBER = 62**9 + 7 * 62**8 + 51 * 62**7  # so that ids mix upper and lower case from the first on


def wire_datetime(epoch_s: float) -> str:
    """Return a datetime as Salesforce writes it: whole seconds, three zeros, offset without a colon."""
    return datetime.fromtimestamp(int(epoch_s), UTC).strftime("%Y-%m-%dT%H:%M:%S.000+0000")


@dataclass
class Org:
    """A Salesforce org with one user: identity, API usage, records."""

    pod: int
    name: str
    org_id: str
    user_id: str
    username: str
    email: str
    api_calls: int = 0
    calls_in_flight: int = 0
    records_written: int = 0
    objects: dict[str, dict[str, Record]] = field(default_factory=lambda: defaultdict(dict))
    _index: dict[tuple[str, str, str], dict[str, None]] = field(default_factory=lambda: defaultdict(dict))
    _number: int = _FIRST_NUMBER
    _undo: list[tuple[str, str, Record | None]] = field(default_factory=list)

    def next_id(self, object_name: str) -> str:
        """Return an id that no record of this org has."""
        self._number += 1
        return new_id(PREFIXES[object_name], self.pod, self._number)

    def get(self, object_name: str, record_id: str) -> Record | None:
        """Return a record by its 18-character id, deleted ones included."""
        return self.objects[object_name].get(record_id)

    def put(self, object_name: str, record: Record) -> None:
        """Store a record under its ``Id``, in place of what is there."""
        record_id = record["Id"]
        before = self.objects[object_name].get(record_id)
        self._undo.append((object_name, record_id, before))
        self._replace(object_name, record_id, before, record)

    def find(self, object_name: str, field_name: str, value: Any) -> Iterable[Record]:
        """Yield the records, deleted ones included, whose indexed field has this value (letter case is ignored)."""
        ids = self._index.get((object_name, field_name, _folded(value)), {})
        return [self.objects[object_name][record_id] for record_id in ids]

    def begin(self) -> None:
        """Start a new undo log."""
        self._undo.clear()

    def roll_back(self) -> None:
        """Take back every ``put`` since ``begin``."""
        for object_name, record_id, before in reversed(self._undo):
            now = self.objects[object_name].get(record_id)
            self._replace(object_name, record_id, now, before)
        self._undo.clear()

    def stamp(self, record: Record, *, is_new: bool) -> None:
        """Fill the system fields of a record that is about to be stored."""
        now = wire_datetime(time.time())
        if is_new:
            record |= {"CreatedDate": now, "CreatedById": self.user_id, "IsDeleted": False}
            record.setdefault("OwnerId", self.user_id)
        record |= {"LastModifiedDate": now, "LastModifiedById": self.user_id, "SystemModstamp": now}

    def _replace(self, object_name: str, record_id: str, before: Record | None, after: Record | None) -> None:
        for name in OBJECTS[object_name].indexed:
            if before is not None and before.get(name) is not None:
                self._index[object_name, name, _folded(before[name])].pop(record_id, None)
            if after is not None and after.get(name) is not None:
                self._index[object_name, name, _folded(after[name])][record_id] = None
        if after is None:
            self.objects[object_name].pop(record_id, None)
        else:
            self.objects[object_name][record_id] = after


def _folded(value: Any) -> str:
    return str(value).casefold()


def new_org(number: int, name: str) -> Org:
    """Make the ``number``-th org (from 1) with its system administrator."""
    slug = "".join(letter for letter in name.lower() if letter.isalnum()) or "org"
    pod = 300 + number
    org = Org(
        pod=pod,
        name=name,
        org_id=new_id(PREFIXES["Organization"], pod, 62**8 + number),
        user_id=new_id(PREFIXES["User"], pod, 2 * 62**8 + number),
        username=f"admin@{slug}.example",
        email=f"admin@{slug}.example",
    )
    user = {"Id": org.user_id, "Username": org.username, "Name": f"Admin {name}", "Email": org.email, "IsActive": True}
    org.put("User", user)
    org.put("Organization", {"Id": org.org_id, "Name": name, "InstanceName": "LOCAL", "IsSandbox": True})
    org.begin()
    return org
