"""From a file's columns to Morket fields: a column that is none stops everything, with a suggestion. Pure."""

import difflib
import unicodedata
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final

from pydantic import ValidationError

from cli.problems import WrongInput
from cli.record_files import RecordFile, SourceRow
from schemas.command import PushRecord

#: Columns that are no fields: the publisher's own id of a record, and the CRM's.
_PLAIN: Final = ("ref", "crm_id")
#: Parts of a record in the wire's own shape, which a JSON file may hold.
_WIRE: Final = frozenset({"ref", "crm_id", "fields", "clear"})

#: What people call a field, folded -> the Morket field. Only words that no spelling distance would find.
_ALSO_CALLED: Final[Mapping[str, str]] = {
    "mail": "email",
    "emailaddress": "email",
    "surname": "last_name",
    "familyname": "last_name",
    "givenname": "first_name",
    "forename": "first_name",
    "name": "full_name",
    "title": "job_title",
    "position": "job_title",
    "role": "job_title",
    "company": "company_name",
    "organization": "company_name",
    "account": "company_name",
    "domain": "company_domain",
    "url": "website",
    "tel": "phone",
    "telephone": "phone",
    "mobile": "mobile_phone",
    "cell": "mobile_phone",
    "linkedin": "linkedin_url",
    "employees": "employee_count",
    "revenue": "annual_revenue",
    "industry": "company_industry",
    "zip": "postal_code",
    "zipcode": "postal_code",
    "postcode": "postal_code",
    "region": "state",
    "address": "street",
}


def parse_maps(pairs: Sequence[str]) -> dict[str, str]:
    """`COLUMN=field` pairs of `--map`.

    Raises:
        WrongInput: A pair without `=`, or with an empty side.
    """
    found = {}
    for pair in pairs:
        column, separator, field = pair.rpartition("=")
        if not separator or not column.strip() or not field.strip():
            raise WrongInput(f'--map {pair!r} is not COLUMN=field, as in --map "E-mail=email"')
        found[column.strip()] = field.strip()
    return found


def suggestion(column: str, known: Collection[str]) -> str | None:
    """The known field that a person may have meant by `column`."""
    folded = _folded(column)
    by_fold = {_folded(field): field for field in known}
    if folded in by_fold:
        return by_fold[folded]
    meant = _ALSO_CALLED.get(folded)
    if meant in known:
        return meant
    close = difflib.get_close_matches(folded, by_fold, n=1, cutoff=0.75)
    return by_fold[close[0]] if close else None


def _folded(name: str) -> str:
    plain = unicodedata.normalize("NFKD", name).casefold()
    return "".join(letter for letter in plain if letter.isalnum())


def to_records(
    source: RecordFile, *, known: Collection[str], maps: Mapping[str, str], ignored: Collection[str]
) -> list[PushRecord]:
    """The file's rows as records to push.

    Args:
        source: The file as read.
        known: The Morket fields that this CRM object has a mapping for.
        maps: Column -> Morket field, from `--map`.
        ignored: Columns to leave out, from `--ignore`.

    Raises:
        WrongInput: An unknown column, two columns for one field, or a value that the contract refuses.
    """
    _check_named(source, (*maps, *ignored))
    names = _names(source, maps, ignored)
    unknown = [column for column, field in names.items() if field not in known and field not in _PLAIN]
    if unknown:
        raise WrongInput("\n".join(_unknown(column, names[column], known) for column in unknown))
    twice = [field for field in names.values() if list(names.values()).count(field) > 1]
    if twice:
        columns = ", ".join(repr(column) for column, field in names.items() if field == twice[0])
        raise WrongInput(f"columns {columns} are all the field {twice[0]!r}; keep one and --ignore the others")
    return [_record(source, row, names) for row in source.rows]


def _check_named(source: RecordFile, named: Sequence[str]) -> None:
    present = set(source.columns) | {name for row in source.rows for name in _field_names(row)}
    absent = next((name for name in named if name not in present), None)
    if absent is not None:
        raise WrongInput(f"{source.path} has no column {absent!r}; it has: {', '.join(source.columns)}")


def _names(source: RecordFile, maps: Mapping[str, str], ignored: Collection[str]) -> dict[str, str]:
    """Column -> Morket field (or a plain name), for every column that is not ignored."""
    columns = dict.fromkeys(name for row in source.rows for name in _field_names(row))
    return {column: maps.get(column, column) for column in columns if column not in ignored}


def _is_wire(row: SourceRow) -> bool:
    return isinstance(row.values.get("fields"), dict) and set(row.values) <= _WIRE


def _field_names(row: SourceRow) -> Collection[str]:
    if not _is_wire(row):
        return row.values.keys()
    return [*row.values["fields"], *(name for name in row.values.get("clear") or () if isinstance(name, str))]


def _unknown(column: str, field: str, known: Collection[str]) -> str:
    if field != column:
        near = suggestion(field, known)
        tail = f'; did you mean --map "{column}={near}"?' if near else f"; known fields: {', '.join(sorted(known))}"
        return f'--map "{column}={field}": {field!r} is not a Morket field{tail}'
    near = suggestion(column, known)
    if near:
        return f'column "{column}" is not a Morket field; did you mean "{near}"? use --map "{column}={near}"'
    listed = ", ".join(sorted(known))
    ways = f'use --map "{column}=<field>" or --ignore "{column}"'
    return f'column "{column}" is not a Morket field; {ways}. Known fields: {listed}'


def _record(source: RecordFile, row: SourceRow, names: Mapping[str, str]) -> PushRecord:
    wire = row.values if _is_wire(row) else {}
    values = wire.get("fields", row.values)
    fields = {names[column]: value for column, value in values.items() if column in names and not _is_blank(value)}
    content: dict[str, Any] = {name: _id_text(wire.get(name) or fields.pop(name, None)) for name in _PLAIN}
    content |= {"fields": fields, "clear": [names[name] for name in wire.get("clear") or () if name in names]}
    try:
        return PushRecord.model_validate(content)
    except ValidationError as problem:
        error = problem.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in error["loc"][:2])
        raise WrongInput(f"{source.path} {row.place}: {where}: {error['msg']}") from None


def _is_blank(value: Any) -> bool:
    return value is None or value == [] or (isinstance(value, str) and not value.strip())


def _id_text(value: Any) -> str | None:
    """An id as text: JSON files often hold it as a number."""
    if value is None or isinstance(value, bool):
        return None
    return str(value).strip()
