"""Associations that a push makes: a mapping onto `associations.companies` ties a contact to its company.

The value is the company's domain or its record id. New records carry the association inside the create; existing ones
get it by the batch endpoint afterwards, by the field's write policy: `overwrite` makes the company the primary one (the
others stay associated), `fill_if_empty` ties only records that have none, `create_only` only new ones.
Sources: developers.hubspot.com/docs/api-reference/latest/crm/associations/associate-records/guide (type ids),
…/associate-records/batch/create-associations-labeled, …/crm/objects/contacts/guide (associations of a create).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from crm.errors import CommandRefused
from crm.matching import MatchKind
from crm.model import FieldDescription
from schemas.command import WritePolicy

#: What a mapping's CRM field begins with when it names an association.
PREFIX: Final = "associations."
_CATEGORY: Final = "HUBSPOT_DEFINED"


@dataclass(frozen=True, slots=True)
class AssociationType:
    """HubSpot's own association from one object to another.

    Attributes:
        type_id, primary_id: The plain type, and the one that marks the primary record; None where there is none.
        key_property, kind: By what a target is found when its id is not given.
    """

    to_object: str
    type_id: int
    primary_id: int | None
    key_property: str
    kind: MatchKind
    label: str

    @property
    def type_ids(self) -> tuple[int, ...]:
        """What a full association is made of."""
        return (self.type_id,) if self.primary_id is None else (self.type_id, self.primary_id)


_COMPANY_KEY: Final[tuple[str, MatchKind]] = ("domain", "domain")
_TYPES: Final[Mapping[tuple[str, str], AssociationType]] = {
    ("contacts", "companies"): AssociationType("companies", 279, 1, *_COMPANY_KEY, "Associated company"),
    ("deals", "companies"): AssociationType("companies", 341, 5, *_COMPANY_KEY, "Associated company"),
    ("deals", "contacts"): AssociationType("contacts", 3, None, "email", "email", "Associated contact"),
}


@dataclass(frozen=True, slots=True)
class Wish:
    """An association that a record should have.

    Attributes:
        crm_field: `associations.companies`.
        value: As the record gave it.
        target: The id of the record to be tied to, once it is known.
    """

    crm_field: str
    kind: AssociationType
    value: str
    policy: WritePolicy = "overwrite"
    target: str | None = None

    def to_wire(self) -> dict[str, Any]:
        """The element of a create's `associations`."""
        return {"to": {"id": self.target}, "types": types_to_wire(self.kind)}


def types_to_wire(kind: AssociationType) -> list[dict[str, Any]]:
    """The `types` of an association in a request."""
    return [{"associationCategory": _CATEGORY, "associationTypeId": type_id} for type_id in kind.type_ids]


def is_association(crm_field: str) -> bool:
    """True for a CRM field that names an association, not a property."""
    return crm_field.startswith(PREFIX)


def association_type(crm_object: str, crm_field: str) -> AssociationType:
    """The type behind `associations.companies` for an object.

    Raises:
        CommandRefused: code `not_supported_yet`: only HubSpot's own associations of contacts and deals are made.
    """
    found = _TYPES.get((crm_object, crm_field.removeprefix(PREFIX)))
    if found is None:
        known = ", ".join(f"{source} {PREFIX}{target}" for source, target in _TYPES)
        text = f"{crm_field} of {crm_object} cannot be written; there are: {known}"
        raise CommandRefused(text, code="not_supported_yet")
    return found


def association_fields(crm_object: str) -> tuple[FieldDescription, ...]:
    """The associations of an object as fields that can be mapped to."""
    return tuple(
        FieldDescription(name=PREFIX + target, label=kind.label, kind="association")
        for (source, target), kind in _TYPES.items()
        if source == crm_object
    )


def is_needed(wish: Wish, existing: Mapping[str, frozenset[int]], *, is_new: bool) -> bool:
    """Whether a record must still be tied to what it wishes.

    Args:
        wish: With its target.
        existing: Target id -> type ids of the associations that the record has to that object.
        is_new: This push made the record.
    """
    if wish.policy == "create_only" and not is_new:
        return False
    if wish.policy == "fill_if_empty" and existing and not is_new:
        return False
    wanted = wish.kind.primary_id or wish.kind.type_id
    return wanted not in existing.get(wish.target or "", frozenset())
