"""What holds where a workspace has said nothing: objects, match fields and field mappings.

Sources: developer.salesforce.com, Object Reference, sforce_api_objects_{lead,contact,account}.htm; field lengths and
types in the Salesforce Field Reference.
"""

from collections.abc import Mapping
from typing import Final

from crm.adapters.contract import Capabilities
from crm.model import FieldMapping

SLUG: Final = "salesforce"
PRODUCTION: Final = "https://login.salesforce.com"
SANDBOX: Final = "https://test.salesforce.com"

CAPABILITIES: Final = Capabilities(
    entities={"person": ("Lead", "Contact"), "company": ("Account",)},
    batch_size=200,
    pkce=True,
    rotates_refresh_token=True,
    revocation="full",
    # Not a lag of search: after a timeout the org may still be committing what the retry looks for.
    search_lag_s=5.0,
    scopes=("api", "refresh_token"),
    login_hosts={"production": PRODUCTION, "sandbox": SANDBOX},
    modes=frozenset({"upsert", "create", "update", "delete"}),
)

_PERSON: Final = {
    "email": "Email",
    "first_name": "FirstName",
    "last_name": "LastName",
    "job_title": "Title",
    "phone": "Phone",
    "mobile_phone": "MobilePhone",
    "description": "Description",
    "lead_source": "LeadSource",
}
_COMPANY: Final = {
    "phone": "Phone",
    "website": "Website",
    "company_name": "Name",
    "company_industry": "Industry",
    "employee_count": "NumberOfEmployees",
    "annual_revenue": "AnnualRevenue",
    "description": "Description",
    "lead_source": "AccountSource",
}
_ADDRESS: Final = {
    "street": "Street",
    "city": "City",
    "state": "State",
    "postal_code": "PostalCode",
    "country": "Country",
}
_LEAD_COMPANY: Final = {
    "company_name": "Company",
    "website": "Website",
    "company_industry": "Industry",
    "employee_count": "NumberOfEmployees",
    "annual_revenue": "AnnualRevenue",
}


def _mappings(fields: Mapping[str, str], address_prefix: str, identifier: str | None) -> tuple[FieldMapping, ...]:
    address = {morket_field: address_prefix + part for morket_field, part in _ADDRESS.items()}
    return tuple(
        FieldMapping(morket_field, crm_field, identifier=morket_field == identifier)
        for morket_field, crm_field in {**fields, **address}.items()
    )


# A website is written as it was given; where there is only a domain, that is written instead.
_DOMAIN: Final = FieldMapping("company_domain", "Website", fallback=True)

MAPPINGS: Final[Mapping[str, tuple[FieldMapping, ...]]] = {
    "Lead": (*_mappings({**_PERSON, **_LEAD_COMPANY}, "", "email"), _DOMAIN),
    "Contact": _mappings(_PERSON, "Mailing", "email"),
    "Account": (*_mappings(_COMPANY, "Billing", None), _DOMAIN),
}
MATCH_FIELDS: Final[Mapping[str, str]] = {"Lead": "email", "Contact": "email", "Account": "company_domain"}
