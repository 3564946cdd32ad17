"""Morket's fields -> a CRM's fields and back: defaults, overrides, direction, fallbacks, value maps. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from operator import attrgetter

from crm.matching import is_empty, kind_of, normalise
from crm.model import CrmRecord, FieldMapping
from crm.names import join_full_name, split_full_name
from crm.text import is_storable
from crm.write_policy import effective
from schemas.command import WritePolicy
from schemas.failure import FailureCategory
from schemas.result import Failure, OutcomeWarning
from schemas.values import FieldValue

_NAME_PARTS = ("first_name", "last_name")


@dataclass(frozen=True, slots=True)
class MappedRecord:
    """One record in the CRM's field names, ready to be checked against the live fields.

    Attributes:
        values: CRM field -> value to write.
        defaults: CRM field -> the mapping's default value, for new records only.
        clear: CRM fields to empty.
        morket_field_of: CRM field -> the Morket field that it came from.
        errors: Why the record cannot be sent; empty when it can.
        policies: CRM field -> write policy, for every field in `values` and `clear`.
    """

    index: int
    ref: str | None = None
    crm_id: str | None = None
    values: Mapping[str, FieldValue] = field(default_factory=dict)
    clear: tuple[str, ...] = ()
    morket_field_of: Mapping[str, str] = field(default_factory=dict)
    errors: tuple[Failure, ...] = ()
    warnings: tuple[OutcomeWarning, ...] = ()
    defaults: Mapping[str, FieldValue] = field(default_factory=dict)
    policies: Mapping[str, WritePolicy] = field(default_factory=dict)

    @property
    def values_for_create(self) -> dict[str, FieldValue]:
        """The values of a new record: the defaults, under the values."""
        return {**self.defaults, **self.values}


def mappings_for(defaults: Sequence[FieldMapping], overrides: Sequence[FieldMapping]) -> tuple[FieldMapping, ...]:
    """A workspace's mappings over an adapter's: an override replaces every default of its Morket field, or adds one."""
    replaced = {override.morket_field for override in overrides}
    # Overrides come first: where one names the identifier, or fills a CRM field that a default fills too, it wins.
    return (*overrides, *(mapping for mapping in defaults if mapping.morket_field not in replaced))


def map_record(
    record: CrmRecord,
    mappings: Sequence[FieldMapping],
    *,
    strict: bool,
    write_policy: WritePolicy | None = None,
    default_write_policy: WritePolicy = "overwrite",
) -> MappedRecord:
    """Translate one record for a push.

    Texts are trimmed; absent, null, empty and blank values are left out; 0 and false are values. A Morket field without
    mapping is a warning, with `strict` an error.
    """
    writing = [mapping for mapping in mappings if mapping.direction != "pull"]
    fields, broken = _usable_fields(record.fields)
    values, morket_field_of = _fill(_with_name_parts(fields, mappings), writing)
    clear, unmapped_clear = _clear(record.clear, writing)
    stray = [*_unmapped([*fields, *broken], mappings), *unmapped_clear]
    return MappedRecord(
        index=record.index,
        ref=record.ref,
        crm_id=record.crm_id,
        values=values,
        clear=tuple(name for name in clear if name not in values),
        morket_field_of={**clear, **morket_field_of},
        errors=(*(_broken_value(name) for name in broken), *(_unmapped_error(name) for name in stray if strict)),
        warnings=tuple(_unmapped_warning(name) for name in stray if not strict),
        defaults=_defaults(writing, values, clear),
        policies=_policies({**clear, **morket_field_of}, writing, write_policy, default_write_policy),
    )


def _policies(
    morket_field_of: Mapping[str, str], mappings: Sequence[FieldMapping], command: WritePolicy | None, rest: WritePolicy
) -> dict[str, WritePolicy]:
    """CRM field -> the policy of the mapping that filled it, unless the command says another."""
    if command or not any(mapping.write_policy for mapping in mappings):
        return dict.fromkeys(morket_field_of, command or rest)
    own = {(mapping.crm_field, mapping.morket_field): mapping.write_policy for mapping in mappings}
    return {name: effective(command, own.get((name, source)), rest) for name, source in morket_field_of.items()}


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
    if any(part in found for part in _NAME_PARTS):
        found.setdefault("full_name", join_full_name(*(found.get(part) for part in _NAME_PARTS)))
    return {name: value for name, value in found.items() if fields is None or name in fields}


def crm_fields_to_read(mappings: Sequence[FieldMapping], fields: Sequence[str] | None = None) -> tuple[str, ...]:
    """The CRM fields that `read_record` needs for `fields`, without doubles, in the mappings' order."""
    wanted = None if fields is None else {*fields, *(_NAME_PARTS if "full_name" in fields else ())}
    reading = (mapping for mapping in _readable(mappings) if wanted is None or mapping.morket_field in wanted)
    return tuple(dict.fromkeys(mapping.crm_field for mapping in reading))


def _readable(mappings: Sequence[FieldMapping]) -> list[FieldMapping]:
    """What may be read. A fallback says only where else a value may be written, except between domains and websites."""
    reading = [mapping for mapping in mappings if mapping.direction != "push"]
    return [mapping for mapping in reading if not mapping.fallback or kind_of(mapping.morket_field) == "domain"]


def _usable_fields(fields: Mapping[str, FieldValue]) -> tuple[dict[str, FieldValue], list[str]]:
    """The trimmed values that are there, and the names of those that cannot be stored anywhere."""
    usable: dict[str, FieldValue] = {}
    broken: list[str] = []
    for name, value in fields.items():
        # Texts first and without detours: they are nearly all that comes, 4,000 in a command.
        if isinstance(value, str):
            text = value.strip()
            if not is_storable(text):
                broken.append(name)
            elif text:
                usable[name] = text
        elif isinstance(value, list) and not all(map(is_storable, value)):
            broken.append(name)
        elif not is_empty(value):
            usable[name] = [item.strip() for item in value if item.strip()] if isinstance(value, list) else value
    return usable, broken


def _with_name_parts(fields: dict[str, FieldValue], mappings: Iterable[FieldMapping]) -> dict[str, FieldValue]:
    """`fields` with the parts of `full_name` where they are missing and mapped."""
    full_name = fields.get("full_name")
    mapped = {mapping.morket_field for mapping in mappings}
    if not isinstance(full_name, str) or not mapped.intersection(_NAME_PARTS):
        return fields
    parts = split_full_name(full_name, first=fields.get("first_name"), last=fields.get("last_name"))
    return {**{name: part for name, part in zip(_NAME_PARTS, parts, strict=True) if part}, **fields}


def _fill(
    fields: Mapping[str, FieldValue], mappings: Sequence[FieldMapping]
) -> tuple[dict[str, FieldValue], dict[str, str]]:
    """CRM field -> value and -> Morket field; fallbacks come last and fill only what is still open."""
    values: dict[str, FieldValue] = {}
    morket_field_of: dict[str, str] = {}
    for mapping in sorted(mappings, key=_is_fallback):
        source, target = mapping.morket_field, mapping.crm_field
        if target in values:
            continue
        if source in fields:
            values[target] = _mapped_value(fields[source], mapping) if mapping.value_map else fields[source]
            morket_field_of[target] = source
        else:
            morket_field_of.setdefault(target, source)
    return values, morket_field_of


_is_fallback = attrgetter("fallback")


def _clear(names: Sequence[str], mappings: Sequence[FieldMapping]) -> tuple[dict[str, str], list[str]]:
    """CRM field -> Morket field of what is to be emptied, and the names that have no mapping."""
    if not names:
        return {}, []
    owned = [mapping for mapping in mappings if not mapping.fallback]
    clear = {mapping.crm_field: mapping.morket_field for mapping in owned if mapping.morket_field in names}
    return clear, [name for name in names if name not in clear.values()]


def _defaults(
    mappings: Sequence[FieldMapping], values: Mapping[str, FieldValue], clear: Mapping[str, str]
) -> dict[str, FieldValue]:
    given = {mapping.crm_field: mapping.default_value for mapping in mappings if mapping.default_value}
    return {name: value for name, value in given.items() if name not in values and name not in clear}


def _unmapped(names: Sequence[str], mappings: Sequence[FieldMapping]) -> list[str]:
    mapped = {mapping.morket_field for mapping in mappings}
    if mapped.intersection(_NAME_PARTS):
        mapped.add("full_name")
    return [name for name in names if name not in mapped]


def _mapped_value(value: FieldValue, mapping: FieldMapping) -> FieldValue:
    if isinstance(value, list):
        return [mapping.value_map.get(item, item) for item in value]
    return mapping.value_map.get(value, value) if isinstance(value, str) else value


def _unmapped_value(value: FieldValue, mapping: FieldMapping) -> FieldValue:
    if mapping.fallback:
        return normalise("domain", value)
    reverse = {crm_value: morket_value for morket_value, crm_value in reversed(list(mapping.value_map.items()))}
    if isinstance(value, list):
        return [reverse.get(item, item) for item in value]
    return reverse.get(value, value) if isinstance(value, str) else value


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
