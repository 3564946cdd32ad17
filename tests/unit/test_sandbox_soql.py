"""The sandbox's SOQL: escapes, operators, order, and the errors that the vendor's parser gives."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.replies import RefusedError
from sandbox.salesforce.catalog import LEAD, object_type
from sandbox.salesforce.soql_evaluation import render_row, select
from sandbox.salesforce.soql_parser import parse_query
from sandbox.salesforce.store import Org, new_org
from sandbox.salesforce.writing import Writer
from sandbox.switches import SalesforceSwitches

ESCAPES = {"\\": "\\\\", "'": "\\'", "\n": "\\n", "\r": "\\r", "\t": "\\t", "\b": "\\b", "\f": "\\f", '"': '\\"'}


def org_with(*leads: dict[str, Any]) -> Org:
    org = new_org(1, "Initech")
    writer = Writer(org, SalesforceSwitches())
    for lead in leads:
        assert writer.create(LEAD, {"LastName": "Doe", "Company": "Initech", **lead}).is_success
    return org


def rows(org: Org, soql: str) -> list[dict[str, Any]]:
    query = parse_query(soql, object_type)
    return [render_row(query, record, org, "v67.0") for record in select(query, org, with_deleted=False)]


def names(org: Org, where: str) -> list[str]:
    return [row["LastName"] for row in rows(org, f"SELECT LastName FROM Lead WHERE {where}")]  # noqa: S608  the query under test


def escaped(text: str) -> str:
    return "".join(ESCAPES.get(letter, letter) for letter in text)


@given(st.text(min_size=1, max_size=30).filter(lambda text: text == text.strip()))
def test_an_escaped_text_finds_exactly_itself(text: str) -> None:
    """Whatever a value holds, its escaped form finds the record and no other."""
    # Given a lead with that last name, and another
    org = org_with({"LastName": text}, {"LastName": "other" + text})

    # When the escaped text is asked for
    found = names(org, f"LastName = '{escaped(text)}'")

    # Then the one lead comes
    assert found == [text]


@pytest.mark.parametrize("literal", [r"'\q'", r"'\u12'", r"'\_'", r"'\%'", "'open", r"'closed by an escape\'"])
def test_an_illegal_escape_or_an_open_string_is_malformed(literal: str) -> None:
    """Any other backslash pair is an error, never taken as written."""
    # Given a query with a broken string
    soql = f"SELECT Id FROM Lead WHERE LastName = {literal}"  # noqa: S608  the query under test

    # When it is parsed
    with pytest.raises(RefusedError) as refusal:
        parse_query(soql, object_type)

    # Then the vendor's code says so
    assert (refusal.value.status, refusal.value.body[0]["errorCode"]) == (400, "MALFORMED_QUERY")


def test_a_quote_in_a_value_cannot_leave_its_string() -> None:
    """An unescaped quote breaks the query instead of widening it."""
    # Given two leads, and a value that tries to add a condition
    org = org_with({"LastName": "A"}, {"LastName": "B"})
    attack = "A' OR LastName != 'A"

    # When it is sent escaped and raw
    harmless = names(org, f"LastName = '{escaped(attack)}'")
    widened = names(org, f"LastName = '{attack}'")

    # Then only the raw one finds more
    assert (harmless, widened) == ([], ["A", "B"])


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        ("NumberOfEmployees > 10", ["C"]),
        ("NumberOfEmployees >= 10 AND NumberOfEmployees <= 50", ["B", "C"]),
        ("Email = null", ["A"]),
        ("Email != null AND NOT (LastName = 'B')", ["C"]),
        ("Email IN ('B@X.IO', 'nobody@x.io')", ["B"]),
        ("LastName NOT IN ('A', 'B')", ["C"]),
        ("Email LIKE '%@x.i_'", ["B"]),
        (r"Email LIKE 'c\_%'", ["C"]),
        ("(LastName = 'A' OR LastName = 'C') AND IsConverted = false", ["A", "C"]),
        ("lastname = 'a' or LASTNAME = 'b'", ["A", "B"]),
        ("SystemModstamp < 2020-01-01T00:00:00Z", []),
        ("CreatedDate > 2020-01-01T00:00:00+01:00", ["A", "B", "C"]),
        ("Owner.IsActive = true", ["A", "B", "C"]),
    ],
)
def test_conditions_select_what_soql_selects(where: str, expected: list[str]) -> None:
    """Operators, NULL, booleans, datetimes, parents and letter case follow the SOQL reference."""
    # Given three leads
    org = org_with(
        {"LastName": "A", "NumberOfEmployees": 1},
        {"LastName": "B", "NumberOfEmployees": 10, "Email": "b@x.io"},
        {"LastName": "C", "NumberOfEmployees": 50, "Email": "c_d@y.io"},
    )

    # When the condition is asked
    found = names(org, where)

    # Then the right leads come
    assert sorted(found) == expected


def test_rows_come_in_the_order_asked_for() -> None:
    """ORDER BY takes several fields, each with its own direction; empty values come first unless told otherwise."""
    # Given leads with equal and empty cities
    org = org_with(
        {"LastName": "A", "City": "Oslo"}, {"LastName": "B", "City": "Bonn"}, {"LastName": "C", "City": "Oslo"},
        {"LastName": "D"},
    )  # fmt: skip

    # When they are ordered
    first = rows(org, "SELECT LastName FROM Lead ORDER BY City, LastName DESC LIMIT 3")
    last = rows(org, "SELECT LastName FROM Lead ORDER BY City DESC NULLS LAST, LastName ASC OFFSET 1")

    # Then the order is the vendor's
    assert [row["LastName"] for row in first] == ["D", "B", "C"]
    assert [row["LastName"] for row in last] == ["C", "B", "D"]


@pytest.mark.parametrize(
    ("soql", "code"),
    [
        ("SELECT Id, Shoe FROM Lead", "INVALID_FIELD"),
        ("SELECT Id FROM Lead WHERE Shoe = 1", "INVALID_FIELD"),
        ("SELECT Nobody.Name FROM Lead", "INVALID_FIELD"),
        ("SELECT Id FROM Lead WHERE LastName = 5", "INVALID_FIELD"),
        ("SELECT Id FROM Lead WHERE SystemModstamp > '2026-01-01T00:00:00Z'", "INVALID_FIELD"),
        ("SELECT Id FROM Lead WHERE Description = 'x'", "INVALID_FIELD"),
        ("SELECT Id FROM Shoe", "INVALID_TYPE"),
        ("SELECT Id FROM Lead WHERE", "MALFORMED_QUERY"),
        ("SELECT Id Email FROM Lead", "MALFORMED_QUERY"),
        ("SELECT Id FROM Lead LIMIT many", "MALFORMED_QUERY"),
        ("SELECT Id FROM Lead WHERE LastName = 'A' OR LastName = 'B' AND Email = null", "MALFORMED_QUERY"),
        ("SELECT Id FROM Lead; DELETE", "MALFORMED_QUERY"),
        ("DELETE FROM Lead", "MALFORMED_QUERY"),
    ],
)
def test_a_wrong_query_is_refused_with_the_vendors_code(soql: str, code: str) -> None:
    """Each kind of mistake has its own error code."""
    # Given a wrong query
    # When it is parsed
    with pytest.raises(RefusedError) as refusal:
        parse_query(soql, object_type)

    # Then its code tells the kind of mistake
    assert refusal.value.body[0]["errorCode"] == code


def test_a_parent_comes_as_an_object_and_a_missing_one_as_null() -> None:
    """`Account.Name` nests under its relationship."""
    # Given a contact with an account, and one without
    org = new_org(1, "Initech")
    writer = Writer(org, SalesforceSwitches())
    account, contact = object_type("Account"), object_type("Contact")
    assert account is not None
    assert contact is not None
    account_id = writer.create(account, {"Name": "Hooli"}).record_id
    writer.create(contact, {"LastName": "A", "AccountId": account_id})
    writer.create(contact, {"LastName": "B"})

    # When both are selected
    found = rows(org, "SELECT LastName, Account.Name FROM Contact ORDER BY LastName")

    # Then the parent is an object or null
    assert found[0]["Account"]["Name"] == "Hooli"
    assert found[1]["Account"] is None


def test_ids_are_ordered_and_compared_alike() -> None:
    """Paging by `Id > last` over `ORDER BY Id` meets every record once: both heed letter case."""
    # Given enough leads for ids that differ by case
    org = org_with(*({"LastName": f"L{at}"} for at in range(100)))
    met: list[str] = []

    # When they are read seven a page, each page after the last id
    page = rows(org, "SELECT Id FROM Lead ORDER BY Id LIMIT 7")
    while page:
        met += [row["Id"] for row in page]
        page = rows(org, f"SELECT Id FROM Lead WHERE Id > '{met[-1]}' ORDER BY Id LIMIT 7")  # noqa: S608  ours

    # Then each came once
    assert len(met) == len(set(met)) == 100
