"""Property values: text on the wire, with a rule for each type (developer documentation "Properties")."""

import math
import re
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Any

from sandbox.hubspot.errors import PropertyFault
from sandbox.hubspot.schema import ObjectType, Property
from sandbox.hubspot.store import wire_datetime

LONGEST_VALUE = 65_536
_DAY_MS = 86_400_000
_EMAIL = re.compile(r"[^\s@<>()\[\],;:\\\"]+@[^\s@.<>()\[\],;:\\\"]+(\.[^\s@.<>()\[\],;:\\\"]+)+\Z")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class InvalidValueError(Exception):
    """A value that its property does not take."""

    def __init__(self, error: str, message: str) -> None:
        super().__init__(message)
        self.error = error


class NotScalarError(Exception):
    """A property value that is a JSON object or array: the body cannot be read at all."""


def normalize(kind: ObjectType, raw: Mapping[str, Any]) -> tuple[dict[str, str], list[PropertyFault]]:
    """Return the values as stored (an empty text clears a property) and every fault among them.

    Raises:
        NotScalarError: A value is an object or an array.
    """
    values: dict[str, str] = {}
    faults: list[PropertyFault] = []
    for name, value in raw.items():
        known = kind.properties.get(name)
        text = _as_text(value)
        if known is None:
            faults.append(PropertyFault(name, "PROPERTY_DOESNT_EXIST", f'Property "{name}" does not exist'))
        elif not known.is_writable:
            message = f'"{name}" is a read only property; its value cannot be set.'
            faults.append(PropertyFault(name, "READ_ONLY_VALUE", message))
        else:
            try:
                values[name] = _normalize_one(known, text)
            except InvalidValueError as error:
                faults.append(PropertyFault(name, error.error, str(error)))
    return values, faults


def _as_text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str | int | float):
        return str(value)
    raise NotScalarError


def _normalize_one(known: Property, text: str) -> str:
    if not text.strip():
        return ""
    if len(text) > LONGEST_VALUE:
        raise InvalidValueError("VALUE_TOO_LONG", f"{known.name} exceeds {LONGEST_VALUE} characters")
    if known.name == "email":
        return _email(text)
    rule = {"enumeration": _options, "number": _number, "bool": _bool, "date": _date, "datetime": _datetime}
    return rule[known.type](known, text) if known.type in rule else text.strip()


def _email(text: str) -> str:
    address = text.strip().lower()
    if not _EMAIL.match(address):
        raise InvalidValueError("INVALID_EMAIL", f"Email address {text} is invalid")
    return address


def _options(known: Property, text: str) -> str:
    allowed = [value for value, _ in known.options]
    chosen = text.strip(";").split(";") if known.is_multiple else [text]
    for value in chosen:
        if value not in allowed:
            message = f"{value} was not one of the allowed options: [{', '.join(allowed)}]"
            raise InvalidValueError("INVALID_OPTION", message)
    return text if known.is_multiple else chosen[0]


def _number(_known: Property, text: str) -> str:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number) or "_" in text:
        raise InvalidValueError("INVALID_INTEGER", f"{text} was not a valid number.")
    return text.strip()


def _bool(_known: Property, text: str) -> str:
    if text.strip().lower() not in {"true", "false"}:
        raise InvalidValueError("INVALID_OPTION", f"{text} was not one of the allowed options: [true, false]")
    return text.strip().lower()


def _date(_known: Property, text: str) -> str:
    try:
        if text.strip().lstrip("-").isdigit():
            if int(text) % _DAY_MS:
                raise InvalidValueError("INVALID_DATE", f"{text} is at other than midnight UTC")
            return (_EPOCH + timedelta(milliseconds=int(text))).date().isoformat()
        return date.fromisoformat(text.strip()).isoformat()
    except (ValueError, OverflowError) as error:
        raise InvalidValueError("INVALID_DATE", f"{text} was not a valid date.") from error


def _datetime(_known: Property, text: str) -> str:
    return wire_datetime(instant_ms(text))


def instant_ms(text: str) -> int:
    """Read a datetime, ISO 8601 or epoch milliseconds, as epoch milliseconds.

    Raises:
        InvalidValueError: It is neither.
    """
    try:
        if text.strip().lstrip("-").isdigit():
            return int(text)
        moment = datetime.fromisoformat(text.strip())
        aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        return round(aware.timestamp() * 1000)
    except (ValueError, OverflowError) as error:
        raise InvalidValueError("INVALID_DATE", f"{text} was not a valid date.") from error
