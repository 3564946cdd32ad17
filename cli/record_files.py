"""Reading a file of records: CSV (`,` `;` or tab), JSON or JSON Lines, always UTF-8. Values of a CSV stay text."""

import csv
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cli.problems import WrongInput

_DELIMITERS = (",", ";", "\t")
#: Far above any field that a CRM takes; Python's own default of 128 kB would refuse a long description.
_LONGEST_CELL = 1_000_000


@dataclass(frozen=True, slots=True)
class SourceRow:
    """One row of the file.

    Attributes:
        place: Where it stands, for messages: `line 7` or `record 7`.
        values: Column -> value, as the file names its columns.
    """

    place: str
    values: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class RecordFile:
    """A file's rows, and the columns that occur in them, in order."""

    path: Path
    columns: tuple[str, ...]
    rows: tuple[SourceRow, ...]


def read_records(path: Path) -> RecordFile:
    """Read a file; its form follows from its name (`.csv`, `.json`, `.jsonl`, …), else from its first character.

    Raises:
        WrongInput: It is missing, empty, not UTF-8, or not what its form says; the text names the place.
    """
    text = _decoded(path)
    form = _form(path, text)
    rows = tuple({"csv": _csv_rows, "jsonl": _json_lines, "json": _json_rows}[form](path, text))
    if not rows:
        raise WrongInput(f"{path} holds no records")
    columns = dict.fromkeys(name for row in rows for name in row.values)
    return RecordFile(path, tuple(columns), rows)


def _decoded(path: Path) -> str:
    try:
        content = path.read_bytes()
    except OSError as problem:
        raise WrongInput(f"{path} cannot be read: {problem.strerror}") from None
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise WrongInput(f"{path} is UTF-16; save it as UTF-8 (in Excel: “CSV UTF-8”)")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as problem:
        line = content.count(b"\n", 0, problem.start) + 1
        byte = content[problem.start]
        raise WrongInput(
            f"{path} is not UTF-8 (byte 0x{byte:02X} in line {line}); save it as UTF-8 (in Excel: “CSV UTF-8”)"
        ) from None
    if "\x00" in text:
        raise WrongInput(f"{path} holds a NUL character in line {text[: text.index(chr(0))].count(chr(10)) + 1}")
    return text


def _form(path: Path, text: str) -> str:
    forms = {".csv": "csv", ".tsv": "csv", ".txt": "csv", ".json": "json", ".jsonl": "jsonl", ".ndjson": "jsonl"}
    named = forms.get(path.suffix.lower())
    if named:
        return named
    start = text.lstrip()[:1]
    return {"[": "json", "{": "jsonl"}.get(start, "csv")


def _csv_rows(path: Path, text: str) -> Iterator[SourceRow]:
    csv.field_size_limit(_LONGEST_CELL)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=_delimiter(text), strict=True)
    try:
        header = [name.strip() for name in next(reader, [])]
        _check_header(path, header)
        for cells in reader:
            if any(cell.strip() for cell in cells):
                yield _csv_row(path, header, cells, reader.line_num)
    except csv.Error as problem:
        raise WrongInput(f"{path} line {reader.line_num}: {problem}") from None


def _csv_row(path: Path, header: Sequence[str], cells: Sequence[str], line: int) -> SourceRow:
    if len(cells) > len(header):
        raise WrongInput(
            f"{path} line {line} has {len(cells)} cells, the header has {len(header)}; put quotes around a value that "
            "holds the delimiter"
        )
    return SourceRow(f"line {line}", dict(zip(header, cells, strict=False)))


def _delimiter(text: str) -> str:
    """The delimiter that the header line holds most often outside quotes."""
    header = next((line for line in text.splitlines() if line.strip()), "")
    bare = "".join(header.split('"')[::2])
    return max(_DELIMITERS, key=bare.count)


def _check_header(path: Path, header: Sequence[str]) -> None:
    if not any(header):
        raise WrongInput(f"{path} has no header line with column names")
    twice = sorted({name for name in header if header.count(name) > 1})
    if "" in header:
        raise WrongInput(f"{path}: column {list(header).index('') + 1} has no name in the header line")
    if twice:
        raise WrongInput(f"{path} has the column {twice[0]!r} twice; rename or remove one")


def _json_lines(path: Path, text: str) -> Iterator[SourceRow]:
    # Only line feeds end a line: U+2028 may stand inside a JSON string.
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            yield _object(path, f"line {number}", _parsed(path, line, f"line {number}"))


def _json_rows(path: Path, text: str) -> Iterator[SourceRow]:
    content = _parsed(path, text, "")
    if isinstance(content, dict) and isinstance(content.get("records"), list):
        content = content["records"]
    if not isinstance(content, list):
        raise WrongInput(f'{path} holds no list of records: expected [{{…}}, …] or {{"records": [{{…}}, …]}}')
    for number, item in enumerate(content, start=1):
        yield _object(path, f"record {number}", item)


def _parsed(path: Path, text: str, place: str) -> Any:
    try:
        return json.loads(text, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as problem:
        raise WrongInput(f"{path} {place}: not JSON: {problem}".replace(" :", ":")) from None


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _object(path: Path, place: str, item: Any) -> SourceRow:
    if not isinstance(item, dict):
        raise WrongInput(f"{path} {place}: not a JSON object")
    return SourceRow(place, item)
