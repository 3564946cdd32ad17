"""The objects of a fresh org: Lead, Contact, Account, User and Organization, with lengths of the field reference."""

from sandbox.salesforce.ids import PREFIXES
from sandbox.salesforce.schema import Field, ObjectType

INDUSTRIES = (
    "Agriculture", "Apparel", "Banking", "Biotechnology", "Chemicals", "Communications", "Construction", "Consulting",
    "Education", "Electronics", "Energy", "Engineering", "Entertainment", "Environmental", "Finance",
    "Food & Beverage", "Government", "Healthcare", "Hospitality", "Insurance", "Machinery", "Manufacturing", "Media",
    "Not For Profit", "Recreation", "Retail", "Shipping", "Technology", "Telecommunications", "Transportation",
    "Utilities", "Other",
)  # fmt: skip
LEAD_SOURCES = ("Web", "Phone Inquiry", "Partner Referral", "Purchased List", "Other")
LEAD_STATUSES = ("Open - Not Contacted", "Working - Contacted", "Closed - Converted", "Closed - Not Converted")
RATINGS = ("Hot", "Warm", "Cold")
SALUTATIONS = ("Mr.", "Ms.", "Mrs.", "Dr.", "Prof.", "Mx.")
ACCOUNT_TYPES = ("Prospect", "Customer - Direct", "Customer - Channel", "Channel Partner / Reseller", "Other")
OWNERSHIPS = ("Public", "Private", "Subsidiary", "Other")
COUNTRIES = {
    "Australia": "AU", "Austria": "AT", "Brazil": "BR", "Canada": "CA", "China": "CN", "Denmark": "DK",
    "Finland": "FI", "France": "FR", "Germany": "DE", "India": "IN", "Ireland": "IE", "Italy": "IT", "Japan": "JP",
    "Mexico": "MX", "Netherlands": "NL", "Norway": "NO", "Poland": "PL", "Portugal": "PT", "Spain": "ES",
    "Sweden": "SE", "Switzerland": "CH", "United Kingdom": "GB", "United States": "US",
}  # fmt: skip
STATES = {
    "California": "CA", "Colorado": "CO", "Florida": "FL", "Illinois": "IL", "Massachusetts": "MA", "New York": "NY",
    "Oregon": "OR", "Texas": "TX", "Utah": "UT", "Washington": "WA", "Ontario": "ON", "New South Wales": "NSW",
}  # fmt: skip


def _text(name: str, label: str, length: int, kind: str = "string", *, is_required: bool = False) -> Field:
    return Field(name, label, kind, length=length, is_required=is_required)


def _picklist(
    name: str, label: str, values: tuple[str, ...], *, default: str | None = None, is_restricted: bool = False
) -> Field:
    return Field(
        name,
        label,
        "picklist",
        length=255,
        picklist=values,
        default=default,
        is_required=default is not None,
        is_restricted=is_restricted,
    )


def _reference(name: str, label: str, target: str, relationship: str, *, is_writable: bool = True) -> Field:
    return Field(
        name, label, "reference", length=18, reference_to=(target,), relationship=relationship, is_writable=is_writable
    )


def _flag(name: str, label: str, *, is_writable: bool = True) -> Field:
    return Field(name, label, "boolean", is_required=True, default=False, is_writable=is_writable)


def _int(name: str, label: str) -> Field:
    return Field(name, label, "int", digits=8)


def _currency(name: str, label: str) -> Field:
    return Field(name, label, "currency", precision=18, scale=0)


def _address(prefix: str, label: str = "") -> tuple[Field, ...]:
    parts = (("Street", 255), ("City", 40), ("State", 80), ("PostalCode", 20), ("Country", 80))
    kinds = {"Street": "textarea"}
    return tuple(_text(prefix + part, f"{label}{part}", length, kinds.get(part, "string")) for part, length in parts)


def _system(object_name: str) -> tuple[Field, ...]:
    return (
        Field("Id", f"{object_name} ID", "id", length=18, is_writable=False, is_id_lookup=True),
        Field("IsDeleted", "Deleted", "boolean", is_required=True, default=False, is_writable=False),
        _reference("OwnerId", "Owner ID", "User", "Owner"),
        Field("CreatedDate", "Created Date", "datetime", is_required=True, is_writable=False),
        _reference("CreatedById", "Created By ID", "User", "CreatedBy", is_writable=False),
        Field("LastModifiedDate", "Last Modified Date", "datetime", is_required=True, is_writable=False),
        _reference("LastModifiedById", "Last Modified By ID", "User", "LastModifiedBy", is_writable=False),
        Field("SystemModstamp", "System Modstamp", "datetime", is_required=True, is_writable=False),
        Field("LastActivityDate", "Last Activity", "date", is_writable=False),
        Field("Morket_Id__c", "Morket ID", length=64, is_unique=True, is_external_id=True),
        _text("LinkedIn_URL__c", "LinkedIn URL", 255, "url"),
    )


def _person(email_label: str = "Email") -> tuple[Field, ...]:
    return (
        _picklist("Salutation", "Salutation", SALUTATIONS),
        _text("FirstName", "First Name", 40),
        _text("LastName", "Last Name", 80, is_required=True),
        Field("Name", "Full Name", length=121, is_writable=False, is_required=True),
        _text("Title", "Title", 128),
        Field("Email", email_label, "email", length=80, is_id_lookup=True),
        _text("Phone", "Phone", 40, "phone"),
        _text("MobilePhone", "Mobile Phone", 40, "phone"),
        _text("Fax", "Fax", 40, "phone"),
        _text("Description", "Description", 32_000, "textarea"),
        _picklist("LeadSource", "Lead Source", LEAD_SOURCES),
        _flag("HasOptedOutOfEmail", "Email Opt Out"),
        _flag("DoNotCall", "Do Not Call"),
    )


LEAD = ObjectType(
    "Lead",
    "Lead",
    "Leads",
    PREFIXES["Lead"],
    (
        *_system("Lead"),
        *_person(),
        _text("Company", "Company", 255, is_required=True),
        *_address(""),
        _text("Website", "Website", 255, "url"),
        _picklist("Status", "Lead Status", LEAD_STATUSES, default="Open - Not Contacted"),
        _picklist("Industry", "Industry", INDUSTRIES),
        _picklist("Rating", "Rating", RATINGS, is_restricted=True),
        _currency("AnnualRevenue", "Annual Revenue"),
        _int("NumberOfEmployees", "Employees"),
        _flag("IsConverted", "Converted", is_writable=False),
        Field("ConvertedDate", "Converted Date", "date", is_writable=False),
    ),
)
CONTACT = ObjectType(
    "Contact",
    "Contact",
    "Contacts",
    PREFIXES["Contact"],
    (
        *_system("Contact"),
        *_person(),
        _reference("AccountId", "Account ID", "Account", "Account"),
        _text("Department", "Department", 80),
        _text("HomePhone", "Home Phone", 40, "phone"),
        Field("Birthdate", "Birthdate", "date"),
        *_address("Mailing", "Mailing "),
        *_address("Other", "Other "),
    ),
)
ACCOUNT = ObjectType(
    "Account",
    "Account",
    "Accounts",
    PREFIXES["Account"],
    (
        *_system("Account"),
        _text("Name", "Account Name", 255, is_required=True),
        _picklist("Type", "Account Type", ACCOUNT_TYPES),
        _reference("ParentId", "Parent Account ID", "Account", "Parent"),
        *_address("Billing", "Billing "),
        *_address("Shipping", "Shipping "),
        _text("Phone", "Account Phone", 40, "phone"),
        _text("Fax", "Account Fax", 40, "phone"),
        _text("AccountNumber", "Account Number", 40),
        _text("Website", "Website", 255, "url"),
        _text("Sic", "SIC Code", 20),
        _picklist("Industry", "Industry", INDUSTRIES),
        _currency("AnnualRevenue", "Annual Revenue"),
        _int("NumberOfEmployees", "Employees"),
        _picklist("Ownership", "Ownership", OWNERSHIPS, is_restricted=True),
        _text("TickerSymbol", "Ticker Symbol", 20),
        _text("Description", "Account Description", 32_000, "textarea"),
        _picklist("Rating", "Account Rating", RATINGS, is_restricted=True),
        _picklist("AccountSource", "Account Source", LEAD_SOURCES),
        _text("Site", "Account Site", 80),
    ),
)
USER = ObjectType(
    "User",
    "User",
    "Users",
    PREFIXES["User"],
    (
        Field("Id", "User ID", "id", length=18, is_writable=False, is_id_lookup=True),
        Field("Username", "Username", length=80, is_writable=False, is_id_lookup=True),
        Field("Name", "Full Name", length=121, is_writable=False),
        Field("Email", "Email", "email", length=128, is_writable=False),
        Field("IsActive", "Active", "boolean", is_writable=False),
    ),
    is_writable=False,
)
ORGANIZATION = ObjectType(
    "Organization",
    "Organization",
    "Organizations",
    PREFIXES["Organization"],
    (
        Field("Id", "Organization ID", "id", length=18, is_writable=False, is_id_lookup=True),
        Field("Name", "Name", length=80, is_writable=False),
        Field("InstanceName", "Instance Name", length=5, is_writable=False),
        Field("IsSandbox", "Is Sandbox", "boolean", is_writable=False),
    ),
    is_writable=False,
)
OBJECTS = {kind.name: kind for kind in (ACCOUNT, CONTACT, LEAD, USER, ORGANIZATION)}


def object_type(name: str, *, with_state_codes: bool = False) -> ObjectType | None:
    """Find an sObject by its name in any case.

    With ``with_state_codes`` its addresses carry StateCode and CountryCode too, as in an org with State and Country
    picklists.
    """
    kind = next((kind for key, kind in OBJECTS.items() if key.lower() == name.lower()), None)
    if kind is None or not with_state_codes:
        return kind
    prefixes = [entry.name.removesuffix("PostalCode") for entry in kind.field_list if entry.name.endswith("PostalCode")]
    codes = (
        _picklist(f"{prefix}{part}Code", f"{prefix}{part} Code", tuple(values.values()), is_restricted=True)
        for prefix in prefixes
        for part, values in (("State", STATES), ("Country", COUNTRIES))
    )
    return kind.with_fields(codes)
