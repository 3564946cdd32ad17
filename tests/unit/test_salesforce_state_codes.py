"""States in an org that keeps them as picklists: a code becomes a name only where it is certain which."""

import base64
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crm.adapters.salesforce.state_codes import state_codes, state_name


def valid_for(*places: int, size: int = 2) -> str:
    """SOAP API Developer Guide, "PicklistEntry": one bit for each value of the controlling field."""
    raw = bytearray(size)
    for place in places:
        raw[place // 8] |= 0x80 >> (place % 8)
    return base64.b64encode(bytes(raw)).decode()


COUNTRIES = ["AT", "AU", "CA", "CH", "DE", "FR", "IT", "JP", "MX", "US"]
STATES: list[dict[str, Any]] = [
    {"value": "WA", "label": "Western Australia", "validFor": valid_for(COUNTRIES.index("AU"))},
    {"value": "WA", "label": "Washington", "validFor": valid_for(COUNTRIES.index("US"))},
    {"value": "CA", "label": "California", "validFor": valid_for(COUNTRIES.index("US"))},
    {"value": "XX", "label": "Anywhere", "validFor": None},
]
DESCRIBE: list[dict[str, Any]] = [
    {"name": "MailingCountryCode", "picklistValues": [{"value": code, "label": code} for code in COUNTRIES]},
    {"name": "MailingStateCode", "picklistValues": STATES},
    {"name": "Rating", "picklistValues": [{"value": "Hot"}]},
]


@pytest.mark.parametrize(
    ("given_state", "country", "name"),
    [
        ("WA", "US", "Washington"),
        ("wa", "AU", "Western Australia"),
        ("WA", None, "WA"),
        ("WA", "DE", "WA"),
        ("ca", None, "California"),
        ("california", "US", "California"),
        ("XX", "DE", "Anywhere"),
        ("Bayern", "DE", "Bayern"),
    ],
)
def test_a_code_is_read_with_its_country(given_state: str, country: str | None, name: str) -> None:
    """Codes repeat among countries; without certainty the value stays as it was sent, for Salesforce to judge."""
    # Given
    states = state_codes(DESCRIBE)["MailingStateCode"]

    # When / Then
    assert state_name(states, given_state, country) == name


@given(st.one_of(st.text(), st.none(), st.integers(), st.binary().map(lambda raw: base64.b64encode(raw).decode())))
def test_whatever_valid_for_holds_the_describe_is_read(bits: Any) -> None:
    """An org's describe never makes a push fail."""
    # When
    found = state_codes(
        [{"name": "StateCode", "picklistValues": [{"value": "CA", "label": "California", "validFor": bits}]}]
    )

    # Then
    assert state_name(found["StateCode"], "CA", "US") == "California"
