"""A pull: the records of one object that changed since the cursor, oldest change first.

Keyset over (SystemModstamp, Id): SystemModstamp rises with every change, also those made by Salesforce itself, and Id
decides between the records of one transaction, which share it. Sources: Object Reference, "System Fields"; SOQL and
SOSL Reference, "ORDER BY".
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import islice
from typing import Final

from crm.adapters.salesforce import soql
from crm.adapters.salesforce.calls import Org
from crm.adapters.salesforce.cursor import Cursor, Seen, mark_of, milliseconds
from crm.adapters.salesforce.describe import ObjectFields
from crm.adapters.salesforce.lookup import Row
from crm.adapters.salesforce.values import from_wire, read_instant
from crm.errors import CrmUnavailable
from crm.mapping import crm_fields_to_read, read_record
from crm.matching import long_id
from crm.model import CrmRecord, FieldMapping, PulledPage, PullOptions

_ORDER: Final = "SystemModstamp ASC, Id ASC"
# Parts of one value (addresses, places) and files: they have no form among Morket's values.
_UNREADABLE: Final = frozenset({"address", "location", "base64", "anyType"})


def pull(
    org: Org, fields: ObjectFields, mappings: Sequence[FieldMapping], limit: int, options: PullOptions
) -> PulledPage:
    """Read up to `limit` records; see `crm.adapters.contract.CrmAdapter.pull_records`."""
    cursor = Cursor.since(fields.name, options.modified_since)
    if options.cursor is not None:
        cursor = Cursor.decode(options.cursor, fields.name)
    names = _readable(crm_fields_to_read(mappings, options.fields), fields)
    system = ("Id", "SystemModstamp", *(("IsDeleted",) if fields.find("IsDeleted") else ()))
    # What a cursor remembers may all be among the next rows, beside the records that are asked for and a sign of more.
    most = limit + len(cursor.seen) + 1
    query = soql.select(fields.name, (*system, *names), where=cursor.condition(), order_by=_ORDER, limit=most)
    rows = list(islice(org.query(query, include_deleted=options.include_deleted), most))
    return _page(rows, cursor, limit, lambda row: _record(row, names, fields, mappings, options))


def _page(rows: Sequence[Row], cursor: Cursor, limit: int, as_record: Callable[[Row], CrmRecord]) -> PulledPage:
    """The first `limit` rows that the cursor does not remember, and the place behind them."""
    known = frozenset(cursor.seen)
    records: list[CrmRecord] = []
    given: list[Seen] = []
    last: tuple[int, str] | None = None
    has_more = False
    for row in rows:
        moment = read_instant(str(row.get("SystemModstamp")))
        if moment is None:
            raise CrmUnavailable("Salesforce answered a query without SystemModstamp")
        mark = mark_of(row, milliseconds(moment))
        if mark not in known:
            has_more = len(records) == limit
            if has_more:
                break
            records.append(replace(as_record(row), index=len(records)))
            given.append(mark)
        last = (milliseconds(moment), long_id(str(row.get("Id"))))
    place = cursor.after(*last, given) if last else cursor
    return PulledPage(tuple(records), (place if has_more else place.settled()).encode(), has_more)


def _readable(crm_names: Sequence[str], fields: ObjectFields) -> list[str]:
    """The names that the org has and the user may see, as the org spells them."""
    found = (fields.find(name) for name in crm_names)
    return [known.name for known in found if known is not None and known.kind not in _UNREADABLE]


def _record(
    row: Row,
    names: Sequence[str],
    fields: ObjectFields,
    mappings: Sequence[FieldMapping],
    options: PullOptions,
) -> CrmRecord:
    values = {}
    for name in names:
        known = fields.find(name)
        if known is not None:
            values[known.name.lower()] = from_wire(known, row.get(name))
    spelled = {
        mapping.crm_field: values[mapping.crm_field.lower()]
        for mapping in mappings
        if mapping.crm_field.lower() in values
    }
    return CrmRecord(
        fields=read_record(spelled, mappings, options.fields),
        crm_id=long_id(str(row.get("Id"))),
        modified_at=read_instant(str(row.get("SystemModstamp"))),
        deleted=row.get("IsDeleted") is True,
    )
