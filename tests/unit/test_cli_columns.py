"""Columns of a file to Morket fields, for `crm-sync publish`."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from cli.columns import parse_maps, suggestion, to_records
from cli.problems import WrongInput
from cli.record_files import RecordFile, SourceRow
from schemas.command import PushRecord

KNOWN = frozenset({"email", "first_name", "last_name", "job_title", "company_name", "company_domain", "postal_code"})


def _source(*rows: Mapping[str, Any]) -> RecordFile:
    columns = tuple(dict.fromkeys(name for row in rows for name in row))
    numbered = enumerate(rows, start=1)
    return RecordFile(Path("people.csv"), columns, tuple(SourceRow(f"line {n}", row) for n, row in numbered))


def _records(*rows: Mapping[str, Any], maps: Sequence[str] = (), ignored: Sequence[str] = ()) -> list[PushRecord]:
    return to_records(_source(*rows), known=KNOWN, maps=parse_maps(maps), ignored=ignored)


def test_unknown_column_stops_everything_with_a_suggestion() -> None:
    """A column that is no Morket field is refused, and the text can be pasted as the cure."""
    # Given
    row = {"E-mail": "ada@example.com"}
    # When
    with pytest.raises(WrongInput) as refused:
        _records(row)
    # Then
    assert refused.value.message == (
        'column "E-mail" is not a Morket field; did you mean "email"? use --map "E-mail=email"'
    )


@pytest.mark.parametrize(
    ("column", "field"),
    [
        ("E-mail", "email"),
        ("EMAIL", "email"),
        ("First Name", "first_name"),
        ("fist_name", "first_name"),
        ("Surname", "last_name"),
        ("Title", "job_title"),
        ("Company", "company_name"),
        ("Zip", "postal_code"),
        ("Favourite colour", None),
    ],
)
def test_suggestions(column: str, field: str | None) -> None:
    """Other spellings, slips and usual names of a field lead to it; anything else leads nowhere."""
    # Given / When / Then
    assert suggestion(column, KNOWN) == field


def test_all_unknown_columns_are_named_at_once() -> None:
    """One run tells every column that needs a decision."""
    # Given
    row = {"E-mail": "x", "Shoe size": "42"}
    # When
    with pytest.raises(WrongInput) as refused:
        _records(row)
    # Then
    lines = refused.value.message.splitlines()
    assert [line.partition('"')[2].partition('"')[0] for line in lines] == ["E-mail", "Shoe size"]
    assert '--ignore "Shoe size"' in lines[1]


def test_map_and_ignore() -> None:
    """`--map` renames a column, `--ignore` leaves one out, blanks are left out, `ref` and `crm_id` are no fields."""
    # Given
    row = {"E-mail": "ada@example.com", "Shoe size": "42", "last_name": "  ", "ref": "7", "crm_id": "00Q1"}
    # When
    found = _records(row, maps=["E-mail=email"], ignored=["Shoe size"])
    # Then
    assert found == [PushRecord(ref="7", crm_id="00Q1", fields={"email": "ada@example.com"})]


def test_wire_shape_is_kept() -> None:
    """Records of a JSON file may be in the contract's own shape, `clear` included."""
    # Given
    row = {"ref": "1", "fields": {"email": "a@example.com", "Company": "Acme"}, "clear": ["job_title"]}
    # When
    found = _records(row, maps=["Company=company_name"])
    # Then
    assert found == [
        PushRecord(ref="1", fields={"email": "a@example.com", "company_name": "Acme"}, clear=["job_title"])
    ]


def test_values_keep_their_type_and_zero_is_a_value() -> None:
    """Numbers and booleans of a JSON file are sent as they are; 0 and false are values."""
    # Given
    row = {"email": "a@example.com", "job_title": 0, "last_name": False}
    # When
    found = _records(row)
    # Then
    assert found[0].fields == {"email": "a@example.com", "job_title": 0, "last_name": False}


@pytest.mark.parametrize(
    ("rows", "maps", "words"),
    [
        ([{"email": "x", "mail": "y"}], ["mail=email"], "'email', 'mail' are all the field 'email'"),
        ([{"email": "x"}], ["Mail=email"], "has no column 'Mail'"),
        ([{"Mail": "x"}], ["Mail=e_mail"], "'e_mail' is not a Morket field; did you mean --map \"Mail=email\"?"),
        ([{"email": {"work": "x"}}], [], "line 1: fields.email"),
        ([{"email": "x"}, {"email": "y", "ref": "a\tb"}], [], "line 2: ref"),
    ],
)
def test_unusable_rows_and_maps(rows: list[dict[str, Any]], maps: list[str], words: str) -> None:
    """What the contract would refuse is refused before anything is sent, with the place in the file."""
    # Given / When
    with pytest.raises(WrongInput) as refused:
        _records(*rows, maps=maps)
    # Then
    assert words in refused.value.message


@pytest.mark.parametrize("pair", ["email", "=email", "E-mail="])
def test_malformed_map(pair: str) -> None:
    """`--map` wants a column and a field."""
    # Given / When / Then
    with pytest.raises(WrongInput, match="COLUMN=field"):
        parse_maps([pair])
