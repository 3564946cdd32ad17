"""Values on HubSpot's wire: every one is a string. Pure.

Source: developers.hubspot.com/docs/api-reference/latest/crm/properties/guide (formats by property type).
"""

import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal, InvalidOperation
from typing import Any, Final

from crm.adapters.hubspot.properties import MULTI
from crm.model import FieldDescription
from crm.text import scrub
from schemas.values import FieldValue


@dataclass(frozen=True, slots=True)
class BadValue:
    """Why a value cannot be sent: a public code, a text for a person and what to do."""

    code: str
    message: str
    hint: str


# Thousands marks that leave no doubt: groups of three, and a point (if any) after them.
_GROUPED: Final = re.compile(r"^[+-]?\d{1,3}(?:([,' \u00a0\u202f])\d{3})(?:\1\d{3})*(?:\.\d+)?$")
_EMAIL: Final = re.compile(
    r"^[^\s@<>(),;:\\\"\[\]]{1,64}@(?:[^\s@<>(),;:\\\"\[\].]{1,63}\.)+[^\s@<>(),;:\\\"\[\].]{2,63}$"
)
_TRUE, _FALSE = frozenset({"true", "yes", "1"}), frozenset({"false", "no", "0"})
_MAX_OPTIONS_NAMED: Final = 5
_SAFE: Final = 10**30


#: Gives the text to send for a value, which is neither null nor blank and trimmed, or why it cannot be sent.
Converter = Callable[[FieldValue], str | BadValue]


def converter(field: FieldDescription, *, is_email: bool = False) -> Converter:
    """The converter of a property, to be made once for all records; what is nearly always sent takes a short way.

    Args:
        field: The property's live description.
        is_email: The text must be an e-mail address; HubSpot stores it in lower case.
    """
    if is_email:
        return lambda value: _email(str(value))
    if field.kind in {"enumeration", MULTI}:
        return _options_converter(field)
    convert = _BY_KIND.get(field.kind)
    return _converter_of_one(field, convert) if convert else _text_converter(field)


def to_wire(field: FieldDescription, value: FieldValue, *, is_email: bool = False) -> str | BadValue:
    """The text to send for `value`, which is neither null nor blank, or why it cannot be sent."""
    return converter(field, is_email=is_email)(value.strip() if isinstance(value, str) else value)


def _options_converter(field: FieldDescription) -> Converter:
    # Of a multi-select a text may be several options.
    is_plain = field.restricted and field.kind != MULTI
    ready = frozenset(value for value, _label in field.options if is_plain)

    def convert(value: FieldValue) -> str | BadValue:
        return value if isinstance(value, str) and value in ready else _options(field, value)

    return convert


def _converter_of_one(
    field: FieldDescription, convert: Callable[[FieldDescription, FieldValue], str | BadValue]
) -> Converter:
    def convert_one(value: FieldValue) -> str | BadValue:
        return _text(field, ";".join(value)) if isinstance(value, list) else convert(field, value)

    return convert_one


def _text_converter(field: FieldDescription) -> Converter:
    longest = sys.maxsize if field.max_length is None else field.max_length

    def convert(value: FieldValue) -> str | BadValue:
        if isinstance(value, str) and len(value) <= longest:
            return value
        return _text(field, ";".join(value) if isinstance(value, list) else value)

    return convert


def _email(text: str) -> str | BadValue:
    address = text.strip().lower()
    if _EMAIL.fullmatch(address) and ".." not in address and not address.startswith("."):
        return address
    return BadValue("invalid_email", f"{text[:100]} is not an e-mail address", "correct the e-mail address")


def _text(field: FieldDescription, value: FieldValue) -> str | BadValue:
    text = _plain(value)
    if field.max_length is not None and len(text) > field.max_length:
        return BadValue(
            "value_too_long",
            f"{field.label} holds {field.max_length} characters, {len(text)} were sent",
            "shorten it or map to another property",
        )
    return text


def _plain(value: FieldValue) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        return _digits(Decimal(str(value)))
    return str(value).strip()


def _digits(number: Decimal) -> str:
    """Plain digits, one point at most, no exponent: 1E+3 -> 1000, 50.0 -> 50."""
    text = format(number, "f")
    return (text.rstrip("0").rstrip(".") if "." in text else text) or "0"


def _number(field: FieldDescription, value: FieldValue) -> str | BadValue:
    if type(value) is int and -_SAFE < value < _SAFE:
        return str(value)
    text = "" if isinstance(value, bool) else str(value).strip()
    if _GROUPED.fullmatch(text):
        text = re.sub(r"[,' \u00a0\u202f]", "", text)
    try:
        number = Decimal(text)
    except InvalidOperation:
        number = Decimal("nan")
    if not number.is_finite() or "_" in text or abs(number.adjusted()) > 30:  # noqa: PLR2004 - nobody's revenue
        return BadValue("invalid_value", f"{field.label} holds a number, {str(value)[:60]!r} is none", "send a number")
    return _digits(number)


def _bool(field: FieldDescription, value: FieldValue) -> str | BadValue:
    text = _plain(value).casefold()
    if text in _TRUE | _FALSE:
        return "true" if text in _TRUE else "false"
    return BadValue("invalid_value", f"{field.label} holds true or false, not {text[:60]!r}", "send true or false")


def _date(field: FieldDescription, value: FieldValue) -> str | BadValue:
    """A day; an instant gives its day in UTC, because HubSpot keeps midnight UTC."""
    text = str(value).strip()
    try:
        return date.fromisoformat(text).isoformat()
    except ValueError:
        moment = _instant(text)
    if moment is None:
        return BadValue("invalid_value", f"{field.label} holds a date, {text[:60]!r} is none", "send YYYY-MM-DD")
    return moment.date().isoformat()


def _datetime(field: FieldDescription, value: FieldValue) -> str | BadValue:
    text = str(value).strip()
    moment = _instant(text)
    if moment is None:
        return BadValue(
            "invalid_value", f"{field.label} holds an instant, {text[:60]!r} is none", "send 2026-11-22T10:00:00Z"
        )
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _instant(text: str) -> datetime | None:
    try:
        moment = datetime.fromisoformat(text)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def _options(field: FieldDescription, value: FieldValue) -> str | BadValue:
    """Options by value, else by label, in any case; several are joined by `;` in a multi-select."""
    if field.kind != MULTI and isinstance(value, list) and len(value) > 1:
        return BadValue("invalid_value", f"{field.label} takes one option, {len(value)} were sent", "send one")
    if isinstance(value, list):
        parts = [part.strip() for part in value]
    else:
        text = _plain(value)
        parts = [part.strip() for part in text.split(";")] if field.kind == MULTI else [text]
    chosen = [_option(field, part) for part in parts if part]
    missing = [part for part, option in zip([part for part in parts if part], chosen, strict=True) if option is None]
    if missing:
        some = ", ".join(label or name for name, label in field.options[:_MAX_OPTIONS_NAMED])
        more = ", …" if len(field.options) > _MAX_OPTIONS_NAMED else ""
        return BadValue(
            "invalid_option", f"{field.label} has no option {missing[0][:60]!r}", f"use one of: {some}{more}"
        )
    return ";".join(dict.fromkeys(option for option in chosen if option is not None))


def _option(field: FieldDescription, text: str) -> str | None:
    if not field.restricted:
        return text
    if any(text == value for value, _label in field.options):
        return text
    wanted = text.casefold()
    for place in (1, 0):  # the label is what people see, so it comes before another spelling of the value
        found = next((option[0] for option in field.options if option[place].strip().casefold() == wanted), None)
        if found is not None:
            return found
    return None


_BY_KIND: Final = {"number": _number, "bool": _bool, "date": _date, "datetime": _datetime}


def from_wire(field: FieldDescription | None, value: Any) -> FieldValue:
    """HubSpot's text as a typed value; None for null and "". A text that does not fit its kind stays as it is."""
    if value is None or value == "":
        return None
    text = scrub(str(value), len(str(value)))
    kind = field.kind if field else "string"
    if kind == "bool" and text in {"true", "false"}:
        return text == "true"
    if kind == "number":
        return _read_number(text)
    if kind == MULTI:
        return [part for part in text.split(";") if part]
    return text


def _read_number(text: str) -> FieldValue:
    try:
        number = Decimal(text)
    except InvalidOperation:
        return text
    if not number.is_finite() or abs(number.adjusted()) > 30:  # noqa: PLR2004 - beyond what JSON readers keep
        return text
    return int(number) if number == number.to_integral_value() else float(number)


def is_same(wanted: Mapping[str, str], present: Mapping[str, Any], fields: Mapping[str, FieldDescription]) -> bool:
    """True when writing `wanted` would change nothing: null equals "", 50 equals 50.0."""
    return all(
        _canonical(fields.get(name), value) == _canonical(fields.get(name), present.get(name))
        for name, value in wanted.items()
    )


def _canonical(field: FieldDescription | None, value: Any) -> str:
    text = "" if value is None else str(value).strip()
    if text and field and field.kind == "number":
        try:
            return _digits(Decimal(text))
        except InvalidOperation:
            return text
    return ";".join(sorted(text.split(";"))) if field and field.kind == MULTI else text
