"""Morket's fields -> a CRM's fields and back: defaults, overrides, direction, fallbacks, value maps. Pure."""

from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

from crm.mapping_plan import NAME_PARTS, MappingPlan
from crm.matching import kind_of, normalise
from crm.model import CrmRecord, FieldMapping
from crm.names import join_full_name, split_full_name
from crm.text import is_storable
from schemas.command import WritePolicy
from schemas.failure import FailureCategory
from schemas.result import Failure, OutcomeWarning
from schemas.values import FieldValue


class MappedRecord(NamedTuple):
    """One record in the CRM's field names, ready to be checked against the live fields.

    Attributes:
        values: CRM field -> value to write.
        defaults: CRM field -> the mapping's default value, for new records only.
        clear: CRM fields to empty.
        morket_field_of: CRM field -> the Morket field that it came from.
        errors: Why the record cannot be sent; empty when it can.
        policies: CRM field -> write policy, for every field in `values` and `clear`.
    """

    values: Mapping[str, FieldValue]
    clear: tuple[str, ...]
    morket_field_of: Mapping[str, str]
    errors: tuple[Failure, ...]
    warnings: tuple[OutcomeWarning, ...]
    defaults: Mapping[str, FieldValue]
    policies: Mapping[str, WritePolicy]

    @property
    def values_for_create(self) -> dict[str, FieldValue]:
        """The values of a new record: the defaults, under the values."""
        return {**self.defaults, **self.values}


def mappings_for(defaults: Sequence[FieldMapping], overrides: Sequence[FieldMapping]) -> tuple[FieldMapping, ...]:
    """A workspace's mappings over an adapter's: an override replaces every default of its Morket field, or adds one."""
    replaced = {override.morket_field for override in overrides}
    # Overrides come first: where one names the identifier, or fills a CRM field that a default fills too, it wins.
    return (*overrides, *(mapping for mapping in defaults if mapping.morket_field not in replaced))


def map_record(record: CrmRecord, plan: MappingPlan) -> MappedRecord:
    """Translate one record for a push.

    Texts are trimmed; absent, null, empty and blank values are left out; 0 and false are values. A Morket field without
    mapping is a warning, in a strict plan an error.
    """
    fields = record.fields
    broken = [] if _are_storable(fields.values()) else [name for name in fields if not _are_storable([fields[name]])]
    if broken:
        fields = {name: value for name, value in fields.items() if name not in broken}
    values, sources = _fill(_with_name_parts(fields, plan), plan)
    clear = _clear(record.clear, plan) if record.clear else {}
    stray = [] if plan.known.issuperset(fields) and not broken else _unmapped(fields, broken, plan)
    if record.clear:
        stray += [name for name in record.clear if name not in clear.values()]
    return MappedRecord(
        values=values,
        clear=tuple(name for name in clear if name not in values) if clear else (),
        # What is cleared comes first: of two spellings of one field it is the one that is spoken of.
        morket_field_of={**clear, **sources} if clear else sources,
        errors=_errors(broken, stray if plan.strict else ()) if broken or stray else (),
        warnings=() if plan.strict or not stray else tuple(map(_unmapped_warning, stray)),
        defaults=_defaults(plan, values, clear) if plan.defaults else {},
        policies=plan.policies_of(sources),
    )


def read_record(
    crm_values: Mapping[str, FieldValue], mappings: Sequence[FieldMapping], fields: Sequence[str] | None = None
) -> dict[str, FieldValue]:
    """Translate what a CRM holds into Morket's fields: `fields`, or all that are mapped for reading.

    Fields that the CRM does not know are absent; empty ones are null. `full_name` is joined from its parts where it has
    no mapping, and a domain that is only a fallback for a website comes back as the website's domain.
    """
    found: dict[str, FieldValue] = {}
    for mapping in _readable(mappings):
        if mapping.crm_field in crm_values:
            found.setdefault(mapping.morket_field, _unmapped_value(crm_values[mapping.crm_field], mapping))
    if any(part in found for part in NAME_PARTS):
        found.setdefault("full_name", join_full_name(*(found.get(part) for part in NAME_PARTS)))
    return {name: value for name, value in found.items() if fields is None or name in fields}


def crm_fields_to_read(mappings: Sequence[FieldMapping], fields: Sequence[str] | None = None) -> tuple[str, ...]:
    """The CRM fields that `read_record` needs for `fields`, without doubles, in the mappings' order."""
    wanted = None if fields is None else {*fields, *(NAME_PARTS if "full_name" in fields else ())}
    reading = (mapping for mapping in _readable(mappings) if wanted is None or mapping.morket_field in wanted)
    return tuple(dict.fromkeys(mapping.crm_field for mapping in reading))


def _readable(mappings: Sequence[FieldMapping]) -> list[FieldMapping]:
    """What may be read. A fallback says only where else a value may be written, except between domains and websites."""
    reading = [mapping for mapping in mappings if mapping.direction != "push"]
    return [mapping for mapping in reading if not mapping.fallback or kind_of(mapping.morket_field) == "domain"]


def _are_storable(values: Collection[FieldValue]) -> bool:
    """Whether every text can be stored: one scan of them all, for nearly all can."""
    # In one expression: a call for each value that is no text would cost as much as the whole scan.
    texts = [value if isinstance(value, str) else "".join(value) if isinstance(value, list) else "" for value in values]
    return is_storable("".join(texts))


def _trimmed(value: FieldValue) -> FieldValue:
    """The value without outer blanks, None when nothing is left of it; a list without its blank items."""
    if isinstance(value, str):
        return value.strip() or None
    if isinstance(value, list):
        return [item.strip() for item in value if item.strip()] or None
    return value


def _with_name_parts(fields: Mapping[str, FieldValue], plan: MappingPlan) -> Mapping[str, FieldValue]:
    """`fields` with the parts of `full_name` where they are missing and mapped."""
    if "full_name" not in fields or not plan.maps_name_parts:
        return fields
    full_name = _trimmed(fields["full_name"])
    if not isinstance(full_name, str):
        return fields
    given = {part: value for part in NAME_PARTS if (value := _trimmed(fields.get(part))) is not None}
    parts = split_full_name(full_name, first=given.get("first_name"), last=given.get("last_name"))
    return {**fields, **{name: part for name, part in zip(NAME_PARTS, parts, strict=True) if part}, **given}


def _fill(fields: Mapping[str, FieldValue], plan: MappingPlan) -> tuple[dict[str, FieldValue], Mapping[str, str]]:
    """CRM field -> value and -> Morket field."""
    values: dict[str, FieldValue] = {}
    later: dict[str, str] = {}
    get = fields.get
    for source, target, value_map, is_first in plan.steps:
        value = get(source)
        # Texts without detours: they are nearly all that comes, 4,000 in a command.
        if isinstance(value, str):
            value = value.strip()
            if not value:
                continue
        elif value is None or (value := _trimmed(value)) is None:
            continue
        if not is_first:
            if target in values:
                continue
            later[target] = source
        values[target] = _mapped_value(value, value_map) if value_map else value
    return values, {**plan.source_of, **later} if later else plan.source_of


def _clear(names: Sequence[str], plan: MappingPlan) -> dict[str, str]:
    """CRM field -> Morket field of what is to be emptied."""
    return {target: source for source, target in plan.clearable if source in names}


def _defaults(plan: MappingPlan, values: Mapping[str, FieldValue], clear: Mapping[str, str]) -> dict[str, FieldValue]:
    return {name: value for name, value in plan.defaults.items() if name not in values and name not in clear}


def _unmapped(fields: Mapping[str, FieldValue], broken: Sequence[str], plan: MappingPlan) -> list[str]:
    """The names that no mapping knows, of the values that are there."""
    return [
        name for name in (*fields, *broken) if name not in plan.known and _trimmed(fields.get(name, name)) is not None
    ]


def _mapped_value(value: FieldValue, value_map: Mapping[str, str]) -> FieldValue:
    if isinstance(value, list):
        return [value_map.get(item, item) for item in value]
    return value_map.get(value, value) if isinstance(value, str) else value


def _unmapped_value(value: FieldValue, mapping: FieldMapping) -> FieldValue:
    if mapping.fallback:
        return normalise("domain", value)
    reverse = {crm_value: morket_value for morket_value, crm_value in reversed(list(mapping.value_map.items()))}
    if isinstance(value, list):
        return [reverse.get(item, item) for item in value]
    return reverse.get(value, value) if isinstance(value, str) else value


def _errors(broken: Sequence[str], unmapped: Sequence[str]) -> tuple[Failure, ...]:
    return (*map(_broken_value, broken), *map(_unmapped_error, unmapped))


def _broken_value(name: str) -> Failure:
    return Failure(
        code="invalid_value",
        category=FailureCategory.BAD_DATA,
        field=name,
        message=f"{name} holds a NUL or half a character, which no CRM can store",
        hint="send the text as valid UTF-8 without \\u0000",
    )


def _unmapped_error(name: str) -> Failure:
    return Failure(
        code="unmapped_field",
        category=FailureCategory.MAPPING,
        field=name,
        message=f"{name} is not mapped to a field of the CRM, and the command is strict",
        hint="map the field, leave it out, or send the command without strict",
    )


def _unmapped_warning(name: str) -> OutcomeWarning:
    return OutcomeWarning(code="unmapped_field", field=name, message=f"{name} is not mapped and was left out")
