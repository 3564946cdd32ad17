"""The shape of HubSpot object types and properties, as the properties API shows them."""

from dataclasses import dataclass, field
from functools import cached_property


@dataclass(frozen=True, slots=True)
class Property:
    """One property; ``options`` are (value, label) pairs of an enumeration."""

    name: str
    label: str
    type: str = "string"
    field_type: str = "text"
    options: tuple[tuple[str, str], ...] = ()
    is_unique: bool = False
    is_read_only: bool = False
    is_calculated: bool = False
    is_hidden: bool = False
    is_custom: bool = False

    @property
    def is_writable(self) -> bool:
        """Tell whether the API takes values for it."""
        return not (self.is_read_only or self.is_calculated)

    @property
    def is_multiple(self) -> bool:
        """Tell whether it holds several options, joined by semicolons."""
        return self.field_type == "checkbox"


@dataclass(frozen=True)
class ObjectType:
    """One object type: names and id (``0-1``), properties, what a create must carry, what a read shows unasked."""

    name: str
    singular: str
    type_id: str
    property_list: tuple[Property, ...] = field(repr=False)
    default_properties: tuple[str, ...]
    needs_one_of: tuple[str, ...]
    modified_property: str
    upsert_keys: tuple[str, ...] = ()
    """Properties that upsert and read take as ``idProperty`` although their metadata says they are not unique."""

    @cached_property
    def properties(self) -> dict[str, Property]:
        """Properties by name; names are case-sensitive here, and always lower case."""
        return {entry.name: entry for entry in self.property_list}

    def is_key(self, name: str) -> bool:
        """Tell whether upsert and read take this property as ``idProperty``."""
        known = self.properties.get(name)
        return known is not None and (known.is_unique or name in self.upsert_keys)

    @cached_property
    def indexed(self) -> frozenset[str]:
        """Names of properties worth an index: keys, and the domain that companies are searched by."""
        keys = {entry.name for entry in self.property_list if self.is_key(entry.name)}
        return frozenset(keys | ({"domain"} & set(self.properties)))
