"""The small shared shapes of the contracts: strict models, identifiers, field values."""

import re
from datetime import UTC, datetime
from typing import Annotated, Final
from uuid import UUID

from pydantic import AfterValidator, AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints

#: What the patterns mean in words stands in `schemas.problems`.
SLUG_PATTERN: Final = r"^[a-z][a-z0-9_-]{0,49}$"
COMMAND_ID_PATTERN: Final = r"^[\x21-\x7e]([\x20-\x7e]{0,126}[\x21-\x7e])?$"
REF_PATTERN: Final = r"^[^\x00-\x1f\x7f]{1,200}$"
ENTITY_PATTERN: Final = r"^[A-Za-z0-9][A-Za-z0-9_-]{0,99}$"
MORKET_FIELD_PATTERN: Final = r"^[A-Za-z][A-Za-z0-9_]{0,99}$"
MATCH_FIELD_PATTERN: Final = r"^(crm:)?[A-Za-z][A-Za-z0-9_]{0,99}$"
CRM_ID_PATTERN: Final = r"^[A-Za-z0-9]{1,40}$"

#: RFC 9562 section 4; the hyphenated form only, in either case.
UUID_PATTERN: Final = r"^[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}$"
#: RFC 3339 section 5.6, `date-time`.
INSTANT_PATTERN: Final = (
    r"^[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt][0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,9})?([Zz]|[+-][0-9]{2}:[0-9]{2})$"
)

#: The slug of a CRM, as the registry lists it: lower-case letters, digits, `_` and `-`, at most 50.
IntegrationSlug = Annotated[str, StringConstraints(pattern=SLUG_PATTERN)]

#: An id that the publisher chose: printable, no spaces at the ends, 1 to 128 characters.
CommandId = Annotated[str, StringConstraints(pattern=COMMAND_ID_PATTERN)]

#: The publisher's own id of a record, echoed in its outcome: no control characters, at most 200.
RecordRef = Annotated[str, StringConstraints(pattern=REF_PATTERN)]

#: `person`, `company`, or the CRM's own object name (custom objects included).
EntityName = Annotated[str, StringConstraints(pattern=ENTITY_PATTERN)]

#: A Morket field name: at most 100 characters.
MorketField = Annotated[str, StringConstraints(pattern=MORKET_FIELD_PATTERN)]

#: A Morket field to match on, or `crm:` and the CRM's own unique field.
MatchField = Annotated[str, StringConstraints(pattern=MATCH_FIELD_PATTERN)]

#: The CRM's id of a record.
CrmId = Annotated[str, StringConstraints(pattern=CRM_ID_PATTERN)]

# A length of 0 or more refuses nothing but lone surrogates: text that no JSON in UTF-8 can hold (RFC 8259 section 8.1).
_Text = Annotated[str, StringConstraints(min_length=0)]

#: The value of one field. Absent, null, "" and blanks leave the CRM's value alone; 0 and false are values.
FieldValue = _Text | bool | int | float | list[_Text] | None


def _uuid_form(value: object) -> object:
    """Let the hyphenated string form through; what the UUID class also reads (braces, URNs, bytes) is refused."""
    if isinstance(value, UUID) or (isinstance(value, str) and re.fullmatch(UUID_PATTERN, value)):
        return value
    raise ValueError("must be a UUID in its hyphenated form of 36 characters")


def _instant_form(value: object) -> object:
    """Let RFC 3339 strings through; numbers and times without an offset would be guesses."""
    if isinstance(value, datetime) or (isinstance(value, str) and re.fullmatch(INSTANT_PATTERN, value)):
        return value
    raise ValueError("must be an instant with its offset as in RFC 3339, such as 2026-11-22T10:00:00Z")


def _in_calendar(value: datetime) -> datetime:
    """Refuse instants whose UTC form lies outside the years 1 to 9999: nothing later could compare or store them."""
    try:
        value.astimezone(UTC)
    except OverflowError:
        raise ValueError("must lie within the years 1 to 9999 in UTC") from None
    return value


#: JSON has no UUIDs: the string form is read, all else stays strict.
WireUuid = Annotated[
    UUID, Field(strict=False, json_schema_extra={"pattern": UUID_PATTERN}), BeforeValidator(_uuid_form)
]

#: JSON has no instants: the RFC 3339 form is read, all else stays strict.
WireInstant = Annotated[
    AwareDatetime,
    Field(strict=False, json_schema_extra={"pattern": INSTANT_PATTERN}),
    BeforeValidator(_instant_form),
    AfterValidator(_in_calendar),
]


class WireModel(BaseModel):
    """A message that we read or write: frozen, unknown fields refused, no silent conversion of types."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class ReaderModel(BaseModel):
    """A message that others read from us: frozen; its published schema allows fields that later versions add.

    Every field is always sent, so the published schema requires each: a field that is dropped later breaks the drift of
    the frozen schemas, not a reader.
    """

    model_config = ConfigDict(frozen=True, extra="ignore", json_schema_serialization_defaults_required=True)


#: A count: 0 or more.
Count = Annotated[int, Field(ge=0)]
