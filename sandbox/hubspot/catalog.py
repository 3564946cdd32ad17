"""The object types of a fresh portal, with property lists as real portals have them, plus a unique ``morket_id``."""

from sandbox.hubspot.schema import ObjectType, Property

_COMPANY_INDUSTRIES = (
    "ACCOUNTING", "AIRLINES_AVIATION", "APPAREL_FASHION", "ARCHITECTURE_PLANNING", "AUTOMOTIVE", "AVIATION_AEROSPACE",
    "BANKING", "BIOTECHNOLOGY", "BROADCAST_MEDIA", "BUILDING_MATERIALS", "CHEMICALS", "CIVIL_ENGINEERING",
    "COMPUTER_GAMES", "COMPUTER_HARDWARE", "COMPUTER_NETWORKING", "COMPUTER_NETWORK_SECURITY", "COMPUTER_SOFTWARE",
    "CONSTRUCTION", "CONSUMER_ELECTRONICS", "CONSUMER_GOODS", "COSMETICS", "DAIRY", "DESIGN", "EDUCATION_MANAGEMENT",
    "E_LEARNING", "ELECTRICAL_ELECTRONIC_MANUFACTURING", "ENTERTAINMENT", "ENVIRONMENTAL_SERVICES", "FARMING",
    "FINANCIAL_SERVICES", "FOOD_BEVERAGES", "FOOD_PRODUCTION", "FURNITURE", "GOVERNMENT_ADMINISTRATION",
    "HEALTH_WELLNESS_AND_FITNESS", "HIGHER_EDUCATION", "HOSPITAL_HEALTH_CARE", "HOSPITALITY", "HUMAN_RESOURCES",
    "INDUSTRIAL_AUTOMATION", "INFORMATION_SERVICES", "INFORMATION_TECHNOLOGY_AND_SERVICES", "INSURANCE", "INTERNET",
    "INVESTMENT_BANKING", "INVESTMENT_MANAGEMENT", "LAW_PRACTICE", "LEGAL_SERVICES", "LEISURE_TRAVEL_TOURISM",
    "LOGISTICS_AND_SUPPLY_CHAIN", "MACHINERY", "MANAGEMENT_CONSULTING", "MARITIME", "MARKETING_AND_ADVERTISING",
    "MECHANICAL_OR_INDUSTRIAL_ENGINEERING", "MEDICAL_DEVICES", "MEDICAL_PRACTICE", "MINING_METALS",
    "NON_PROFIT_ORGANIZATION_MANAGEMENT", "OIL_ENERGY", "ONLINE_MEDIA", "OUTSOURCING_OFFSHORING",
    "PACKAGING_AND_CONTAINERS",
    "PAPER_FOREST_PRODUCTS", "PHARMACEUTICALS", "PLASTICS", "PRINTING", "PROFESSIONAL_TRAINING_COACHING", "PUBLISHING",
    "REAL_ESTATE", "RENEWABLES_ENVIRONMENT", "RESEARCH", "RESTAURANTS", "RETAIL", "SECURITY_AND_INVESTIGATIONS",
    "SEMICONDUCTORS", "SHIPBUILDING", "SPORTING_GOODS", "STAFFING_AND_RECRUITING", "SUPERMARKETS", "TELECOMMUNICATIONS",
    "TEXTILES", "TRANSPORTATION_TRUCKING_RAILROAD", "UTILITIES", "VENTURE_CAPITAL_PRIVATE_EQUITY", "WAREHOUSING",
    "WHOLESALE", "WIRELESS", "WRITING_AND_EDITING",
)  # fmt: skip
LIFECYCLE_STAGES = (
    "subscriber", "lead", "marketingqualifiedlead", "salesqualifiedlead", "opportunity", "customer", "evangelist",
    "other",
)  # fmt: skip
_LEAD_STATUSES = (
    "NEW", "OPEN", "IN_PROGRESS", "OPEN_DEAL", "UNQUALIFIED", "ATTEMPTED_TO_CONTACT", "CONNECTED", "BAD_TIMING",
)  # fmt: skip
_EMPLOYEE_BANDS = ("1-5", "5-25", "25-50", "50-100", "100-500", "500-1000", "1000+")
_COMPANY_TYPES = ("PROSPECT", "PARTNER", "RESELLER", "VENDOR", "OTHER")
_DEAL_STAGES = (
    "appointmentscheduled", "qualifiedtobuy", "presentationscheduled", "decisionmakerboughtin", "contractsent",
    "closedwon", "closedlost",
)  # fmt: skip
_SOURCES = (
    "ORGANIC_SEARCH",
    "PAID_SEARCH",
    "EMAIL_MARKETING",
    "SOCIAL_MEDIA",
    "REFERRALS",
    "DIRECT_TRAFFIC",
    "OFFLINE",
)


def _text(name: str, label: str, field_type: str = "text") -> Property:
    return Property(name, label, field_type=field_type)


def _number(name: str, label: str) -> Property:
    return Property(name, label, "number", "number")


def _choice(name: str, label: str, values: tuple[str, ...], *, field_type: str = "select") -> Property:
    options = tuple((value, value.replace("_", " ").capitalize()) for value in values)
    return Property(name, label, "enumeration", field_type, options)


def _computed(name: str, label: str, kind: str = "string", field_type: str = "text") -> Property:
    return Property(name, label, kind, field_type, is_read_only=True)


def _shared(modified_property: str) -> tuple[Property, ...]:
    return (
        _computed("hs_object_id", "Record ID", "number", "number"),
        _computed("createdate", "Create Date", "datetime", "date"),
        _computed(modified_property, "Last Modified Date", "datetime", "date"),
        Property("hubspot_owner_id", "Owner", "string", "text"),
        Property("morket_id", "Morket ID", is_unique=True, is_custom=True),
    )


def _address() -> tuple[Property, ...]:
    return (
        _text("address", "Street Address"),
        _text("city", "City"),
        _text("state", "State/Region"),
        _text("zip", "Postal Code"),
        _text("country", "Country/Region"),
    )


CONTACTS = ObjectType(
    "contacts",
    "contact",
    "0-1",
    (
        *_shared("lastmodifieddate"),
        _text("email", "Email"),
        _text("firstname", "First Name"),
        _text("lastname", "Last Name"),
        _text("salutation", "Salutation"),
        _text("jobtitle", "Job Title"),
        _text("phone", "Phone Number", "phonenumber"),
        _text("mobilephone", "Mobile Phone Number", "phonenumber"),
        _text("fax", "Fax Number"),
        _text("hs_linkedin_url", "LinkedIn URL"),
        _text("company", "Company Name"),
        _text("website", "Website URL"),
        _text("industry", "Industry"),
        _text("company_size", "Company size"),
        _text("annualrevenue", "Annual Revenue"),
        *_address(),
        _text("message", "Message", "textarea"),
        _text("date_of_birth", "Date of birth"),
        _choice("numemployees", "Number of Employees", _EMPLOYEE_BANDS),
        _choice("lifecyclestage", "Lifecycle Stage", LIFECYCLE_STAGES, field_type="radio"),
        _choice("hs_lead_status", "Lead Status", _LEAD_STATUSES, field_type="radio"),
        _choice("hs_buying_role", "Buying Role", ("BLOCKER", "BUDGET_HOLDER", "CHAMPION"), field_type="checkbox"),
        Property("hs_email_optout", "Unsubscribed from all email", "bool", "booleancheckbox", is_read_only=True),
        Property(
            "hs_analytics_source",
            "Original Source",
            "enumeration",
            "select",
            tuple((value, value.replace("_", " ").capitalize()) for value in _SOURCES),
            is_read_only=True,
        ),
        Property("hs_email_domain", "Email Domain", is_calculated=True),
        Property("closedate", "Close Date", "datetime", "date"),
    ),
    ("createdate", "email", "firstname", "hs_object_id", "lastmodifieddate", "lastname"),
    ("email", "firstname", "lastname"),
    "lastmodifieddate",
    ("email",),
)
COMPANIES = ObjectType(
    "companies",
    "company",
    "0-2",
    (
        *_shared("hs_lastmodifieddate"),
        _text("name", "Company name"),
        _text("domain", "Company Domain Name"),
        _text("website", "Website URL"),
        _text("phone", "Phone Number", "phonenumber"),
        _text("linkedin_company_page", "LinkedIn Company Page"),
        _text("twitterhandle", "Twitter Handle"),
        _choice("industry", "Industry", _COMPANY_INDUSTRIES),
        _number("numberofemployees", "Number of Employees"),
        _number("annualrevenue", "Annual Revenue"),
        *_address(),
        _text("address2", "Street Address 2"),
        _text("timezone", "Time Zone"),
        _text("description", "Description", "textarea"),
        _text("founded_year", "Year Founded"),
        Property("is_public", "Is Public", "bool", "booleancheckbox", options=(("true", "Yes"), ("false", "No"))),
        _choice("type", "Type", _COMPANY_TYPES, field_type="radio"),
        _choice("lifecyclestage", "Lifecycle Stage", LIFECYCLE_STAGES, field_type="radio"),
    ),
    ("createdate", "domain", "hs_lastmodifieddate", "hs_object_id", "name"),
    ("name", "domain"),
    "hs_lastmodifieddate",
)
DEALS = ObjectType(
    "deals",
    "deal",
    "0-3",
    (
        *_shared("hs_lastmodifieddate"),
        _text("dealname", "Deal Name"),
        _number("amount", "Amount"),
        Property("closedate", "Close Date", "datetime", "date"),
        _choice("pipeline", "Pipeline", ("default",)),
        _choice("dealstage", "Deal Stage", _DEAL_STAGES, field_type="radio"),
        _choice("dealtype", "Deal Type", ("newbusiness", "existingbusiness"), field_type="radio"),
        _text("description", "Deal Description", "textarea"),
    ),
    ("amount", "closedate", "createdate", "dealname", "dealstage", "hs_lastmodifieddate", "hs_object_id", "pipeline"),
    ("dealname",),
    "hs_lastmodifieddate",
)
OBJECTS = (CONTACTS, COMPANIES, DEALS)


def object_type(name: str) -> ObjectType | None:
    """Find an object type by its plural, its singular or its id."""
    return next((kind for kind in OBJECTS if name in {kind.name, kind.singular, kind.type_id}), None)
