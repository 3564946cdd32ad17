"""What one command's values are checked against: each mapped field looked up once, with its converter. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple, Self

from crm.adapters.salesforce.describe import ObjectFields
from crm.adapters.salesforce.state_codes import StateCode
from crm.adapters.salesforce.values import Converter, converter, longest_text
from crm.mapping_plan import MappingPlan
from schemas.command import WritePolicy

_COUNTRY: Final = "Country"
_STATE: Final = "State"


class Target(NamedTuple):
    """Where the values of a mapped field go.

    Attributes:
        name: As the org spells it; as the mapping spells it where the org has no such field.
        convert: None where the field cannot be written.
        is_shared: Mappings spell its name in several ways.
    """

    name: str
    convert: Converter | None
    is_shared: bool


@dataclass(frozen=True, slots=True)
class Address:
    """A country and a state of an org that keeps them as picklists.

    Attributes:
        countries: Case-folded code or name -> (code, name).
    """

    country_field: str
    state_field: str
    countries: Mapping[str, tuple[str, str]]
    states: tuple[StateCode, ...]


@dataclass(frozen=True, slots=True)
class FieldPlan:
    """The targets of a command's mappings.

    Attributes:
        targets: By the mapping's own spelling of the field.
        longest_text: The same -> up to which length a text goes into it as it is; -1 where none does.
        is_straight: Each field can be written and is named as the org names it.
        policies: Salesforce field -> write policy, for all that may be written; empty where policies differ.
        addresses: Only of what the org keeps as picklists.
    """

    mapping: MappingPlan
    fields: ObjectFields
    targets: Mapping[str, Target]
    longest_text: Mapping[str, int]
    is_straight: bool
    addresses: tuple[Address, ...]
    policies: Mapping[str, WritePolicy]
    _usual_sources: Mapping[str, str]

    @classmethod
    def of(cls, mapping: MappingPlan, fields: ObjectFields) -> Self:
        """Look each mapped field up in the live fields."""
        names = {name: _canonical(name, fields) for name in mapping.source_of}
        canonical = list(names.values())
        targets = {name: _target(name, fields, is_shared=canonical.count(known) > 1) for name, known in names.items()}
        return cls(
            mapping=mapping,
            fields=fields,
            targets=targets,
            longest_text={name: _longest_text(target, fields) for name, target in targets.items()},
            is_straight=all(target.convert and target.name == name for name, target in targets.items()),
            addresses=tuple(_addresses(canonical, fields)),
            policies=dict.fromkeys((*canonical, *fields.reference_of.values()), mapping.policy)
            if mapping.policy
            else {},
            _usual_sources=_canonical_sources(mapping.source_of, names),
        )

    @property
    def has_dependent_values(self) -> bool:
        """True when what is sent in one field may depend on another."""
        return bool(self.addresses or self.fields.reference_of)

    def canonical_sources(self, source_of: Mapping[str, str]) -> Mapping[str, str]:
        """Salesforce field -> the Morket field of its first mapping.

        Args:
            source_of: CRM field in the mapping's spelling -> Morket field.
        """
        if source_of is self.mapping.source_of:
            return self._usual_sources
        return _canonical_sources(source_of, {name: target.name for name, target in self.targets.items()})


def _canonical(name: str, fields: ObjectFields) -> str:
    known = fields.find(name)
    return known.name if known else name


def _canonical_sources(source_of: Mapping[str, str], names: Mapping[str, str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for name, morket_field in source_of.items():
        found.setdefault(names[name], morket_field)
    return found


def _target(name: str, fields: ObjectFields, *, is_shared: bool) -> Target:
    known = fields.find(name)
    if known is None:
        return Target(name, None, is_shared)
    is_writable = known.createable or known.updateable
    return Target(known.name, converter(known) if is_writable else None, is_shared)


def _longest_text(target: Target, fields: ObjectFields) -> int:
    known = fields.find(target.name)
    return -1 if known is None or target.convert is None or target.is_shared else longest_text(known)


def _addresses(names: Iterable[str], fields: ObjectFields) -> Iterable[Address]:
    prefixes = [name.removesuffix(end) for name in names for end in (_COUNTRY, _STATE) if name.endswith(end)]
    for prefix in dict.fromkeys(prefixes):
        codes = fields.find(f"{prefix}{_COUNTRY}Code")
        options = codes.options if codes is not None else ()
        states = fields.states.get(f"{prefix}{_STATE}Code", ())
        if options or states:
            countries = {spelling.casefold(): pair for pair in options for spelling in pair}
            yield Address(prefix + _COUNTRY, prefix + _STATE, countries, states)
