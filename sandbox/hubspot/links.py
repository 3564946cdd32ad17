"""Associations between records: their types, how a create gives them, and both directions of what is stored.

Developer documentation "Associate records" (association type ids). Types of one object with itself and types that the
customer defined (``USER_DEFINED``) are not simulated; a create that names one is refused.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from sandbox.hubspot.errors import Problem, validation
from sandbox.hubspot.schema import ObjectType
from sandbox.hubspot.store import HubspotRecord, Link, Portal

CATEGORY = "HUBSPOT_DEFINED"
Linked = dict[str, dict[str, set[int]]]
"""Type ids by the id of a record and the id of the record that it is associated with."""


@dataclass(frozen=True, slots=True)
class LinkType:
    """One direction of an association type; ``unlabeled`` is the type that a labeled one brings along."""

    type_id: int
    name: str
    from_type: str
    to_type: str
    inverse: int
    label: str | None = None
    unlabeled: int | None = None


LINK_TYPES = {
    kind.type_id: kind
    for kind in (
        LinkType(279, "contact_to_company_unlabeled", "contacts", "companies", 280),
        LinkType(280, "company_to_contact_unlabeled", "companies", "contacts", 279),
        LinkType(1, "contact_to_company", "contacts", "companies", 2, "Primary", 279),
        LinkType(2, "company_to_contact", "companies", "contacts", 1, "Primary", 280),
        LinkType(3, "deal_to_contact", "deals", "contacts", 4),
        LinkType(4, "contact_to_deal", "contacts", "deals", 3),
        LinkType(341, "deal_to_company_unlabeled", "deals", "companies", 342),
        LinkType(342, "company_to_deal_unlabeled", "companies", "deals", 341),
        LinkType(5, "deal_to_company", "deals", "companies", 6, "Primary", 341),
        LinkType(6, "company_to_deal", "companies", "deals", 5, "Primary", 342),
    )
}


def read_links(portal: Portal, kind: ObjectType, raw: Iterable[dict[str, Any]]) -> tuple[Link, ...] | Problem:
    """Return the links that a create asks for, or why it may not: an unknown type, or no such record."""
    links: dict[Link, None] = {}
    for one in raw:
        target = str(one["to"]["id"])
        for given in one["types"]:
            found = _link_type(kind, given)
            if found is None:
                return validation(f"Invalid association type for {kind.singular}: {given}")
            if portal.get(found.to_type, target) is None:
                return validation(f"Associated record {target} of {found.to_type} does not exist", ids=[target])
            links[Link(found.to_type, target, found.type_id)] = None
            if found.unlabeled is not None:
                links[Link(found.to_type, target, found.unlabeled)] = None
    return tuple(links)


def _link_type(kind: ObjectType, given: Any) -> LinkType | None:
    if not isinstance(given, dict) or given.get("associationCategory") != CATEGORY:
        return None
    found = LINK_TYPES.get(given.get("associationTypeId", 0))
    return found if found is not None and found.from_type == kind.name else None


def linked(portal: Portal, kind: ObjectType, other: ObjectType) -> Linked:
    """Return every association from live records of ``kind`` to live records of ``other``, given from either side."""
    found: Linked = defaultdict(lambda: defaultdict(set))
    for record, link in _links(portal, kind):
        if link.to_type == other.name and portal.get(other.name, link.to_id):
            found[record.id][link.to_id].add(link.type_id)
    for record, link in _links(portal, other):
        if link.to_type == kind.name and portal.get(kind.name, link.to_id):
            found[link.to_id][record.id].add(LINK_TYPES[link.type_id].inverse)
    return found


def _links(portal: Portal, kind: ObjectType) -> Iterator[tuple[HubspotRecord, Link]]:
    live = (record for record in portal.objects[kind.name].values() if not record.is_archived)
    return ((record, link) for record in live for link in record.associations)
