"""States and countries in an org that keeps them as picklists: codes become the names that such an org takes. Pure.

Sources: help.salesforce.com, "State and Country/Territory Picklists"; SOAP API Developer Guide, "PicklistEntry"
(`validFor`: one bit for each value of the controlling field, the first of them the highest bit of the first byte).
"""

import base64
import binascii
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

_STATE, _COUNTRY = "StateCode", "CountryCode"


@dataclass(frozen=True, slots=True)
class StateCode:
    """One state: its code, its name and the codes of the countries that have it; empty where the org does not say."""

    code: str
    name: str
    countries: frozenset[str] = frozenset()


def state_codes(entries: Sequence[Mapping[str, Any]]) -> dict[str, tuple[StateCode, ...]]:
    """StateCode field -> its states, out of the fields of a describe."""
    values = {str(entry.get("name")): _values(entry) for entry in entries}
    return {
        name: tuple(_state(value, values.get(name.removesuffix(_STATE) + _COUNTRY, [])) for value in states)
        for name, states in values.items()
        if name.endswith(_STATE) and states
    }


def state_name(states: Sequence[StateCode], given: str, country: str | None) -> str:
    """The name of the state that `given` (code or name, in any case) means; `given` where that is not certain.

    Codes repeat among countries (WA is Washington and Western Australia): the country decides, by its code.
    """
    wanted = given.casefold()
    found = [state for state in states if wanted in (state.code.casefold(), state.name.casefold())]
    if country is not None:
        found = [state for state in found if not state.countries or country in state.countries] or found
    names = {state.name for state in found}
    return names.pop() if len(names) == 1 else given


def _state(value: Mapping[str, Any], countries: Sequence[Mapping[str, Any]]) -> StateCode:
    code = str(value.get("value"))
    places = _bits(value.get("validFor"))
    codes = frozenset(str(country.get("value")) for place, country in enumerate(countries) if place in places)
    return StateCode(code, str(value.get("label") or code), codes)


def _bits(text: object) -> frozenset[int]:
    try:
        raw = base64.b64decode(text, validate=True) if isinstance(text, str) else b""
    except (binascii.Error, ValueError):
        return frozenset()
    return frozenset(place * 8 + bit for place, byte in enumerate(raw) for bit in range(8) if byte & (0x80 >> bit))


def _values(entry: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    # Inactive values count too: the bits are places in the whole list.
    values = entry.get("picklistValues")
    return [value for value in values if isinstance(value, dict)] if isinstance(values, list) else []
