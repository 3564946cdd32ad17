"""Reading CSV, JSON and JSON Lines for `crm-sync publish`."""

from pathlib import Path

import pytest

from cli.problems import ExitCode, WrongInput
from cli.record_files import read_records


def _file(folder: Path, name: str, content: bytes | str) -> Path:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("bom", [b"", b"\xef\xbb\xbf"])
def test_csv_delimiter_and_bom_are_found(tmp_path: Path, delimiter: str, bom: bytes) -> None:
    """A CSV is read the same with `,`, `;` or tab, with or without a byte order mark."""
    # Given
    text = f'email{delimiter}postal_code\r\nada@example.com{delimiter}"08001"\r\n'
    path = _file(tmp_path, "people.csv", bom + text.encode())
    # When
    found = read_records(path)
    # Then
    assert found.columns == ("email", "postal_code")
    assert dict(found.rows[0].values) == {"email": "ada@example.com", "postal_code": "08001"}


def test_csv_values_stay_text(tmp_path: Path) -> None:
    """Leading zeros, plus signs and long numbers of a CSV come through as they stand."""
    # Given
    path = _file(tmp_path, "a.csv", "phone,zip,n\n+4930,01099,12345678901234567890\n")
    # When
    values = read_records(path).rows[0].values
    # Then
    assert list(values.values()) == ["+4930", "01099", "12345678901234567890"]


def test_delimiters_inside_quotes_do_not_count(tmp_path: Path) -> None:
    """The delimiter is the one between the header's names, not one inside a quoted name."""
    # Given
    path = _file(tmp_path, "a.csv", '"a,b,c";email\n1;x\n')
    # When
    found = read_records(path)
    # Then
    assert found.columns == ("a,b,c", "email")


def test_blank_lines_are_left_out_and_quoted_line_breaks_kept(tmp_path: Path) -> None:
    """Lines without any value are no records; a line break inside quotes belongs to its value."""
    # Given
    path = _file(tmp_path, "a.csv", 'email,note\n\n , \nx@example.com,"two\nlines"\n')
    # When
    rows = read_records(path).rows
    # Then
    assert [dict(row.values) for row in rows] == [{"email": "x@example.com", "note": "two\nlines"}]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.json", '[{"email": "x@example.com", "zip": "01"}]'),
        ("a.json", '{"records": [{"email": "x@example.com", "zip": "01"}]}'),
        ("a.jsonl", '{"email": "x@example.com", "zip": "01"}\n\n'),
        ("without-ending", '{"email": "x@example.com", "zip": "01"}'),
    ],
)
def test_json_forms(tmp_path: Path, name: str, content: str) -> None:
    """A list, an object with `records`, and JSON Lines hold the same records."""
    # Given
    path = _file(tmp_path, name, content)
    # When
    rows = read_records(path).rows
    # Then
    assert [dict(row.values) for row in rows] == [{"email": "x@example.com", "zip": "01"}]


def test_line_separator_inside_a_json_string_ends_no_line(tmp_path: Path) -> None:
    """JSON Lines end at line feeds alone: U+2028 may stand in a value."""
    # Given
    path = _file(tmp_path, "a.jsonl", '{"a": "x\u2028y"}\n{"a": "z"}\n')
    # When
    rows = read_records(path).rows
    # Then
    assert [row.values["a"] for row in rows] == ["x\u2028y", "z"]


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.csv", "name\nM\u00fcller\n".encode("latin-1"), "not UTF-8 (byte 0xFC in line 2)"),
        ("a.csv", "name\nx\n".encode("utf-16"), "UTF-16"),
        ("a.csv", b"name\na\x00b\n", "NUL character in line 2"),
        ("a.csv", b"", "no header line"),
        ("a.csv", b"email\n", "holds no records"),
        ("a.csv", b"email,email\n1,2\n", "'email' twice"),
        ("a.csv", b"email,,x\n1,2,3\n", "column 2 has no name"),
        ("a.csv", b"email,x\n1,2,3\n", "line 2 has 3 cells, the header has 2"),
        ("a.csv", b'email\n"open\n', "line 2"),
        ("a.json", b'{"email": 1}', "holds no list of records"),
        ("a.json", b"[1]", "record 1: not a JSON object"),
        ("a.json", b"[NaN]", "NaN is not JSON"),
        ("a.jsonl", b'{"a": 1}\n{"a": \n', "line 2: not JSON"),
    ],
)
def test_unusable_files_are_refused_with_the_place(tmp_path: Path, name: str, content: bytes, words: str) -> None:
    """A file that cannot be read is refused in one line that names the place, with the exit code of wrong input."""
    # Given
    path = _file(tmp_path, name, content)
    # When
    with pytest.raises(WrongInput) as refused:
        read_records(path)
    # Then
    assert words in refused.value.message
    assert refused.value.exit_code == ExitCode.USAGE


def test_missing_file_is_refused(tmp_path: Path) -> None:
    """A file that is not there is told as such."""
    # Given
    path = tmp_path / "none.csv"
    # When / Then
    with pytest.raises(WrongInput, match="cannot be read: No such file"):
        read_records(path)
