"""Values on Salesforce's wire: native JSON types, checked against the live field before they are sent. Pure.

Sources: developer.salesforce.com, Object Reference, "Field Types"; REST API Developer Guide, "Valid Date and DateTime
Formats".
"""

import re
import sys
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime
from decimal import Decimal, InvalidOperation
from functools import lru_cache, partial
from typing import Any, Final

from crm.adapters.salesforce.soql import instant, is_record_id
from crm.matching import long_id
from crm.model import FieldDescription
from crm.text import scrub
from schemas.values import FieldValue

NUMBERS: Final = frozenset({"int", "long", "double", "currency", "percent"})
_WHOLE: Final = frozenset({"int", "long"})
_EMAIL: Final = re.compile(
    r"[^\s@<>(),;:\\\"\[\]]{1,64}@(?:[^\s@<>(),;:\\\"\[\].]{1,63}\.)+[^\s@<>(),;:\\\"\[\].]{2,63}"
)
# Some of what `_EMAIL` takes, which is nearly all that comes, in half the time: no list of exceptions a character.
_USUAL_EMAIL: Final = re.compile(r"[A-Za-z0-9._%+-]{1,64}+@(?:[A-Za-z0-9-]{1,63}+\.)++[A-Za-z0-9-]{2,63}+")
_GROUPED: Final = re.compile(r"[+-]?\d{1,3}(?:([,' \u00a0\u202f])\d{3})(?:\1\d{3})*(?:\.\d+)?")
_FLAGS: Final = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
_MAX_OPTIONS_NAMED: Final = 5
_MAX_SHOWN: Final = 80
# Whole numbers of so many digits are doubles without loss.
_SAFE_DIGITS: Final = 15


class Unfit(ValueError):
    """A value that its field cannot take: a public code, a text for a person and what to do."""

    def __init__(self, code: str, message: str, hint: str) -> None:
        super().__init__(message)
        self.code = code
        self.hint = hint


#: Gives the JSON value to send for a value, which is neither null nor blank and trimmed, or raises `Unfit`.
Converter = Callable[[FieldValue], FieldValue]


def converter(field: FieldDescription) -> Converter:
    """The converter of a field, to be made once for all records; what is nearly always sent takes a short way."""
    if field.kind in NUMBERS:
        return _number_converter(field)
    if field.kind == "picklist":
        return _option_converter(field)
    if field.kind == "email":
        return _email_converter(field)
    convert = _BY_KIND.get(field.kind)
    return partial(convert, field) if convert else _text_converter(field)


def longest_text(field: FieldDescription) -> int:
    """Up to which length the field's converter gives any text back as it is; -1 where the text itself counts."""
    is_text = field.kind not in NUMBERS and field.kind != "picklist" and field.kind not in _BY_KIND
    return (field.max_length or sys.maxsize) if is_text else -1


def to_wire(field: FieldDescription, value: FieldValue) -> FieldValue:
    """The JSON value to send for `value`, which is neither null nor blank.

    Raises:
        Unfit: the field cannot take it.
    """
    return converter(field)(value.strip() if isinstance(value, str) else value)


def from_wire(field: FieldDescription, value: Any) -> FieldValue:
    """What a field holds, typed by its kind; instants in ISO 8601 with `Z`, several options as a list."""
    if isinstance(value, bool) or value is None:
        return value
    if isinstance(value, int | float):
        # Salesforce writes whole numbers with a point too.
        return int(value) if float(value).is_integer() else value
    if not isinstance(value, str):
        return None
    text = scrub(value, limit=len(value) + 1)
    if field.kind == "multipicklist":
        return [part for part in text.split(";") if part]
    moment = read_instant(text) if field.kind == "datetime" else None
    return instant(moment) if moment else text


def is_same(field: FieldDescription, wanted: FieldValue, held: Any) -> bool:
    """True when writing `wanted` would change nothing."""
    if wanted is None or held is None:
        return wanted is None and held in (None, "")
    if field.kind in NUMBERS and not isinstance(held, str):
        return float(wanted) == float(held)  # type: ignore[arg-type] # to_wire made it a number
    if field.kind == "multipicklist":
        return set(str(wanted).split(";")) == set(str(held).split(";"))
    if field.kind == "datetime":
        return read_instant(str(wanted)) == read_instant(str(held))
    if field.kind in ("reference", "id"):
        return long_id(str(wanted)) == long_id(str(held))
    # Salesforce keeps e-mail addresses in lower case.
    return str(wanted).lower() == str(held).lower() if field.kind == "email" else wanted == held


def read_instant(text: str) -> datetime | None:
    """An ISO 8601 instant in UTC; Salesforce writes its offset without a colon. None when it is none."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)


def _text_converter(field: FieldDescription) -> Converter:
    longest = longest_text(field)

    def convert(value: FieldValue) -> FieldValue:
        if isinstance(value, str) and len(value) <= longest:
            return value
        return _checked_length(field, _plain(value))

    return convert


def _email_converter(field: FieldDescription) -> Converter:
    longest = field.max_length or sys.maxsize

    def convert(value: FieldValue) -> FieldValue:
        if not isinstance(value, str) or len(value) > longest or ".." in value or value.startswith("."):
            return _email(field, value)
        return value if _USUAL_EMAIL.fullmatch(value) else _email(field, value)

    return convert


def _number_converter(field: FieldDescription) -> Converter:
    digits = _SAFE_DIGITS if field.kind not in _WHOLE else min(field.max_length or _SAFE_DIGITS, _SAFE_DIGITS)
    bound = 10**digits

    def convert(value: FieldValue) -> FieldValue:
        if type(value) is int and -bound < value < bound:
            return value
        return _number(field, value)

    return convert


def _option_converter(field: FieldDescription) -> Converter:
    spellings, _folded = _spellings(field.options)
    longest = field.max_length or sys.maxsize
    ready = {spelling: value for spelling, value in spellings.items() if value and len(value) <= longest}

    def convert(value: FieldValue) -> FieldValue:
        found = ready.get(value) if isinstance(value, str) else None
        return found or _option(field, value)

    return convert


def _number(field: FieldDescription, value: FieldValue) -> FieldValue:
    if isinstance(value, bool | list):
        raise _wrong(field, value, "a number")
    text = str(value).strip()
    if _GROUPED.fullmatch(text):
        text = re.sub(r"[,' \u00a0\u202f]", "", text)
    try:
        number = Decimal(text)
    except InvalidOperation:
        raise _wrong(field, value, "a number") from None
    if not number.is_finite() or abs(number.adjusted()) > 300:  # noqa: PLR2004 - beyond a double
        raise _wrong(field, value, "a number")
    if field.kind not in _WHOLE:
        return int(number) if number == number.to_integral_value() else float(number)
    return _whole(field, value, number)


def _whole(field: FieldDescription, value: FieldValue, number: Decimal) -> int:
    if number != number.to_integral_value():
        raise _wrong(field, value, "a whole number")
    digits = len(str(abs(int(number))))
    if field.max_length and digits > field.max_length:
        message = f"{field.label} holds {field.max_length} digits, {digits} were sent"
        raise Unfit("invalid_value", message, "correct the number or map to another field")
    return int(number)


def _flag(field: FieldDescription, value: FieldValue) -> FieldValue:
    found = value if isinstance(value, bool) else _FLAGS.get(_plain(value).lower())
    if found is None:
        raise _wrong(field, value, "true or false")
    return found


def _date(field: FieldDescription, value: FieldValue) -> FieldValue:
    text = _plain(value)
    try:
        return date.fromisoformat(text[:10]).isoformat() if read_instant(text) else _refuse_date(field, value)
    except ValueError:
        raise _wrong(field, value, "a date such as 2026-01-31") from None


def _refuse_date(field: FieldDescription, value: FieldValue) -> str:
    raise _wrong(field, value, "a date such as 2026-01-31")


def _datetime(field: FieldDescription, value: FieldValue) -> FieldValue:
    moment = read_instant(_plain(value))
    if moment is None:
        raise _wrong(field, value, "an instant such as 2026-01-31T12:00:00Z")
    return instant(moment)


def _option(field: FieldDescription, value: FieldValue) -> FieldValue:
    if isinstance(value, list) and len(value) > 1:
        message = f"{field.label} takes one option, {len(value)} were sent"
        raise Unfit("invalid_option", message, "send one, or map to a field that takes several")
    return _checked_length(field, _known_option(field, _plain(value)))


def _options(field: FieldDescription, value: FieldValue) -> FieldValue:
    parts = value if isinstance(value, list) else _plain(value).split(";")
    return ";".join(_known_option(field, part.strip()) for part in parts if part.strip())


def _known_option(field: FieldDescription, text: str) -> str:
    """The option's own value for a value or label in any case; any text where the picklist is open."""
    spellings, folded = _spellings(field.options)
    found = spellings.get(text) or folded.get(text.casefold())
    if found is None and field.restricted:
        named = ", ".join(value for value, _label in field.options[:_MAX_OPTIONS_NAMED])
        more = ", …" if len(field.options) > _MAX_OPTIONS_NAMED else ""
        message = f"{field.label} has no option {_shown(text)}; its options are {named}{more}"
        raise Unfit("invalid_option", message, "use one of the field's options or map the value to one")
    return found or text


@lru_cache(maxsize=256)
def _spellings(options: tuple[tuple[str, str], ...]) -> tuple[dict[str, str], dict[str, str]]:
    """Value or label -> value, as they are and case-folded; where two options share one, the first counts."""
    spellings = {spelling: value for value, label in reversed(options) for spelling in (label, value)}
    return spellings, {spelling.casefold(): value for spelling, value in spellings.items()}


def _email(field: FieldDescription, value: FieldValue) -> FieldValue:
    text = _plain(value)
    if not _EMAIL.fullmatch(text) or ".." in text or text.startswith("."):
        raise Unfit("invalid_email", f"{_shown(text)} is not an e-mail address", "correct the e-mail address")
    return _checked_length(field, text)


def _record_id(field: FieldDescription, value: FieldValue) -> FieldValue:
    text = _plain(value)
    if not is_record_id(text):
        raise _wrong(field, value, "the id of a Salesforce record")
    return long_id(text)


def _checked_length(field: FieldDescription, text: str) -> str:
    if field.max_length and len(text) > field.max_length:
        message = f"{field.label} holds {field.max_length} characters, {len(text)} were sent"
        raise Unfit("value_too_long", message, "shorten it or map to a longer field")
    return text


def _plain(value: FieldValue) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return "; ".join(value) if isinstance(value, list) else str(value).strip()


def _wrong(field: FieldDescription, value: FieldValue, wanted: str) -> Unfit:
    return Unfit("invalid_value", f"{field.label} takes {wanted}, not {_shown(_plain(value))}", "correct the value")


def _shown(text: str) -> str:
    return f'"{scrub(text, _MAX_SHOWN)}"'


_BY_KIND: Final[Mapping[str, Callable[[FieldDescription, FieldValue], FieldValue]]] = {
    "boolean": _flag,
    "date": _date,
    "datetime": _datetime,
    "multipicklist": _options,
    "email": _email,
    "reference": _record_id,
    "id": _record_id,
}
