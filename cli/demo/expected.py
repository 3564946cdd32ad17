"""What the CRMs should hold now, worked out from the pushed records alone.

The tables are written down a second time on purpose, from the vendors' field lists: a mistake in the adapters' own
mappings must not hide itself here.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from cli.demo.syncs import Push
from schemas.command import PushRecord
from schemas.result import Outcome, SyncResult
from schemas.values import FieldValue

_ADDRESS: Final = ("street", "city", "state", "postal_code", "country")
_SALESFORCE_ADDRESS: Final = ("Street", "City", "State", "PostalCode", "Country")
_HUBSPOT_ADDRESS: Final = dict(zip(_ADDRESS, ("address", "city", "state", "zip", "country"), strict=True))

#: (CRM, entity) -> (the CRM's object, Morket field -> the CRM's field). Fields that are absent have no place there.
FIELDS: Final[Mapping[tuple[str, str], tuple[str, Mapping[str, str]]]] = {
    ("salesforce", "person"): (
        "Lead",
        {
            "email": "Email",
            "first_name": "FirstName",
            "last_name": "LastName",
            "job_title": "Title",
            "phone": "Phone",
            "mobile_phone": "MobilePhone",
            "company_name": "Company",
            "website": "Website",
            "company_industry": "Industry",
            **dict(zip(_ADDRESS, _SALESFORCE_ADDRESS, strict=True)),
        },
    ),
    ("salesforce", "company"): (
        "Account",
        {
            "company_name": "Name",
            "website": "Website",
            "phone": "Phone",
            "company_industry": "Industry",
            "employee_count": "NumberOfEmployees",
            "annual_revenue": "AnnualRevenue",
            "description": "Description",
            **{field: "Billing" + part for field, part in zip(_ADDRESS, _SALESFORCE_ADDRESS, strict=True)},
        },
    ),
    ("hubspot", "person"): (
        "contacts",
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
            **_HUBSPOT_ADDRESS,
        },
    ),
    ("hubspot", "company"): (
        "companies",
        {
            "company_domain": "domain",
            "company_name": "name",
            "website": "website",
            "phone": "phone",
            "company_industry": "industry",
            "employee_count": "numberofemployees",
            "annual_revenue": "annualrevenue",
            "description": "description",
            **_HUBSPOT_ADDRESS,
        },
    ),
}
_NUMBERS: Final = frozenset({"NumberOfEmployees", "AnnualRevenue", "numberofemployees"})
_SUCCEEDED: Final = frozenset({"created", "updated", "unchanged"})


def expected_records(push: Push) -> dict[tuple[str, str], dict[str, str]]:
    """(CRM object, CRM id) -> CRM field -> comparable value, for every record that a push brought in."""
    found: dict[tuple[str, str], dict[str, str]] = {}
    for command, result in zip(push.commands, push.results, strict=True):
        crm_object, names = FIELDS[push.slug, command.entity]
        for crm_id, fields in _merged(command.records, result).items():
            values = _in_crm_words(push.slug, crm_object, fields, names)
            found.setdefault((crm_object, crm_id), {}).update(values)
    return found


def _merged(records: Sequence[PushRecord], result: SyncResult) -> dict[str, dict[str, FieldValue]]:
    """CRM id -> the fields of all records of one command that went into it; later values win, blanks change nothing."""
    found: dict[str, dict[str, FieldValue]] = {}
    for outcome in _in_order(result):
        if outcome.action in _SUCCEEDED and outcome.crm_id:
            filled = {
                name: value for name, value in records[outcome.index].fields.items() if value not in (None, "", [])
            }
            found.setdefault(outcome.crm_id, {}).update(filled)
    return found


def _in_order(result: SyncResult) -> list[Outcome]:
    return sorted(result.outcomes, key=lambda outcome: outcome.index)


def _in_crm_words(
    slug: str, crm_object: str, fields: Mapping[str, FieldValue], names: Mapping[str, str]
) -> dict[str, str]:
    values = {names[field]: value for field, value in fields.items() if field in names}
    if crm_object == "Account" and "Website" not in values and "company_domain" in fields:
        values["Website"] = fields["company_domain"]  # Salesforce has no field for a domain
    if slug == "hubspot" and crm_object == "companies" and "industry" in values:
        # HubSpot stores the option's internal name, people send its label.
        values["industry"] = str(values["industry"]).upper().replace(" ", "_")
    return {name: comparable(name, value) for name, value in values.items()}


def comparable(name: str, value: Any) -> str:
    """A value in one spelling: CRMs store numbers as numbers or text, e-mails and domains in lower case."""
    text = "" if value is None else str(value).strip()
    if name in _NUMBERS and text:
        return f"{float(text):g}" if float(text) % 1 else str(int(float(text)))
    if name in {"Email", "email"}:
        return text.casefold()
    if name == "domain":
        return text.casefold().removeprefix("www.")
    return text


def differences(
    expected: Mapping[tuple[str, str], Mapping[str, str]], stored: Mapping[tuple[str, str], Mapping[str, Any]]
) -> list[str]:
    """Every difference between what was pushed and what the CRM holds, field by field; empty when they agree."""
    found = [
        f"{crm_object} {crm_id} is stored but was not pushed" for crm_object, crm_id in stored.keys() - expected.keys()
    ]
    for key, fields in expected.items():
        record = stored.get(key)
        if record is None:
            found.append(f"{key[0]} {key[1]} was pushed but is not stored")
            continue
        found += [
            f"{key[0]} {key[1]} {name}: pushed {value!r}, stored {comparable(name, record.get(name))!r}"
            for name, value in fields.items()
            if comparable(name, record.get(name)) != value
        ]
    return found
