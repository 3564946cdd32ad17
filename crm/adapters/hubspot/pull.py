"""A pull: the records of one object that changed since the cursor, oldest change first, then the deleted ones.

HubSpot sorts a search by one property, so records that share a millisecond (every batch write makes up to 100 of
them) come in no order among themselves. Where a page ends inside such a group, the group is read by a search of its
own, sorted by record id; with that every place between two records can be named, and a page of any size can end
anywhere.
Sources:
developers.hubspot.com/docs/api-reference/latest/crm/search, …/crm/objects/contacts/guide (list, `archived`).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from crm.adapters.hubspot.calls import objects_in
from crm.adapters.hubspot.cursor import MAX_ID, Position, Seen, remember, settle
from crm.adapters.hubspot.defaults import facts_of
from crm.adapters.hubspot.search import SEARCH_PAGE, Search, next_page
from crm.adapters.hubspot.values import from_wire
from crm.mapping import crm_fields_to_read, read_record
from crm.model import CrmRecord, FieldDescription, FieldMapping, PulledPage, PullOptions

_LIST_PAGE: Final = 100
# One pull stays short: what is left comes with the next one.
_MAX_SEARCHES, _MAX_LISTS = 4, 5
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class _Row:
    """A result with its place in the order of changes."""

    at_ms: int
    record_id: int
    result: Mapping[str, Any]


@dataclass(slots=True)
class Pull:
    """One pull of one object."""

    search: Search
    fields: Mapping[str, FieldDescription]
    mappings: Sequence[FieldMapping]
    options: PullOptions
    clock: Callable[[], datetime]
    _records: list[CrmRecord] = field(default_factory=list)
    _passed: list[Seen] = field(default_factory=list)

    def run(self, limit: int) -> PulledPage:
        """Read up to `limit` records; see `crm.adapters.contract.CrmAdapter.pull_records`."""
        position = self._start()
        position, is_drained = self._changed(position, limit)
        now_ms = _ms(self.clock())
        if not is_drained:
            return PulledPage(tuple(self._records), remember(position, self._passed, now_ms).encode(), has_more=True)
        is_complete = True
        if self.options.include_deleted:
            position, is_complete = self._deleted(position, limit)
        position = settle(position, self._passed, now_ms)
        return PulledPage(tuple(self._records), position.encode(), has_more=not is_complete)

    def _start(self) -> Position:
        crm_object = self.search.crm_object
        if self.options.cursor is not None:
            return Position.decode(self.options.cursor, crm_object)
        since_ms = max(_ms(self.options.modified_since), 0) if self.options.modified_since else 0
        return Position(crm_object, at_ms=since_ms, floor_ms=since_ms, deleted_since_ms=max(since_ms - 1, 0))

    def _changed(self, position: Position, limit: int) -> tuple[Position, bool]:
        """Take changed records until the limit; the new position, and whether nothing more is ready."""
        seen = frozenset(position.seen)
        for _search in range(_MAX_SEARCHES):
            room = limit - len(self._records)
            rows, is_whole = self._rows(position, min(SEARCH_PAGE, room + len(seen)))
            for row in rows:
                if len(self._records) == limit:
                    return position, False
                position = replace(position, at_ms=row.at_ms, record_id=row.record_id)
                self._take(row, seen)
            if is_whole:
                return position, True
            if len(self._records) == limit:
                return position, False
        return position, False

    def _take(self, row: _Row, seen: frozenset[Seen]) -> None:
        mark = Seen.of(row.at_ms, str(row.record_id))
        self._passed.append(mark)
        if mark not in seen:
            self._records.append(self._record(row.result, row.at_ms, is_deleted=False))

    def _rows(self, position: Position, limit: int) -> tuple[list[_Row], bool]:
        """The next rows in order, and whether they are all that there are."""
        page = self.search.page(self._body(_groups(position, self._modified), self._modified, limit))
        rows = self._in_order(page)
        if next_page(page) is None:
            return rows, True
        last_ms = rows[-1].at_ms if rows else position.at_ms
        before = [row for row in rows if row.at_ms < last_ms]
        floor = position.record_id if last_ms == position.at_ms else 0
        group = _filters((self._modified, "EQ", last_ms), ("hs_object_id", "GT", floor))
        tied = self.search.page(self._body([group], "hs_object_id", limit))
        return before + self._in_order(tied), False

    @property
    def _modified(self) -> str:
        return facts_of(self.search.crm_object).modified_property

    def _body(self, groups: Sequence[Mapping[str, Any]], sort: str, limit: int) -> dict[str, Any]:
        return {
            "filterGroups": list(groups),
            "sorts": [{"propertyName": sort, "direction": "ASCENDING"}],
            "properties": self._properties(),
            "limit": limit,
        }

    def _properties(self) -> list[str]:
        wanted = crm_fields_to_read(self.mappings, self.options.fields)
        return [*(name for name in wanted if name in self.fields), self._modified]

    def _in_order(self, page: Mapping[str, Any]) -> list[_Row]:
        rows = []
        for result in objects_in(page.get("results")):
            properties = result.get("properties")
            text = properties.get(self._modified) if isinstance(properties, Mapping) else None
            at_ms = _read_ms(text) or _read_ms(result.get("updatedAt"))
            if at_ms is not None and str(result.get("id", "")).isdecimal():
                rows.append(_Row(at_ms, int(result["id"]), result))
        return sorted(rows, key=lambda row: (row.at_ms, row.record_id))

    def _deleted(self, position: Position, limit: int) -> tuple[Position, bool]:
        """Walk the archived list: it has neither filter nor order by time, so every walk reads it whole."""
        for _list in range(_MAX_LISTS):
            room = limit - len(self._records)
            if room == 0:
                return position, False
            params = {
                "archived": "true",
                "limit": str(min(_LIST_PAGE, room)),
                "properties": ",".join(self._properties()),
                **({"after": position.deleted_after} if position.deleted_after else {}),
            }
            page = self.search.calls.get(self.search.calls.objects_path(self.search.crm_object), params)
            newest_ms = position.deleted_max_ms
            for result in objects_in(page.get("results")):
                at_ms = _read_ms(result.get("archivedAt")) or 0
                newest_ms = max(newest_ms, at_ms)
                if at_ms > position.deleted_since_ms:
                    self._records.append(self._record(result, at_ms, is_deleted=True))
            after = next_page(page)
            if after is None:
                since_ms = max(newest_ms, position.deleted_since_ms)
                return replace(position, deleted_since_ms=since_ms, deleted_after=None, deleted_max_ms=0), True
            position = replace(position, deleted_after=after, deleted_max_ms=newest_ms)
        return position, False

    def _record(self, result: Mapping[str, Any], at_ms: int, *, is_deleted: bool) -> CrmRecord:
        properties = result.get("properties")
        texts = properties if isinstance(properties, Mapping) else {}
        values = {name: from_wire(self.fields.get(name), value) for name, value in texts.items()}
        return CrmRecord(
            fields=read_record(values, self.mappings, self.options.fields),
            index=len(self._records),
            crm_id=str(result.get("id")),
            modified_at=_EPOCH + timedelta(milliseconds=at_ms),
            deleted=is_deleted,
        )


def _groups(position: Position, modified: str) -> list[dict[str, Any]]:
    """After the position: a later change, or the same millisecond and a higher id."""
    if position.at_ms == 0:
        return []
    later = _filters((modified, "GT", position.at_ms))
    if position.record_id >= MAX_ID:
        return [later]
    return [later, _filters((modified, "EQ", position.at_ms), ("hs_object_id", "GT", position.record_id))]


def _filters(*conditions: tuple[str, str, int]) -> dict[str, Any]:
    return {
        "filters": [
            {"propertyName": name, "operator": operator, "value": str(value)} for name, operator, value in conditions
        ]
    }


def _ms(moment: datetime) -> int:
    """Milliseconds since 1970, rounded down."""
    return (moment - _EPOCH) // timedelta(milliseconds=1)


def _read_ms(text: object) -> int | None:
    """HubSpot's instants: ISO 8601, in old data milliseconds since 1970 as text; None when it is neither."""
    if not isinstance(text, str):
        return None
    if text.isascii() and text.isdigit():
        return int(text)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return _ms(moment if moment.tzinfo else moment.replace(tzinfo=UTC))
