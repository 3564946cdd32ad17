"""A pull: the records of one object that changed since the cursor, oldest change first.

Keyset over (SystemModstamp, Id): SystemModstamp rises with every change, also those made by Salesforce itself, and Id
decides between the records of one transaction, which share it. Sources: Object Reference, "System Fields"; SOQL and
SOSL Reference, "ORDER BY".
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import islice
from typing import Any, Final

from crm.adapters.salesforce import soql
from crm.adapters.salesforce.calls import Org
from crm.adapters.salesforce.cursor import Cursor
from crm.adapters.salesforce.describe import ObjectFields
from crm.adapters.salesforce.values import from_wire, read_instant
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
    cursor = Cursor(fields.name, options.modified_since)
    if options.cursor is not None:
        cursor = Cursor.decode(options.cursor, fields.name)
    names = _readable(crm_fields_to_read(mappings, options.fields), fields)
    system = ("Id", "SystemModstamp", *(("IsDeleted",) if fields.find("IsDeleted") else ()))
    query = soql.select(fields.name, (*system, *names), where=cursor.condition(), order_by=_ORDER, limit=limit + 1)
    rows = list(islice(org.query(query, include_deleted=options.include_deleted), limit + 1))
    taken = rows[:limit]
    records = tuple(
        replace(_record(row, names, fields, mappings, options), index=index) for index, row in enumerate(taken)
    )
    return PulledPage(records, _after(taken, cursor).encode(), has_more=len(rows) > limit)


def _readable(crm_names: Sequence[str], fields: ObjectFields) -> list[str]:
    """The names that the org has and the user may see, as the org spells them."""
    found = (fields.find(name) for name in crm_names)
    return [known.name for known in found if known is not None and known.kind not in _UNREADABLE]


def _record(
    row: Mapping[str, Any],
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


def _after(rows: Sequence[Mapping[str, Any]], cursor: Cursor) -> Cursor:
    """The cursor behind the last record; where there is none, the one that was given."""
    if not rows:
        return cursor
    moment = read_instant(str(rows[-1].get("SystemModstamp")))
    return Cursor(cursor.crm_object, moment, long_id(str(rows[-1].get("Id"))))
