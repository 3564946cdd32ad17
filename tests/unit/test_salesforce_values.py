"""Values on Salesforce's wire: what each field type takes, and what it says when it does not."""

import contextlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crm.adapters.salesforce.values import Unfit, from_wire, is_same, to_wire
from crm.model import FieldDescription


def field(kind: str, **facts: Any) -> FieldDescription:
    return FieldDescription(name="F", label="The field", kind=kind, **facts)


RATING = field("picklist", restricted=True, options=(("H", "Hot"), ("W", "Warm")))
OPEN = field("picklist", options=(("H", "Hot"),))
MANY = field("multipicklist", restricted=True, options=(("A", "Alpha"), ("B", "Beta")))


@pytest.mark.parametrize(
    ("known", "value", "sent"),
    [
        (field("string"), 12, "12"),
        (field("string"), 12.0, "12"),
        (field("string"), True, "true"),
        (field("string"), ["a", "b"], "a; b"),
        (field("phone"), "007", "007"),
        (field("int"), "1,200", 1200),
        (field("int"), 12.0, 12),
        (field("double"), "1 234.5", 1234.5),
        (field("currency"), "1000000", 1000000),
        (field("boolean"), "Yes", True),
        (field("boolean"), 0, False),
        (field("date"), "2026-01-31T23:59:00Z", "2026-01-31"),
        (field("datetime"), "2026-01-31T12:00:00+01:00", "2026-01-31T11:00:00.000Z"),
        (field("datetime"), "2026-01-31", "2026-01-31T00:00:00.000Z"),
        (RATING, "hot", "H"),
        (RATING, "H", "H"),
        (RATING, ["Warm"], "W"),
        (OPEN, "Lukewarm", "Lukewarm"),
        (MANY, ["alpha", "B"], "A;B"),
        (MANY, "Alpha; Beta", "A;B"),
        (field("email"), "ada@acme.io", "ada@acme.io"),
        (field("reference"), "0015000000Gv7qJ", "0015000000Gv7qJAAR"),
    ],
)
def test_values_take_their_fields_type(known: FieldDescription, value: Any, sent: object) -> None:
    """Native JSON types, options by value or label, instants in UTC."""
    # When / Then
    assert to_wire(known, value) == sent
    assert type(to_wire(known, value)) is type(sent)


@pytest.mark.parametrize(
    ("known", "value", "code", "message"),
    [
        (field("string", max_length=3), "abcd", "value_too_long", "The field holds 3 characters, 4 were sent"),
        (field("int", max_length=8), 123456789, "invalid_value", "The field holds 8 digits, 9 were sent"),
        (field("int"), 1.5, "invalid_value", 'The field takes a whole number, not "1.5"'),
        (field("int"), True, "invalid_value", 'The field takes a number, not "true"'),
        (field("double"), "1e999", "invalid_value", 'The field takes a number, not "1e999"'),
        (field("double"), "NaN", "invalid_value", 'The field takes a number, not "NaN"'),
        (field("boolean"), "perhaps", "invalid_value", 'The field takes true or false, not "perhaps"'),
        (field("date"), "31.01.2026", "invalid_value", 'The field takes a date such as 2026-01-31, not "31.01.2026"'),
        (field("reference"), "Acme", "invalid_value", 'The field takes the id of a Salesforce record, not "Acme"'),
        (RATING, "Lava", "invalid_option", 'The field has no option "Lava"; its options are H, W'),
        (RATING, ["H", "W"], "invalid_option", "The field takes one option, 2 were sent"),
        (field("email"), "ada@acme", "invalid_email", '"ada@acme" is not an e-mail address'),
        (field("email"), "a..b@acme.io", "invalid_email", '"a..b@acme.io" is not an e-mail address'),
    ],
)
def test_what_does_not_fit_says_why(known: FieldDescription, value: Any, code: str, message: str) -> None:
    """A reason that a person understands, before anything is sent."""
    # When
    with pytest.raises(Unfit) as unfit:
        to_wire(known, value)

    # Then
    assert (unfit.value.code, str(unfit.value)) == (code, message)
    assert unfit.value.hint


KINDS = ["string", "int", "double", "boolean", "date", "datetime", "picklist", "multipicklist", "email", "reference"]


@given(st.sampled_from(KINDS), st.one_of(st.text(min_size=1), st.integers(), st.floats(allow_nan=False), st.booleans()))
def test_every_value_is_sent_or_refused(kind: str, value: Any) -> None:
    """No value breaks a push: it fits or it is unfit, and what was sent once is unchanged when it is read back."""
    # Given
    known = field(kind)

    # When
    with contextlib.suppress(Unfit):
        sent = to_wire(known, value)

        # Then
        assert is_same(known, sent, sent)


@pytest.mark.parametrize(
    ("kind", "held", "read"),
    [
        ("int", 12.0, 12),
        ("double", 12.0, 12),
        ("double", 1.5, 1.5),
        ("boolean", False, False),
        ("string", None, None),
        ("string", "a\x00b", "ab"),
        ("multipicklist", "A;B", ["A", "B"]),
        ("datetime", "2026-11-22T10:00:00.000+0000", "2026-11-22T10:00:00.000Z"),
        ("address", {"city": "x"}, None),
    ],
)
def test_values_are_read_typed(kind: str, held: Any, read: object) -> None:
    """Salesforce's instants have an offset without colon, its whole numbers a point."""
    # When / Then
    assert from_wire(field(kind), held) == read


@pytest.mark.parametrize(
    ("kind", "wanted", "held", "same"),
    [
        ("email", "Ada@Acme.io", "ada@acme.io", True),
        ("string", "Ada", "ada", False),
        ("double", 12, 12.0, True),
        ("multipicklist", "B;A", "A;B", True),
        ("datetime", "2026-01-01T00:00:00.000Z", "2026-01-01T00:00:00.000+0000", True),
        ("string", None, None, True),
        ("string", None, "x", False),
        ("string", "x", None, False),
        ("reference", "0015000000Gv7qJ", "0015000000Gv7qJAAR", True),
    ],
)
def test_equal_values_are_no_change(kind: str, wanted: Any, held: Any, *, same: bool) -> None:
    """What Salesforce would store alike is not written again."""
    # When / Then
    assert is_same(field(kind), wanted, held) is same
