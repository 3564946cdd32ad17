"""SOQL texts out of checked parts: every identifier is validated, every literal escaped. Pure.

Source: SOQL and SOSL Reference, "Quoted String Escape Sequences", "Date Formats and Date Literals", "LIKE".
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import Final
from urllib.parse import quote as url_quote

from crm.errors import CommandRefused

#: Characters of a WHERE clause after URL encoding: `q` travels in the URL, which with its headers holds 16,384 bytes.
MAX_ENCODED: Final = 11_000

_IDENTIFIER: Final = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,99}")
_RECORD_ID: Final = re.compile(r"[A-Za-z0-9]{15}(?:[A-Za-z0-9]{3})?")
_ESCAPES: Final = {"\\": "\\\\", "'": "\\'", "\n": "\\n", "\r": "\\r", "\t": "\\t", "\b": "\\b", "\f": "\\f"}
_SPECIAL: Final = re.compile(r"[\\'\x00-\x1f\x7f\u2028\u2029\ud800-\udfff]")
_WILDCARD: Final = re.compile(r"[%_]")


def identifier(name: str) -> str:
    """`name` when it can be the name of an object or field.

    Raises:
        CommandRefused: code `no_mapping_for_entity`; SOQL has no quoting for names, so anything else could be code.
    """
    if not is_identifier(name):
        raise CommandRefused("a name is not a Salesforce object or field name", code="no_mapping_for_entity")
    return name


def field_path(name: str) -> str:
    """`name` when it can be the name of a field, or of a related record's field (`Account.Name`).

    Source: SOQL and SOSL Reference, "Understanding Relationship Names".

    Raises:
        CommandRefused: as `identifier`.
    """
    for part in name.split(".", 1):
        identifier(part)
    return name


def is_identifier(text: str) -> bool:
    """True for what has the form of an object or field name."""
    return _IDENTIFIER.fullmatch(text) is not None


def is_record_id(text: str) -> bool:
    """True for what has the form of a record id: 15 or 18 letters and digits."""
    return _RECORD_ID.fullmatch(text) is not None


def quote(text: str) -> str:
    """A string literal that holds exactly `text`."""
    return "'" + _SPECIAL.sub(_escaped, text) + "'"


def contains(text: str) -> str:
    """A LIKE pattern that finds `text` anywhere, taken literally."""
    return "'%" + _WILDCARD.sub(lambda match: "\\" + match[0], quote(text)[1:-1]) + "%'"


def number(text: str) -> str | None:
    """A bare number literal; None when `text` is none."""
    try:
        value = Decimal(text)
    except InvalidOperation:
        return None
    return f"{value:f}" if value.is_finite() and abs(value.adjusted()) <= 18 else None  # noqa: PLR2004 - a double's digits


def instant(moment: datetime) -> str:
    """A datetime literal, in UTC and milliseconds, never quoted."""
    text = moment.astimezone(UTC).isoformat(timespec="milliseconds")
    return text.removesuffix("+00:00") + "Z"


def select(
    crm_object: str, fields: Iterable[str], *, where: str = "", order_by: str = "", limit: int | None = None
) -> str:
    """A whole query; `where` and `order_by` must come from the functions here."""
    names = ", ".join(field_path(name) for name in dict.fromkeys(fields))
    parts = [f"SELECT {names} FROM {identifier(crm_object)}"]  # noqa: S608 - every name is checked one line above
    parts += [f"WHERE {where}"] if where else []
    parts += [f"ORDER BY {order_by}"] if order_by else []
    parts += [f"LIMIT {int(limit)}"] if limit is not None else []
    return " ".join(parts)


def chunks(terms: Sequence[str], overhead: str = "", budget: int = MAX_ENCODED) -> Iterator[list[str]]:
    """`terms` in groups whose URL-encoded length, with `overhead` for each term, stays within `budget`."""
    group: list[str] = []
    size = 0
    for term in terms:
        length = len(url_quote(term + overhead, safe=""))
        if group and size + length > budget:
            yield group
            group, size = [], 0
        group.append(term)
        size += length
    if group:
        yield group


def _escaped(match: re.Match[str]) -> str:
    char = match[0]
    return _ESCAPES.get(char) or f"\\u{ord(char):04x}"
