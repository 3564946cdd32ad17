"""The shape of sObjects and their fields, as describe shows them (REST guide, sObject Describe)."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property

LONGEST_FILTERABLE = 255
NUMBER_TYPES = frozenset({"int", "double", "currency", "percent"})


@dataclass(frozen=True, slots=True)
class Field:
    """One field; ``is_required`` fields must have a value, ``default`` fills them on create."""

    name: str
    label: str
    type: str = "string"
    length: int = 0
    precision: int = 0
    scale: int = 0
    digits: int = 0
    is_required: bool = False
    is_writable: bool = True
    is_unique: bool = False
    is_external_id: bool = False
    is_id_lookup: bool = False
    is_restricted: bool = False
    default: str | bool | None = None
    picklist: tuple[str, ...] = ()
    reference_to: tuple[str, ...] = ()
    relationship: str | None = None

    @property
    def is_custom(self) -> bool:
        """Tell whether the customer's admin made it."""
        return self.name.endswith("__c")

    @property
    def is_filterable(self) -> bool:
        """Tell whether a query may filter and sort by it; long text areas cannot be."""
        return self.type != "textarea" or self.length <= LONGEST_FILTERABLE

    @property
    def is_upsert_key(self) -> bool:
        """Tell whether a single-record upsert may name it."""
        return self.is_external_id or self.is_id_lookup or self.name == "Id"


@dataclass(frozen=True)
class ObjectType:
    """One sObject: its name, key prefix and fields by name."""

    name: str
    label: str
    label_plural: str
    prefix: str
    field_list: tuple[Field, ...] = field(repr=False)
    is_writable: bool = True

    @cached_property
    def fields(self) -> dict[str, Field]:
        """Fields by their exact name."""
        return {entry.name: entry for entry in self.field_list}

    @cached_property
    def _by_folded_name(self) -> dict[str, Field]:
        return {entry.name.lower(): entry for entry in self.field_list}

    def find(self, name: str) -> Field | None:
        """Find a field; API names are not case-sensitive."""
        return self._by_folded_name.get(name.lower())

    @cached_property
    def indexed(self) -> frozenset[str]:
        """Names of fields worth an index: ids, keys, and what adapters look companies up by."""
        keys = (entry.name for entry in self.field_list if entry.is_upsert_key or entry.is_unique)
        return frozenset({*keys, "Email", "Name", "Website", "Company"} & set(self.fields))

    def with_fields(self, more: Iterable[Field]) -> "ObjectType":
        """Return a copy with further fields."""
        merged = (*self.field_list, *more)
        return ObjectType(self.name, self.label, self.label_plural, self.prefix, merged, self.is_writable)
