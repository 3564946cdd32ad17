"""A record on its way to Salesforce: mapped, checked against the live fields, with its match value. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from crm.adapters.outcome import own_failure
from crm.adapters.salesforce.describe import ObjectFields
from crm.adapters.salesforce.errors import RECORD_ERRORS
from crm.adapters.salesforce.soql import is_record_id
from crm.adapters.salesforce.values import Unfit, is_same, to_wire
from crm.errors import CommandRefused
from crm.mapping import MappedRecord, map_record
from crm.matching import CRM_PREFIX, MatchKind, kind_of, long_id, match_value, morket_match_field, normalise
from crm.model import CrmRecord, FieldDescription, FieldMapping
from schemas.failure import FailureCategory
from schemas.result import Failure, OutcomeWarning
from schemas.values import FieldValue

_DOMAIN_FIELDS = ("company_domain", "website")


@dataclass(frozen=True, slots=True)
class MatchRule:
    """How records of a push are matched: by which Morket field, in which Salesforce field, how it is spelled."""

    morket_field: str
    crm_field: FieldDescription
    kind: MatchKind

    def value_of(self, record: CrmRecord) -> str | None:
        """The normalised key of a record."""
        return match_value(record, self.morket_field)

    def normalise(self, held: object) -> str | None:
        """The normalised key of what Salesforce holds."""
        return normalise(self.kind, held)


@dataclass(frozen=True, slots=True, eq=False)
class Draft:
    """One record, ready to be written or known not to be.

    Attributes:
        values: Salesforce field -> JSON value; null empties the field.
        defaults: The same, for new records only.
    """

    record: CrmRecord
    match_value: str | None = None
    values: Mapping[str, FieldValue] = field(default_factory=dict)
    defaults: Mapping[str, FieldValue] = field(default_factory=dict)
    morket_field_of: Mapping[str, str] = field(default_factory=dict)
    errors: tuple[Failure, ...] = ()
    warnings: tuple[OutcomeWarning, ...] = ()

    @property
    def index(self) -> int:
        """The record's place in the command."""
        return self.record.index

    @property
    def ref(self) -> str | None:
        """The publisher's own id of the record."""
        return self.record.ref

    @property
    def crm_id(self) -> str | None:
        """The id that the publisher gave or that a look-up found, in 18 characters."""
        return long_id(self.record.crm_id) if self.record.crm_id else None


def match_rule(match_field: str | None, mappings: Sequence[FieldMapping], fields: ObjectFields) -> MatchRule | None:
    """The rule of a push; None where neither command, mappings nor adapter name a match field.

    Raises:
        CommandRefused: code `invalid_match_field`, it is not mapped, or not a field of the object.
    """
    if match_field is None:
        return None
    morket_field = morket_match_field(match_field, mappings)
    crm_name = match_field.removeprefix(CRM_PREFIX) if match_field.startswith(CRM_PREFIX) else None
    if morket_field and crm_name is None:
        crm_name = _crm_field_of(morket_field, mappings)
    found = fields.find(crm_name) if crm_name else None
    if morket_field is None or found is None:
        raise CommandRefused(f"{match_field} is not mapped to a field of {fields.name}", code="invalid_match_field")
    return MatchRule(morket_field, found, kind_of(morket_field))


def draft(
    record: CrmRecord, mappings: Sequence[FieldMapping], fields: ObjectFields, rule: MatchRule | None, *, strict: bool
) -> Draft:
    """Map a record and check each value: unknown and read-only fields are left out with a warning."""
    mapped = map_record(record, mappings, strict=strict)
    checked = _Checked(mapped, fields)
    for name, value in mapped.values.items():
        checked.add(name, value)
    for name in mapped.clear:
        checked.clear(name)
    defaults = _Checked(mapped, fields)
    for name, value in mapped.defaults.items():
        defaults.add(name, value)
    return Draft(
        record=record,
        match_value=rule.value_of(record) if rule else None,
        values=checked.values,
        defaults={name: value for name, value in defaults.values.items() if name not in checked.values},
        morket_field_of=checked.morket_field_of,
        errors=(*mapped.errors, *checked.errors, *_id_errors(record)),
        warnings=(*mapped.warnings, *checked.warnings),
    )


def missing_on_create(item: Draft, fields: ObjectFields) -> tuple[Failure, ...]:
    """One failure for each required field that a new record would lack."""
    filled = {**item.defaults, **item.values}
    missing = [known for known in fields.by_name.values() if known.required and filled.get(known.name) is None]
    return tuple(_missing(known, item.morket_field_of, fields) for known in missing)


def body_for_create(item: Draft, fields: ObjectFields) -> dict[str, FieldValue]:
    """The fields of a new record."""
    return {
        name: value
        for name, value in {**item.defaults, **item.values}.items()
        if value is not None and _is(fields, name, "createable")
    }


def body_for_update(item: Draft, fields: ObjectFields) -> dict[str, FieldValue]:
    """The fields to change in a record that exists."""
    return {name: value for name, value in item.values.items() if _is(fields, name, "updateable")}


def is_unchanged(item: Draft, fields: ObjectFields, held: Mapping[str, object]) -> bool:
    """True when Salesforce already holds every value."""
    wanted = {name: value for name, value in item.values.items() if _is(fields, name, "updateable")}
    pairs = ((fields.find(name), value, held.get(name)) for name, value in wanted.items())
    return all(known is not None and is_same(known, value, before) for known, value, before in pairs)


def with_id(item: Draft, crm_id: str | None) -> CrmRecord:
    """The draft's record, now known (or no longer known) as `crm_id`."""
    return replace(item.record, crm_id=crm_id)


class _Checked:
    """The values of one record as they pass the checks."""

    def __init__(self, mapped: MappedRecord, fields: ObjectFields) -> None:
        self._mapped = mapped
        self._fields = fields
        self.values: dict[str, FieldValue] = {}
        self.morket_field_of = {_canonical(fields, name): of for name, of in mapped.morket_field_of.items()}
        self.errors: list[Failure] = []
        self.warnings: list[OutcomeWarning] = []

    def add(self, name: str, value: FieldValue) -> None:
        """Take a value, a warning instead of it, or an error."""
        known = self._writable(name)
        if known is None:
            return
        try:
            self.values[known.name] = to_wire(known, _country_name(known, self._fields, value))
        except Unfit as unfit:
            failure = Failure(
                code=unfit.code,
                category=FailureCategory.BAD_DATA,
                message=str(unfit),
                hint=unfit.hint,
                field=self._mapped.morket_field_of.get(name),
                crm_field=known.name,
            )
            self.errors.append(failure)

    def clear(self, name: str) -> None:
        """Take a field to empty."""
        known = self._writable(name)
        if known is not None:
            self.values[known.name] = None

    def _writable(self, name: str) -> FieldDescription | None:
        known = self._fields.find(name)
        if known is not None and (known.createable or known.updateable):
            return known
        code, why = ("unknown_field", "does not exist in") if known is None else ("read_only_field", "is read-only in")
        message = f"{name} {why} {self._fields.name} or is hidden from the connected user; it was left out"
        field = self._mapped.morket_field_of.get(name)
        self.warnings.append(OutcomeWarning(code=code, field=field, crm_field=name, message=message))
        return None


def _country_name(known: FieldDescription, fields: ObjectFields, value: FieldValue) -> FieldValue:
    """The name of a country that was given as its code, in an org whose countries are a picklist: it takes names only.

    Source: help.salesforce.com, "State and Country/Territory Picklists". States are left alone: their codes repeat.
    """
    codes = fields.find(f"{known.name}Code") if known.name.endswith("Country") else None
    if codes is None or not isinstance(value, str):
        return value
    names = {spelling.casefold(): label for code, label in codes.options for spelling in (code, label)}
    return names.get(value.casefold(), value)


def _id_errors(record: CrmRecord) -> tuple[Failure, ...]:
    if record.crm_id is None or is_record_id(record.crm_id):
        return ()
    return (own_failure("record_gone", f"{record.crm_id} is not the id of a Salesforce record", field="crm_id"),)


def _missing(known: FieldDescription, morket_field_of: Mapping[str, str], fields: ObjectFields) -> Failure:
    error = RECORD_ERRORS["REQUIRED_FIELD_MISSING"]
    return Failure(
        code=error.code,
        category=error.category,
        message=f"a new {fields.name} needs {known.label}",
        hint=error.hint,
        field=morket_field_of.get(known.name),
        crm_field=known.name,
    )


def _crm_field_of(morket_field: str, mappings: Sequence[FieldMapping]) -> str | None:
    names = _DOMAIN_FIELDS if morket_field in _DOMAIN_FIELDS else (morket_field,)
    ordered = sorted(names, key=lambda name: name != morket_field)
    found = (mapping.crm_field for name in ordered for mapping in mappings if mapping.morket_field == name)
    return next(found, None)


def _canonical(fields: ObjectFields, name: str) -> str:
    known = fields.find(name)
    return known.name if known else name


def _is(fields: ObjectFields, name: str, right: str) -> bool:
    known = fields.find(name)
    return known is not None and bool(getattr(known, right))
