"""HubSpot's texts: what is sent for a value, what is refused before sending, what comes back."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crm.adapters.hubspot.properties import MAX_TEXT, describe
from crm.adapters.hubspot.values import BadValue, from_wire, is_same, to_wire
from crm.model import FieldDescription
from schemas.values import FieldValue

INDUSTRY = FieldDescription(
    "industry",
    "Industry",
    "enumeration",
    restricted=True,
    options=(("COMPUTER_SOFTWARE", "Computer Software"), ("BANKING", "Banking")),
)
ROLES = FieldDescription(
    "hs_buying_role", "Buying Role", "multi_enumeration", restricted=True, options=(("A", "Alpha"), ("B", "Beta"))
)


def of_kind(kind: str) -> FieldDescription:
    return FieldDescription("p", "P", kind, max_length=MAX_TEXT if kind == "string" else None)


@pytest.mark.parametrize(
    ("kind", "value", "text"),
    [
        ("string", "  Ada ", "Ada"),
        ("string", 7, "7"),
        ("string", 50.0, "50"),
        ("string", True, "true"),
        ("string", ["a", "b"], "a;b"),
        ("string", "007", "007"),
        ("number", 0, "0"),
        ("number", 1e21, "1000000000000000000000"),
        ("number", 0.1, "0.1"),
        ("number", "1,234,567.50", "1234567.5"),
        ("number", "12 000", "12000"),
        ("number", "-3", "-3"),
        ("bool", False, "false"),
        ("bool", "Yes", "true"),
        ("bool", 0, "false"),
        ("date", "2026-11-22", "2026-11-22"),
        ("date", "2026-11-22T23:30:00-02:00", "2026-11-23"),
        ("datetime", "2026-11-22T10:00:00+02:00", "2026-11-22T08:00:00.000Z"),
    ],
)
def test_each_kind_is_sent_as_text(kind: str, value: FieldValue, text: str) -> None:
    """Numbers go without thousands marks or exponent, booleans as true/false, dates as days, instants in UTC."""
    # Given a property of the kind / When the value is made ready / Then it is this text
    assert to_wire(of_kind(kind), value) == text


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("number", "about 50"),
        ("number", "1.234,56"),
        ("number", "NaN"),
        ("number", "1_000"),
        ("number", "1e99"),
        ("number", True),
        ("bool", "maybe"),
        ("date", "22/11/2026"),
        ("datetime", "yesterday"),
        ("string", "x" * (MAX_TEXT + 1)),
    ],
)
def test_what_does_not_fit_is_refused_with_a_reason(kind: str, value: FieldValue) -> None:
    """A value that the property cannot hold is refused before sending, with a text and a hint."""
    # Given a value of the wrong kind
    # When it is made ready
    refused = to_wire(of_kind(kind), value)

    # Then the reason names the property
    assert isinstance(refused, BadValue)
    assert refused.message.startswith("P holds")
    assert refused.hint


@pytest.mark.parametrize("address", ["ada", "ada@", "@x.io", "ada@x", "a b@x.io", "ada@x..io", "ada@@x.io", "ada@x.i"])
def test_an_invalid_address_is_refused(address: str) -> None:
    """What is no e-mail address is refused as `invalid_email`."""
    # Given a broken address / When it is made ready / Then it is refused
    refused = to_wire(of_kind("string"), address, is_email=True)
    assert isinstance(refused, BadValue)
    assert refused.code == "invalid_email"


@pytest.mark.parametrize("address", ["Ada.Lovelace+crm@Example.co.uk", "o'brien@x.io", "józef@żółw.pl"])
def test_a_valid_address_goes_in_lower_case(address: str) -> None:
    """HubSpot stores addresses in lower case, so they are sent so."""
    # Given a good address / When it is made ready / Then only its case changes
    assert to_wire(of_kind("string"), address, is_email=True) == address.lower()


@pytest.mark.parametrize("text", ["COMPUTER_SOFTWARE", "Computer Software", "computer software", "computer_software"])
def test_an_option_is_found_by_value_or_label(text: str) -> None:
    """Options are found by value, else by label, in any case; the value is sent."""
    # Given an enumeration / When a spelling is made ready / Then its value is sent
    assert to_wire(INDUSTRY, text) == "COMPUTER_SOFTWARE"


def test_an_unknown_option_is_refused_and_the_hint_names_some() -> None:
    """An unknown option fails with options to choose from."""
    # Given an enumeration
    # When a value that it does not have is made ready
    refused = to_wire(INDUSTRY, "Alchemy")

    # Then the reason names it and the hint lists options
    assert isinstance(refused, BadValue)
    assert refused.code == "invalid_option"
    assert refused.message == "Industry has no option 'Alchemy'"
    assert "Computer Software" in refused.hint


def test_several_options_are_joined_by_semicolons() -> None:
    """A multi-select takes a list or a text with semicolons, each option once; a select takes one."""
    # Given a multi-select and a select / When lists are made ready / Then the first joins, the second refuses
    assert to_wire(ROLES, ["alpha", "B", "A"]) == "A;B"
    assert to_wire(ROLES, ";Beta; A") == "B;A"
    assert isinstance(to_wire(INDUSTRY, ["BANKING", "COMPUTER_SOFTWARE"]), BadValue)


def test_values_come_back_typed() -> None:
    """Texts become numbers, booleans and lists by the property's kind; empty ones null; NUL is dropped."""
    # Given texts as HubSpot gives them / When they are read / Then they have their types
    assert from_wire(of_kind("number"), "50") == 50
    assert from_wire(of_kind("number"), "0.5") == 0.5
    assert from_wire(of_kind("number"), "n/a") == "n/a"
    assert from_wire(of_kind("bool"), "false") is False
    assert from_wire(ROLES, "A;B") == ["A", "B"]
    assert from_wire(of_kind("string"), "") is None
    assert from_wire(None, "a\x00b") == "ab"


def test_equal_values_in_other_spellings_are_the_same() -> None:
    """A null equals "", 50 equals 50.0, the order of a multi-select does not matter; a true difference does."""
    # Given what HubSpot holds
    fields = {"n": of_kind("number"), "m": ROLES, "s": of_kind("string")}
    present = {"n": "50.0", "m": "B;A", "s": None}

    # When it is compared with what would be sent / Then only a true difference counts
    assert is_same({"n": "50", "m": "A;B", "s": ""}, present, fields)
    assert not is_same({"n": "51"}, present, fields)
    assert not is_same({"s": "x"}, present, fields)


@given(
    st.floats(allow_nan=False, allow_infinity=False, min_value=-1e25, max_value=1e25) | st.integers(-(10**25), 10**25)
)
def test_any_number_survives_the_road_there_and_back(number: float) -> None:
    """A number that is sent and read again is the same number, and its text is digits alone."""
    # Given any number that people count with
    field = of_kind("number")

    # When it goes to HubSpot and back
    text = to_wire(field, number)

    # Then nothing is lost
    if isinstance(text, BadValue):
        assert 0 < abs(number) < 1e-30
    else:
        assert text.lstrip("-").replace(".", "", 1).isdigit()
        assert float(str(from_wire(field, text))) == float(number)


@given(st.text(max_size=200))
def test_no_text_breaks_a_conversion(text: str) -> None:
    """Whatever a text holds, every kind gives a text or a reason; nothing raises."""
    # Given any text / When it is made ready for each kind / Then an answer comes
    for kind in ("string", "number", "bool", "date", "datetime", "phone_number", "json"):
        assert isinstance(to_wire(of_kind(kind), text), str | BadValue)
    assert isinstance(to_wire(ROLES, text), str | BadValue)
    assert isinstance(to_wire(of_kind("string"), text, is_email=True), str | BadValue)


def test_metadata_says_what_can_be_written_and_matched() -> None:
    """Calculated and read-only properties cannot be written; contacts' e-mail is unique; checkboxes are multi."""
    # Given properties as HubSpot lists them / When they are described / Then the facts are read from them
    calculated = describe({"name": "d", "type": "string", "calculated": True})
    read_only = describe({"name": "h", "type": "number", "modificationMetadata": {"readOnlyValue": True}})
    email = describe({"name": "email", "type": "string", "hasUniqueValue": False}, frozenset({"email"}))
    roles = describe(
        {"name": "r", "type": "enumeration", "fieldType": "checkbox", "options": [{"value": "A", "label": "Alpha"}]}
    )
    owner = describe({"name": "o", "type": "enumeration", "externalOptions": True, "options": [{"value": "1"}]})
    assert not calculated.updateable
    assert not read_only.createable
    assert email.unique
    assert (roles.kind, roles.restricted, roles.options) == ("multi_enumeration", True, (("A", "Alpha"),))
    assert not owner.restricted
