"""Writing one record: create, update, upsert, delete. Shared by Collections and the single-record endpoints."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sandbox.salesforce.binding import Bound, bind
from sandbox.salesforce.errors import RecordError, WriteResult
from sandbox.salesforce.ids import to_18
from sandbox.salesforce.schema import Field, ObjectType
from sandbox.salesforce.store import Org, Record
from sandbox.salesforce.validation import value_errors
from sandbox.switches import SalesforceSwitches

_DUPLICATE_RULE_FIELD = {"Lead": "Email", "Contact": "Email", "Account": "Name"}
_POISON = "\x00\ud800"


@dataclass(frozen=True, slots=True)
class Writer:
    """Writes records of one org under the switches and the duplicate header of one call."""

    org: Org
    switches: SalesforceSwitches
    may_save_duplicates: bool = False

    def create(self, kind: ObjectType, raw: Mapping[str, Any]) -> WriteResult:
        """Create a record; a record that carries an id is refused."""
        if raw.get("id") or raw.get("Id"):
            message = "cannot specify Id in an insert call"
            return self._failed(RecordError("INVALID_FIELD_FOR_INSERT_UPDATE", message, ("Id",)))
        bound = bind(kind, raw)
        return self._failed(*bound.errors) if bound.errors else self._create(kind, bound)

    def update(self, kind: ObjectType, raw: Mapping[str, Any]) -> WriteResult:
        """Update the record that the member ``id`` names."""
        given = raw.get("id") or raw.get("Id")
        if not given:
            return self._failed(RecordError("MISSING_ARGUMENT", "Id not specified in an update call", ("Id",)))
        before = self.locate(kind, str(given))
        if isinstance(before, RecordError):
            return self._failed(before, record_id=to_18(str(given)))
        bound = bind(kind, raw)
        if bound.errors:
            return self._failed(*bound.errors, record_id=before["Id"])
        return self._change(kind, bound, before)

    def upsert(self, kind: ObjectType, key: Field, raw: Mapping[str, Any]) -> WriteResult:
        """Update the one record whose ``key`` field has the value in ``raw``, or create one."""
        bound = bind(kind, raw)
        if bound.errors:
            return self._failed(*bound.errors)
        value = bound.values.get(key.name)
        if value is None:
            return self._failed(RecordError("MISSING_ARGUMENT", f"{key.name} not specified", (key.name,)))
        matches = self.matches(kind, key, value)
        if len(matches) > 1:
            ids = ", ".join(match["Id"] for match in matches)
            message = f"{key.name}: more than one record found for external id field: [{ids}]"
            return self._failed(RecordError("DUPLICATE_EXTERNAL_ID", message, (key.name,)))
        return self._change(kind, bound, matches[0]) if matches else self._create(kind, bound)

    def delete(self, kind: ObjectType, given: str) -> WriteResult:
        """Put a record into the recycle bin: queries no longer find it, ``queryAll`` does."""
        before = self.locate(kind, given)
        if isinstance(before, RecordError):
            return self._failed(before, record_id=to_18(given))
        after = {**before, "IsDeleted": True}
        self.org.stamp(after, is_new=False)
        self.org.put(kind.name, after)
        return WriteResult(before["Id"])

    def matches(self, kind: ObjectType, key: Field, value: Any) -> list[Record]:
        """Return the live records whose key field has this value."""
        return [record for record in self.org.find(kind.name, key.name, value) if not record["IsDeleted"]]

    def locate(self, kind: ObjectType, given: str) -> Record | RecordError:
        """Return the live record with this id, or why there is none."""
        record_id = to_18(given)
        if record_id is None or not record_id.startswith(kind.prefix):
            return RecordError("MALFORMED_ID", f"{kind.label} ID: id value of incorrect type: {given}", ("Id",))
        record = self.org.get(kind.name, record_id)
        if record is None:
            return RecordError("INVALID_CROSS_REFERENCE_KEY", "invalid cross reference id")
        return RecordError("ENTITY_IS_DELETED", "entity is deleted") if record["IsDeleted"] else record

    def _create(self, kind: ObjectType, bound: Bound) -> WriteResult:
        errors = value_errors(kind, bound.values, None, self.org, self.switches) or self._rule_errors(kind, bound)
        if errors:
            return self._failed(*errors)
        defaults = {entry.name: entry.default for entry in kind.field_list if entry.default is not None}
        record = {"Id": self.org.next_id(kind.name), **defaults, **bound.values}
        self._store(kind, record, is_new=True)
        return WriteResult(record["Id"], is_created=True)

    def _change(self, kind: ObjectType, bound: Bound, before: Record) -> WriteResult:
        errors = value_errors(kind, bound.values, before, self.org, self.switches)
        if before.get("IsConverted"):
            errors.append(RecordError("CANNOT_UPDATE_CONVERTED_LEAD", "cannot reference converted lead"))
        errors = errors or self._lock_errors(before["Id"])
        if errors:
            return self._failed(*errors, record_id=before["Id"])
        self._store(kind, {**before, **bound.values}, is_new=False)
        return WriteResult(before["Id"])

    def _store(self, kind: ObjectType, record: Record, *, is_new: bool) -> None:
        for name, value in record.items():
            if value is not None and kind.fields[name].type == "reference":
                record[name] = to_18(str(value))
        if "LastName" in kind.fields:
            record["Name"] = " ".join(part for part in (record.get("FirstName"), record.get("LastName")) if part)
        self.org.stamp(record, is_new=is_new)
        self.org.put(kind.name, record)

    def _rule_errors(self, kind: ObjectType, bound: Bound) -> list[RecordError]:
        """Return what stops a create although its values are fine: storage, duplicate rules, locks."""
        if self.switches.storage_full:
            return [RecordError("STORAGE_LIMIT_EXCEEDED", "storage limit exceeded")]
        return self._duplicate_errors(kind, bound) or self._lock_errors("parent")

    def _duplicate_errors(self, kind: ObjectType, bound: Bound) -> list[RecordError]:
        rule = self.switches.duplicate_rule
        if rule == "off" or (rule == "alert" and self.may_save_duplicates):
            return []
        key = kind.fields[_DUPLICATE_RULE_FIELD[kind.name]]
        value = bound.values.get(key.name)
        if value is None or not self.matches(kind, key, value):
            return []
        return [RecordError("DUPLICATES_DETECTED", "Use one of these records?")]

    def _lock_errors(self, locked: str) -> list[RecordError]:
        self.org.records_written += 1
        every = self.switches.row_lock_every
        is_nth = bool(every) and self.org.records_written % every == 0
        if not is_nth and not self.switches.take("row_lock_next"):
            return []
        message = f"unable to obtain exclusive access to this record or 1 records: {locked}"
        return [RecordError("UNABLE_TO_LOCK_ROW", message)]

    def _failed(self, *errors: RecordError, record_id: str | None = None) -> WriteResult:
        if self.switches.poison_messages:
            errors = tuple(RecordError(one.status_code, one.message + _POISON, one.fields) for one in errors)
        return WriteResult(record_id, errors=errors)
