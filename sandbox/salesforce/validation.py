"""The rules about one record's values: required, length, e-mail, picklist, references, and the admin's own rules."""

import re
from collections.abc import Iterator

from sandbox.salesforce.catalog import COUNTRIES, STATES
from sandbox.salesforce.errors import RecordError
from sandbox.salesforce.ids import to_18
from sandbox.salesforce.schema import Field, ObjectType
from sandbox.salesforce.store import Org, Record
from sandbox.switches import SalesforceSwitches

_EMAIL = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]+@[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?(?:\.[A-Za-z0-9-]+)+\Z")
_NOT_WRITABLE = (
    "Unable to create/update fields: {}. Please check the security settings of this field and verify that it is "
    "read/write for your profile or permission set."
)
_FORBIDDEN_WORD = "forbidden"


def value_errors(
    kind: ObjectType, changes: Record, before: Record | None, org: Org, switches: SalesforceSwitches
) -> list[RecordError]:
    """Return every rule that writing ``changes`` over ``before`` (``None`` on create) would break."""
    errors = list(_not_writable(kind, changes))
    errors += _missing(kind, changes, before)
    for name, value in changes.items():
        if value is not None:
            errors += _field_errors(kind.fields[name], value, org)
    errors += _unique_errors(kind, changes, before, org)
    merged = {**(before or {}), **changes}
    if switches.state_country_picklists:
        errors += _address_errors(changes, merged)
    if switches.validation_rule and _FORBIDDEN_WORD in str(merged.get("Description") or "").lower():
        message = "The description must not contain this word. Ask your Salesforce administrator."
        errors.append(RecordError("FIELD_CUSTOM_VALIDATION_EXCEPTION", message, ("Description",)))
    return errors


def _not_writable(kind: ObjectType, changes: Record) -> Iterator[RecordError]:
    names = tuple(name for name in changes if not kind.fields[name].is_writable)
    if names:
        yield RecordError("INVALID_FIELD_FOR_INSERT_UPDATE", _NOT_WRITABLE.format(", ".join(names)), names)


def _missing(kind: ObjectType, changes: Record, before: Record | None) -> Iterator[RecordError]:
    required = [entry for entry in kind.field_list if entry.is_required and entry.is_writable]
    absent = [
        entry.name
        for entry in required
        if (entry.name in changes and changes[entry.name] is None)
        or (before is None and entry.default is None and changes.get(entry.name) is None)
    ]
    if absent:
        listed = ", ".join(absent)
        yield RecordError("REQUIRED_FIELD_MISSING", f"Required fields are missing: [{listed}]", tuple(absent))


def _field_errors(known: Field, value: object, org: Org) -> Iterator[RecordError]:
    name = known.name
    if known.type == "reference":
        yield from _reference_errors(known, str(value), org)
    elif known.type == "int" and len(str(abs(int(str(value))))) > known.digits:
        message = f"{known.label}: value outside of valid range on numeric field: {value}"
        yield RecordError("NUMBER_OUTSIDE_VALID_RANGE", message, (name,))
    elif isinstance(value, str) and known.length and len(value) > known.length:
        message = f"{known.label}: data value too large: {value} (max length={known.length})"
        yield RecordError("STRING_TOO_LONG", message, (name,))
    elif known.type == "email" and not _EMAIL.match(str(value)):
        yield RecordError("INVALID_EMAIL_ADDRESS", f"{known.label}: invalid email address: {value}", (name,))
    elif known.is_restricted and value not in known.picklist:
        message = f"{known.label}: bad value for restricted picklist field: {value}"
        yield RecordError("INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST", message, (name,))


def _reference_errors(known: Field, value: str, org: Org) -> Iterator[RecordError]:
    record_id = to_18(value)
    if record_id is None:
        yield RecordError("MALFORMED_ID", f"{known.label}: id value of incorrect type: {value}", (known.name,))
        return
    target = org.get(known.reference_to[0], record_id)
    if target is None or target.get("IsDeleted"):
        yield RecordError("INVALID_CROSS_REFERENCE_KEY", "invalid cross reference id", (known.name,))


def _unique_errors(kind: ObjectType, changes: Record, before: Record | None, org: Org) -> Iterator[RecordError]:
    own_id = (before or {}).get("Id")
    for name, value in changes.items():
        if value is None or not kind.fields[name].is_unique:
            continue
        for other in org.find(kind.name, name, value):
            if other["Id"] != own_id and not other["IsDeleted"]:
                message = f"duplicate value found: {name} duplicates value on record with id: {other['Id']}"
                yield RecordError("DUPLICATE_VALUE", message, (name,))


def _address_errors(changes: Record, merged: Record) -> Iterator[RecordError]:
    """Apply the State and Country picklists: full names only, a state needs its country."""
    for name, value in changes.items():
        if value is None or not name.endswith(("State", "Country")):
            continue
        names = STATES if name.endswith("State") else COUNTRIES
        part = "state" if name.endswith("State") else "country"
        if value not in names:
            message = f"There's a problem with this {part}, even though it may appear correct. Please select a {part}."
            yield RecordError("FIELD_INTEGRITY_EXCEPTION", message, (name,))
        elif part == "state" and not merged.get(name.removesuffix("State") + "Country"):
            message = "A country/territory must be specified before specifying a state value for field: " + name
            yield RecordError("FIELD_INTEGRITY_EXCEPTION", message, (name,))
