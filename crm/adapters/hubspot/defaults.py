"""HubSpot's objects, their names, and the mappings that hold where a workspace has made none.

Sources: developers.hubspot.com/docs/api-reference/latest/crm/objects/contacts/guide and …/companies/guide.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from crm.errors import CommandRefused
from crm.model import FieldMapping

SCOPES: Final = (
    "oauth",
    "crm.objects.contacts.read",
    "crm.objects.contacts.write",
    "crm.objects.companies.read",
    "crm.objects.companies.write",
    "crm.objects.deals.read",
    "crm.objects.deals.write",
)


@dataclass(frozen=True, slots=True)
class ObjectFacts:
    """What differs between HubSpot's objects.

    Attributes:
        type_id: HubSpot's `objectTypeId`, used in links to records.
        modified_property: Holds the instant of the last change; contacts name it differently from all others.
        one_of: A new record needs at least one of these properties.
        unique: Properties that may be `idProperty` although their metadata does not say so.
        match_field: The Morket field that records are matched by.
    """

    type_id: str | None
    modified_property: str = "hs_lastmodifieddate"
    one_of: tuple[str, ...] = ()
    unique: frozenset[str] = frozenset()
    match_field: str | None = None


_FACTS: Final[Mapping[str, ObjectFacts]] = {
    "contacts": ObjectFacts(
        "0-1", "lastmodifieddate", ("email", "firstname", "lastname"), frozenset({"email"}), "email"
    ),
    "companies": ObjectFacts("0-2", one_of=("name", "domain"), match_field="company_domain"),
    "deals": ObjectFacts("0-3", one_of=("dealname",)),
}

_ALIASES: Final[Mapping[str, str]] = {
    "person": "contacts",
    "contact": "contacts",
    "contacts": "contacts",
    "0-1": "contacts",
    "company": "companies",
    "companies": "companies",
    "0-2": "companies",
    "deal": "deals",
    "deals": "deals",
    "0-3": "deals",
}

# Custom objects: `2-<number>` or the fully qualified `p<portal>_<name>`, or `p_<name>`.
# https://developers.hubspot.com/docs/api-reference/latest/crm/using-object-apis
_CUSTOM: Final = re.compile(r"^(?:\d{1,2}-\d{1,20}|p\d{0,15}_[a-z0-9_-]{1,80})$")


def facts_of(crm_object: str) -> ObjectFacts:
    """The facts of an object by its resolved name; a custom object has the plain ones."""
    return _FACTS.get(crm_object) or ObjectFacts(crm_object)


def resolve_object(entity: str) -> str:
    """`person`, `Contact`, `0-1`, `CONTACTS` -> `contacts`, and so on; custom objects keep their name, in lower case.

    Raises:
        CommandRefused: code `no_mapping_for_entity`, no HubSpot object has such a name.
    """
    name = entity.strip().casefold()
    if name in _ALIASES:
        return _ALIASES[name]
    if _CUSTOM.fullmatch(name):
        return name
    raise CommandRefused(f"HubSpot has no object {entity[:100]!r}", code="no_mapping_for_entity")


def _mappings(pairs: Mapping[str, str], identifier: str) -> tuple[FieldMapping, ...]:
    return tuple(FieldMapping(field, name, identifier=field == identifier) for field, name in pairs.items())


_CONTACTS: Final = _mappings(
    {
        "email": "email",
        "first_name": "firstname",
        "last_name": "lastname",
        "job_title": "jobtitle",
        "phone": "phone",
        "mobile_phone": "mobilephone",
        "linkedin_url": "hs_linkedin_url",
        "company_name": "company",
        "website": "website",
        "company_industry": "industry",
        "company_size": "company_size",
        "annual_revenue": "annualrevenue",
        "street": "address",
        "city": "city",
        "state": "state",
        "postal_code": "zip",
        "country": "country",
    },
    "email",
)

_COMPANIES: Final = _mappings(
    {
        "company_domain": "domain",
        "company_name": "name",
        "phone": "phone",
        "company_linkedin_url": "linkedin_company_page",
        "website": "website",
        "company_industry": "industry",
        "employee_count": "numberofemployees",
        "annual_revenue": "annualrevenue",
        "street": "address",
        "city": "city",
        "state": "state",
        "postal_code": "zip",
        "country": "country",
        "description": "description",
    },
    "company_domain",
)

_DEFAULTS: Final[Mapping[str, tuple[FieldMapping, ...]]] = {"contacts": _CONTACTS, "companies": _COMPANIES}


def default_mappings(crm_object: str) -> tuple[FieldMapping, ...]:
    """The mappings of contacts and companies; empty for every other object."""
    return _DEFAULTS.get(crm_object, ())
