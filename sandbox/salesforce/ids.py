"""Salesforce record ids: 15 case-sensitive characters, and the 18-character form with a case checksum."""

import re
import string

BASE_62 = string.digits + string.ascii_uppercase + string.ascii_lowercase
_CHECKSUM = string.ascii_uppercase + "012345"
_CHUNK = 5
_SHORT = 15
_LONG = 18
_ID = re.compile(r"[0-9A-Za-z]{15}(?:[A-Z0-5]{3})?\Z")

PREFIXES = {"Organization": "00D", "User": "005", "Account": "001", "Contact": "003", "Lead": "00Q"}


def checksum(id_15: str) -> str:
    """Return the three characters that tell which of the 15 are upper case."""
    chunks = (id_15[start : start + _CHUNK] for start in range(0, _SHORT, _CHUNK))
    return "".join(
        _CHECKSUM[sum(1 << position for position, letter in enumerate(chunk) if letter in string.ascii_uppercase)]
        for chunk in chunks
    )


def to_18(record_id: str) -> str | None:
    """Return the 18-character form of a 15- or 18-character id, or ``None`` when it is not an id.

    An 18-character id is case-insensitive: the case is restored from its checksum.
    """
    if not _ID.match(record_id[:_SHORT] + record_id[_SHORT:].upper()):
        return None
    if len(record_id) == _SHORT:
        return record_id + checksum(record_id)
    if record_id[_SHORT:] == checksum(record_id[:_SHORT]):
        return record_id
    return _restore_case(record_id)


def _restore_case(record_id: str) -> str:
    suffix = record_id[_SHORT:].upper()
    letters: list[str] = []
    for chunk_number, mark in enumerate(suffix):
        bits = _CHECKSUM.index(mark)
        chunk = record_id[chunk_number * _CHUNK : (chunk_number + 1) * _CHUNK]
        letters += [letter.upper() if bits >> position & 1 else letter.lower() for position, letter in enumerate(chunk)]
    return "".join(letters) + suffix


def new_id(prefix: str, pod: int, number: int) -> str:
    """Return the 18-character id of the ``number``-th record in org number ``pod`` for a key prefix such as ``00Q``."""
    id_15 = prefix + _base_62(pod, 2) + _base_62(number, 10)
    return id_15 + checksum(id_15)


def _base_62(number: int, width: int) -> str:
    digits = ""
    for _ in range(width):
        number, digit = divmod(number, len(BASE_62))
        digits = BASE_62[digit] + digits
    return digits
