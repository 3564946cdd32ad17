"""SOQL texts: no value changes the shape of a query, no name is anything but a name."""

from datetime import UTC, datetime, timedelta, timezone
from urllib.parse import quote as url_quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crm.adapters.salesforce import soql
from crm.errors import CommandRefused
from sandbox.salesforce.catalog import object_type
from sandbox.salesforce.soql_parser import parse_query
from sandbox.salesforce.soql_syntax import Comparison
from sandbox.salesforce.soql_tokens import decode_string, tokenize

ANY_TEXT = st.text(st.characters(exclude_categories=["Cs"]))


def where(condition: str) -> Comparison:
    """The one comparison that a WHERE clause parses to."""
    parsed = parse_query(soql.select("Lead", ["Id"], where=condition), object_type).where
    assert isinstance(parsed, Comparison)
    return parsed


@given(ANY_TEXT)
def test_a_literal_holds_exactly_its_text(text: str) -> None:
    """Whatever the value, the query stays one comparison with that value."""
    # When
    query = soql.select("Lead", ["Id"], where=f"LastName = {soql.quote(text)}")

    # Then
    names = ["SELECT", "Id", "FROM", "Lead", "WHERE", "LastName", "="]
    *start, literal, end = tokenize(query)
    assert [token.text for token in start] == names
    assert (literal.kind, decode_string(query, literal), end.kind) == ("string", text, "end")


@given(ANY_TEXT, ANY_TEXT, ANY_TEXT)
def test_a_pattern_finds_its_text_literally(before: str, text: str, after: str) -> None:
    """% and _ in a value are themselves."""
    # When
    comparison = where(f"Website LIKE {soql.contains(text)}")

    # Then
    assert comparison.pattern is not None
    assert comparison.pattern.match(before + text + after)


def test_wildcards_of_a_value_match_nothing_else() -> None:
    """`a_b%` does not find `axbc`."""
    # When
    pattern = where(f"Website LIKE {soql.contains('a_b%')}").pattern

    # Then
    assert pattern is not None
    assert not pattern.match("axbc")


@pytest.mark.parametrize("text", ["", "1a", "a b", "a.", ".b", "a.b.c", "a'", "a)", "é", "a" * 101, "a\n", "a.b;--"])
def test_a_name_is_a_name(text: str) -> None:
    """Objects and fields have no quoting: everything else is refused."""
    # When / Then
    with pytest.raises(CommandRefused):
        soql.select(text, ["Id"])
    with pytest.raises(CommandRefused):
        soql.select("Lead", ["Id", text])


def test_a_field_may_be_one_of_a_related_record() -> None:
    """One step to a parent; objects have no steps."""
    # When / Then
    assert soql.select("Contact", ["Id", "Account.Name"]) == "SELECT Id, Account.Name FROM Contact"
    with pytest.raises(CommandRefused):
        soql.select("Contact.Account", ["Id"])


@given(st.text())
def test_numbers_are_bare_or_nothing(text: str) -> None:
    """Only digits, sign and point leave as a bare literal."""
    # When
    literal = soql.number(text)

    # Then
    assert literal is None or set(literal) <= set("+-.0123456789")


def test_instants_are_utc_with_milliseconds() -> None:
    """A literal has no offset, whose plus sign a URL could lose."""
    # When / Then
    berlin = timezone(timedelta(hours=1))
    assert soql.instant(datetime(2026, 11, 22, 13, 0, 0, 250_000, berlin)) == "2026-11-22T12:00:00.250Z"
    assert soql.instant(datetime(2026, 1, 1, tzinfo=UTC)) == "2026-01-01T00:00:00.000Z"


@given(st.lists(st.text(max_size=60), max_size=60), st.integers(40, 400))
def test_chunks_keep_order_and_size(terms: list[str], budget: int) -> None:
    """Every term is in one chunk; a chunk of several stays within the budget."""
    # When
    quoted = [soql.quote(term) for term in terms]
    groups = list(soql.chunks(quoted, ",", budget))

    # Then
    assert [term for group in groups for term in group] == quoted
    assert all(len(group) == 1 or len(url_quote(",".join(group), safe="")) <= budget for group in groups)
