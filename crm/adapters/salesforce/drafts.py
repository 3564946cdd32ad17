"""A record on its way to Salesforce: mapped, checked against the live fields, with its match value. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from crm.adapters.outcome import own_failure
from crm.adapters.salesforce.checks import CheckedValues
from crm.adapters.salesforce.describe import ObjectFields
from crm.adapters.salesforce.errors import RECORD_ERRORS
from crm.adapters.salesforce.field_plan import FieldPlan
from crm.adapters.salesforce.soql import is_record_id
from crm.adapters.salesforce.values import is_same
from crm.errors import CommandRefused
from crm.mapping import MappedRecord, map_record
from crm.matching import CRM_PREFIX, MatchKind, kind_of, long_id, match_value, morket_match_field, normalise
from crm.model import CrmRecord, FieldDescription, FieldMapping
from crm.write_policy import allowed_on_update, needs_current_values
from schemas.command import WritePolicy
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


# Not frozen, though nothing changes it: a frozen one takes three times as long to make.
@dataclass(slots=True, eq=False)
class Draft:
    """One record, ready to be written or known not to be.

    Attributes:
        values: Salesforce field -> JSON value; null empties the field.
        defaults: The same, for new records only.
        policies: Salesforce field -> write policy, for every field in `values`, and none where there are no values;
            where all have one policy, records share the plan's, which names further fields.
    """

    record: CrmRecord
    match_value: str | None = None
    values: Mapping[str, FieldValue] = field(default_factory=dict)
    defaults: Mapping[str, FieldValue] = field(default_factory=dict)
    policies: Mapping[str, WritePolicy] = field(default_factory=dict)
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


def draft(record: CrmRecord, plan: FieldPlan, rule: MatchRule | None) -> Draft:
    """Map a record and check each value: unknown and read-only fields are left out with a warning."""
    mapped = map_record(record, plan.mapping)
    checked = CheckedValues(mapped, plan)
    checked.add_all(mapped.values)
    for name in mapped.clear:
        checked.clear(name)
    if plan.has_dependent_values:
        checked.settle()
    errors = mapped.errors
    if checked.errors or record.crm_id is not None:
        errors = (*errors, *checked.errors, *id_errors(record))
    return Draft(
        record=record,
        match_value=rule.value_of(record) if rule else None,
        values=checked.values,
        defaults=_defaults(mapped, plan, checked) if mapped.defaults else {},
        policies=_policies(mapped, checked, plan),
        morket_field_of=checked.morket_field_of,
        errors=errors,
        warnings=(*mapped.warnings, *checked.warnings) if checked.warnings else mapped.warnings,
    )


def missing_on_create(item: Draft, fields: ObjectFields) -> tuple[Failure, ...]:
    """One failure for each required field that a new record would lack."""
    given = {name for name, value in {**item.defaults, **item.values}.items() if value is not None}
    filled = given | {fields.reference_of[name] for name in given if name in fields.reference_of}
    missing = [known for known in fields.by_name.values() if known.required and known.name not in filled]
    return tuple(_missing(known, item.morket_field_of, fields) for known in missing)


def body_for_create(item: Draft, fields: ObjectFields) -> dict[str, FieldValue]:
    """The fields of a new record."""
    return {
        name: value
        for name, value in {**item.defaults, **item.values}.items()
        if value is not None and _is(fields, name, "createable")
    }


def body_for_upsert(item: Draft, fields: ObjectFields) -> dict[str, FieldValue]:
    """The fields of a record that may be new or not: without those that may be set only once."""
    return _updateable(item, fields)


@dataclass(frozen=True, slots=True)
class Change:
    """What an update sends, and what it leaves alone and says so."""

    body: Mapping[str, FieldValue]
    warnings: tuple[OutcomeWarning, ...] = ()


def change_for(item: Draft, fields: ObjectFields, held: Mapping[str, object] | None) -> Change:
    """The change of a record that exists; an empty body where it already is as it should be.

    Args:
        item: Of the record.
        fields: Of its object.
        held: What Salesforce holds; None where that was not asked: then every field is written or not by its policy.
    """
    body, kept = allowed_on_update(_updateable(item, fields), item.policies, held or {})
    if held is not None and all(_holds(fields, name, value, held) for name, value in body.items()):
        body = {}
    names = [name for name in kept if item.policies[name] == "fill_if_empty"]
    differing = [name for name in names if not _holds(fields, name, item.values[name], held or {})]
    return Change(body, tuple(_kept(item, name) for name in differing))


def needs_held(item: Draft, fields: ObjectFields) -> bool:
    """True when an update cannot be decided without what Salesforce holds now.

    Its values may ask for that; and with no field to send, nothing else tells whether the record is there.
    """
    return needs_current_values(item.policies) or not change_for(item, fields, None).body


def with_id(item: Draft, crm_id: str | None) -> Draft:
    """The draft, its record now known as `crm_id`, an id that Salesforce gave."""
    return replace(item, record=replace(item.record, crm_id=crm_id))


def _defaults(mapped: MappedRecord, plan: FieldPlan, checked: CheckedValues) -> dict[str, FieldValue]:
    defaults = CheckedValues(mapped, plan)
    defaults.add_all(mapped.defaults)
    defaults.settle()
    return {name: value for name, value in defaults.values.items() if name not in checked.values}


def _policies(mapped: MappedRecord, checked: CheckedValues, plan: FieldPlan) -> Mapping[str, WritePolicy]:
    """Salesforce field -> policy, for the fields that are there; the first mapping of a field counts."""
    if plan.mapping.policy:
        return plan.policies if checked.values else {}
    policies: dict[str, WritePolicy] = {}
    reference_of = plan.fields.reference_of
    for name in (*mapped.values, *mapped.clear):
        known = plan.targets[name].name
        policies.setdefault(known, mapped.policies[name])
        if known in reference_of:
            policies.setdefault(reference_of[known], mapped.policies[name])
    return {name: policies[name] for name in checked.values}


def id_errors(record: CrmRecord) -> tuple[Failure, ...]:
    """Why `crm_id` cannot be the id of a record; empty when it can, or when there is none."""
    if record.crm_id is None or is_record_id(record.crm_id):
        return ()
    return (own_failure("record_gone", f"{record.crm_id} is not the id of a Salesforce record", field="crm_id"),)


def _missing(known: FieldDescription, morket_field_of: Mapping[str, str], fields: ObjectFields) -> Failure:
    error = RECORD_ERRORS["REQUIRED_FIELD_MISSING"]
    names = [known.name, *(path for path, reference in fields.reference_of.items() if reference == known.name)]
    return Failure(
        code=error.code,
        category=error.category,
        message=f"a new {fields.name} needs {known.label}",
        hint=error.hint,
        field=next((morket_field_of[name] for name in names if name in morket_field_of), None),
        crm_field=known.name,
    )


def _crm_field_of(morket_field: str, mappings: Sequence[FieldMapping]) -> str | None:
    names = _DOMAIN_FIELDS if morket_field in _DOMAIN_FIELDS else (morket_field,)
    ordered = sorted(names, key=lambda name: name != morket_field)
    found = (mapping.crm_field for name in ordered for mapping in mappings if mapping.morket_field == name)
    return next(found, None)


def _updateable(item: Draft, fields: ObjectFields) -> dict[str, FieldValue]:
    return {name: value for name, value in item.values.items() if _is(fields, name, "updateable")}


def _holds(fields: ObjectFields, name: str, wanted: FieldValue, held: Mapping[str, object]) -> bool:
    known = fields.find(name)
    return known is not None and is_same(known, wanted, held.get(name))


def _kept(item: Draft, name: str) -> OutcomeWarning:
    message = f"{name} holds a value already, and the write policy is fill_if_empty; it was kept"
    return OutcomeWarning(
        code="kept_existing_value", field=item.morket_field_of.get(name), crm_field=name, message=message
    )


def _is(fields: ObjectFields, name: str, right: str) -> bool:
    known = fields.find(name)
    return known is not None and bool(getattr(known, right))
