"""One record as it would be sent: mapped, checked against the live properties, with its key. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Final

from crm.adapters.hubspot.associations import Wish, association_type, is_association
from crm.adapters.hubspot.defaults import facts_of
from crm.adapters.hubspot.values import BadValue, Converter, converter
from crm.errors import CommandRefused
from crm.mapping import MappedRecord, map_record
from crm.mapping_plan import MappingPlan
from crm.matching import MatchKind, choose_match_field, kind_of, match_value, morket_match_field, normalise
from crm.model import CrmRecord, FieldDescription, FieldMapping
from schemas.command import WritePolicy
from schemas.failure import FailureCategory
from schemas.result import Failure, OutcomeWarning
from schemas.values import FieldValue

# Checked by HubSpot itself, and the only property of type string that is.
_EMAIL: Final = ("contacts", "email")
_DOMAIN: Final = ("companies", "domain")


@dataclass(frozen=True, slots=True)
class MatchRule:
    """How records of one command are recognised.

    Attributes:
        morket_field: Whose values are compared.
        crm_property: Where HubSpot keeps them.
        is_unique: HubSpot takes the property as `idProperty`, so an upsert needs no look-up.
    """

    morket_field: str
    crm_property: str
    kind: MatchKind
    is_unique: bool


@dataclass(frozen=True)
class Shape:
    """What the records of one command are checked against."""

    crm_object: str
    fields: Mapping[str, FieldDescription]
    mappings: Sequence[FieldMapping]
    rule: MatchRule | None
    strict: bool = False
    write_policy: WritePolicy | None = None
    default_write_policy: WritePolicy = "overwrite"

    @cached_property
    def plan(self) -> MappingPlan:
        """The mappings as the records need them."""
        return MappingPlan.of(
            self.mappings,
            strict=self.strict,
            write_policy=self.write_policy,
            default_write_policy=self.default_write_policy,
        )

    @cached_property
    def converters(self) -> Mapping[str, Converter | None]:
        """Property that a mapping writes -> its converter; None where it cannot be written; without associations."""
        names = [name for name in self.plan.source_of if not is_association(name)]
        return {name: _converter(self.crm_object, self.fields.get(name)) for name in names}

    @cached_property
    def ties(self) -> bool:
        """True when a mapping names an association."""
        return any(is_association(mapping.crm_field) for mapping in self.mappings)


@dataclass(frozen=True, slots=True)
class Draft:
    """One record in HubSpot's names and texts.

    Attributes:
        properties: To write; "" empties a property.
        defaults: For a new record, under `properties`.
        policies: Property -> write policy, for every property in `properties`.
        associations: What the record should be tied to.
        errors: Why it cannot be sent.
    """

    index: int
    ref: str | None = None
    crm_id: str | None = None
    match_value: str | None = None
    properties: Mapping[str, str] = field(default_factory=dict)
    defaults: Mapping[str, str] = field(default_factory=dict)
    morket_field_of: Mapping[str, str] = field(default_factory=dict)
    policies: Mapping[str, WritePolicy] = field(default_factory=dict)
    associations: tuple[Wish, ...] = ()
    errors: tuple[Failure, ...] = ()
    warnings: tuple[OutcomeWarning, ...] = ()


def match_rule(
    match_on: str | None, mappings: Sequence[FieldMapping], crm_object: str, fields: Mapping[str, FieldDescription]
) -> MatchRule | None:
    """The rule of a command; None for an object that is matched by nothing.

    Raises:
        CommandRefused: code `invalid_match_field`, the field is not mapped or its property does not exist.
    """
    chosen = choose_match_field(match_on, mappings, facts_of(crm_object).match_field)
    if chosen is None:
        return None
    morket_field = morket_match_field(chosen, mappings)
    sources = [item for item in mappings if item.morket_field == morket_field and item.direction != "pull"]
    names = [item.crm_field for item in sources if item.crm_field in fields]
    if morket_field is None or not names:
        raise CommandRefused(
            f"{chosen} is not mapped to a property that HubSpot's {crm_object} have", code="invalid_match_field"
        )
    name = names[0]
    if (crm_object, morket_field) == ("companies", "website") and "domain" in fields:
        # Websites are whole URLs in HubSpot, which a search for a host does not find; domains are hosts.
        name = "domain"
    return MatchRule(morket_field, name, kind_of(morket_field), is_unique=fields[name].unique)


def draft(record: CrmRecord, shape: Shape) -> Draft:
    """Map one record and check every value against the live properties."""
    mapped = map_record(record, shape.plan)
    checked = _Checked(shape, mapped)
    properties = checked.values(mapped.values)
    if mapped.clear:
        properties.update(checked.cleared(mapped.clear))
    return Draft(
        index=record.index,
        ref=record.ref,
        crm_id=record.crm_id,
        match_value=match_value(record, shape.rule.morket_field) if shape.rule else None,
        properties=properties,
        defaults=checked.values(mapped.defaults) if mapped.defaults else {},
        morket_field_of=mapped.morket_field_of,
        policies=_policies(properties, mapped, shape),
        associations=_wishes(mapped, shape.crm_object) if shape.ties else (),
        errors=(*mapped.errors, *checked.errors),
        warnings=(*checked.warnings, *mapped.warnings),
    )


def _policies(properties: Mapping[str, str], mapped: MappedRecord, shape: Shape) -> dict[str, WritePolicy]:
    if shape.plan.policy:
        return dict.fromkeys(properties, shape.plan.policy)
    return {name: mapped.policies[name] for name in properties}


def _converter(crm_object: str, described: FieldDescription | None) -> Converter | None:
    if described is None or not described.updateable:
        return None
    place = (crm_object, described.name)
    return _domain if place == _DOMAIN else converter(described, is_email=place == _EMAIL)


def _domain(value: FieldValue) -> str | BadValue:
    domain = normalise("domain", value)
    return domain or BadValue("invalid_value", f"{str(value)[:60]!r} is no domain", "send a domain name")


def _wishes(mapped: MappedRecord, crm_object: str) -> tuple[Wish, ...]:
    """The associations among the mapped values; a mapping's default is for new records only.

    Raises:
        CommandRefused: code `not_supported_yet`, HubSpot's association is not one that can be written.
    """
    defaults: dict[str, WritePolicy] = dict.fromkeys(mapped.defaults, "create_only")
    policies = {**defaults, **mapped.policies}
    return tuple(
        Wish(name, association_type(crm_object, name), str(value), policies.get(name, "overwrite"))
        for name, value in mapped.values_for_create.items()
        if is_association(name)
    )


def properties_for_create(item: Draft, rule: MatchRule | None) -> dict[str, str]:
    """The properties of a new record: the defaults, under the values; nothing is emptied in it.

    The match value is among them even where it came from another field (the domain of a company that has only a
    website): by it the record is found again.
    """
    key = {rule.crm_property: item.match_value} if rule and item.match_value else {}
    return {name: value for name, value in {**key, **item.defaults, **item.properties}.items() if value}


def missing_for_create(properties: Mapping[str, str], crm_object: str) -> Failure | None:
    """Why HubSpot would refuse a new record with these properties: it needs one of a few."""
    one_of = facts_of(crm_object).one_of
    if not one_of or any(properties.get(name) for name in one_of):
        return None
    return Failure(
        code="required_field_missing",
        category=FailureCategory.BAD_DATA,
        message=f"a new record of {crm_object} needs a value for {' or '.join(one_of)}",
        hint="send one of them",
        crm_field=one_of[0],
    )


class _Checked:
    """The values of one record against the live properties, with what was found wrong on the way."""

    def __init__(self, shape: Shape, mapped: MappedRecord) -> None:
        self._shape = shape
        self._morket_field_of = mapped.morket_field_of
        self.errors: list[Failure] = []
        self.warnings: list[OutcomeWarning] = []

    def values(self, values: Mapping[str, FieldValue]) -> dict[str, str]:
        """Texts to send; values that cannot be sent are errors."""
        sendable: dict[str, str] = {}
        converters = self._shape.converters
        for name, value in values.items():
            convert = converters.get(name)
            if convert is None:
                self._leave_out(name)
                continue
            text = convert(value)
            if isinstance(text, str):
                sendable[name] = text
            else:
                self.errors.append(self._failure(name, text))
        return sendable

    def cleared(self, names: Sequence[str]) -> dict[str, str]:
        """https://developers.hubspot.com/docs/api-reference/latest/crm/properties/guide: "" clears a value."""
        for name in filter(is_association, names):
            self._warn("not_supported", name, f"{name} cannot be cleared; associations are only made")
        writable = [name for name in names if self._shape.converters.get(name)]
        for name in names:
            if name not in writable:
                self._leave_out(name)
        return dict.fromkeys(writable, "")

    def _leave_out(self, name: str) -> None:
        """Say why a property is not written; associations are none, they are made apart."""
        described = self._shape.fields.get(name)
        if is_association(name):
            return
        if described is None:
            self._warn("unknown_field", name, f"HubSpot has no property {name} here; it was left out")
        else:
            self._warn("read_only_field", name, f"{described.label} cannot be written; it was left out")

    def _warn(self, code: str, name: str, message: str) -> None:
        warning = OutcomeWarning(code=code, field=self._morket_field_of.get(name), crm_field=name, message=message)
        self.warnings.append(warning)

    def _failure(self, name: str, bad: BadValue) -> Failure:
        return Failure(
            code=bad.code,
            category=FailureCategory.BAD_DATA,
            message=bad.message,
            hint=bad.hint,
            field=self._morket_field_of.get(name),
            crm_field=name,
        )
