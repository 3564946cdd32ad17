"""Records as the object endpoints write them: every value text or null, system properties filled in."""

from collections.abc import Sequence
from typing import Any

from sandbox.hubspot.schema import ObjectType
from sandbox.hubspot.store import HubspotRecord, wire_datetime


def property_value(kind: ObjectType, record: HubspotRecord, name: str) -> str | None:
    """Return one property's text, computed ones included; ``None`` when it is empty."""
    if name == "hs_object_id":
        return record.id
    if name == "createdate":
        return wire_datetime(record.created_ms)
    if name == kind.modified_property:
        return wire_datetime(record.updated_ms)
    if name == "hs_email_domain":
        return record.properties.get("email", "").partition("@")[2] or None
    return record.properties.get(name)


def render(kind: ObjectType, record: HubspotRecord, wanted: Sequence[str] = ()) -> dict[str, Any]:
    """Return a record with the wanted properties, or the default ones; unknown names are left out silently."""
    names = dict.fromkeys((*wanted, "hs_object_id", "createdate", kind.modified_property))
    listed = names if wanted else kind.default_properties
    properties = {name: property_value(kind, record, name) for name in listed if name in kind.properties}
    return {
        "id": record.id,
        "properties": properties,
        "createdAt": wire_datetime(record.created_ms),
        "updatedAt": wire_datetime(record.updated_ms),
        "archived": record.is_archived,
    } | ({"archivedAt": wire_datetime(record.updated_ms)} if record.is_archived else {})


def render_written(kind: ObjectType, record: HubspotRecord) -> dict[str, Any]:
    """Return a record as a write answers it: every property that has a value."""
    computed = [name for name in ("hs_email_domain",) if property_value(kind, record, name) is not None]
    return render(kind, record, [*record.properties, *computed])
