"""The place where a pull stopped: an opaque text, checked when it comes back. Pure.

The order is (SystemModstamp, Id). SystemModstamp counts whole seconds and is set before its transaction commits, so a
record may turn up behind the last one that was given. A drained pull therefore steps back by `FRESH_S` and remembers
what it gave from there on: what turns up late is still given, and nothing twice.
"""

import base64
import binascii
import hashlib
import json
import struct
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Final, Self

from crm.adapters.salesforce import soql
from crm.errors import CommandRefused

#: How far behind the newest record another may still turn up.
FRESH_S: Final = 30
#: A cursor fits the contract's 2,000 characters with this many remembered records.
MAX_SEEN: Final = 220

_VERSION: Final = 1
_ENTRY: Final = struct.Struct(">B4s")  # seconds after the floor, mark
_DIGEST: Final = 6
_BEGINNING: Final = -1
_MAX_MS: Final = 2**43  # year 2248


@dataclass(frozen=True, slots=True, order=True)
class Seen:
    """A record that was given: the second of its change, and four bytes of the hash of what was given."""

    second: int
    mark: bytes


@dataclass(frozen=True, slots=True)
class Cursor:
    """A place in the changes of one object.

    Attributes:
        at_ms, record_id: Everything up to this record was given; without `record_id`, everything before `at_ms`. None
            after a pull that found nothing more: then `floor_s` and `seen` say it all.
        floor_s: Everything up to this second was given, or not asked for; what was given after it is in `seen`.
    """

    crm_object: str
    at_ms: int | None = None
    record_id: str | None = None
    floor_s: int = _BEGINNING
    seen: tuple[Seen, ...] = ()

    @classmethod
    def since(cls, crm_object: str, moment: datetime | None) -> Self:
        """The place before everything that changed at `moment` or later."""
        if moment is None:
            return cls(crm_object)
        at_ms = max(milliseconds(moment), 0)
        return cls(crm_object, at_ms, floor_s=-(-at_ms // 1000) - 1)

    def encode(self) -> str:
        """URL-safe text of at most 2,000 characters."""
        head = json.dumps([_VERSION, self.crm_object, self.at_ms, self.record_id, self.floor_s], separators=(",", ":"))
        base = max(self.floor_s, min((entry.second for entry in self.seen), default=0) - 1)
        entries = b"".join(_ENTRY.pack(entry.second - base, entry.mark) for entry in self.seen)
        content = head.encode() + f"\n{base}\n".encode() + entries
        return base64.urlsafe_b64encode(_digest(content) + content).rstrip(b"=").decode()

    @classmethod
    def decode(cls, text: str, crm_object: str) -> Self:
        """Read what `encode` wrote.

        Raises:
            CommandRefused: code `invalid_cursor`, it is not one of ours or belongs to another object.
        """
        try:
            padded = text.encode("ascii") + b"=" * (-len(text) % 4)
            cursor = cls._read(base64.b64decode(padded, altchars=b"-_", validate=True))
        except (ValueError, TypeError, binascii.Error, struct.error, RecursionError):
            raise CommandRefused("the cursor is not one that a Salesforce pull gave", code="invalid_cursor") from None
        if cursor.crm_object.lower() != crm_object.lower():
            message = f"the cursor belongs to {cursor.crm_object}, not to {crm_object}"
            raise CommandRefused(message, code="invalid_cursor")
        return cursor

    @classmethod
    def _read(cls, raw: bytes) -> Self:
        content = raw[_DIGEST:]
        if raw[:_DIGEST] != _digest(content):
            raise ValueError("digest")
        head, base, entries = content.split(b"\n", 2)
        version, crm_object, at_ms, record_id, floor_s = json.loads(head)
        if version != _VERSION or not _is_sound(crm_object, at_ms, record_id, floor_s):
            raise ValueError("not a cursor")
        seen = tuple(Seen(int(base) + after_s, mark) for after_s, mark in _ENTRY.iter_unpack(entries))
        return cls(crm_object, at_ms, record_id, floor_s, seen)

    def condition(self) -> str:
        """The WHERE clause of what comes after, for ORDER BY SystemModstamp, Id; empty for everything."""
        if self.at_ms is None:
            return f"SystemModstamp >= {_literal((self.floor_s + 1) * 1000)}" if self.floor_s >= 0 else ""
        moment = _literal(self.at_ms)
        if self.record_id is None:
            return f"SystemModstamp >= {moment}"
        later = f"(SystemModstamp = {moment} AND Id > {soql.quote(self.record_id)})"
        return f"(SystemModstamp > {moment} OR {later})"

    def after(self, at_ms: int, record_id: str, given: Iterable[Seen]) -> Self:
        """The place behind a record, with what was given on the way to it."""
        entries = sorted({*self.seen, *given})
        low = max(self.floor_s, at_ms // 1000 - FRESH_S)
        fresh = [entry for entry in entries if entry.second > low]
        if len(fresh) > MAX_SEEN:
            # A burst of more than fits is not stepped back over: its oldest seconds count as complete.
            low = fresh[-MAX_SEEN - 1].second
            fresh = [entry for entry in fresh if entry.second > low]
        return replace(self, at_ms=at_ms, record_id=record_id, floor_s=low, seen=tuple(fresh))

    def settled(self) -> Self:
        """The place from which a pull that found nothing more goes on next time."""
        return replace(self, at_ms=None, record_id=None) if self.record_id else self


def mark_of(row: Any, at_ms: int) -> Seen:
    """The entry of a row: another change within its second makes another entry."""
    content = json.dumps(row, sort_keys=True, default=str).encode()
    return Seen(at_ms // 1000, hashlib.blake2s(content, digest_size=4).digest())


def milliseconds(moment: datetime) -> int:
    """Milliseconds since 1970, rounded down."""
    return int(moment.timestamp() * 1000 // 1)


def _literal(at_ms: int) -> str:
    return soql.instant(datetime.fromtimestamp(at_ms / 1000, UTC))


def _is_sound(crm_object: Any, at_ms: Any, record_id: Any, floor_s: Any) -> bool:
    is_object = isinstance(crm_object, str) and soql.is_identifier(crm_object)
    is_place = at_ms is None or (isinstance(at_ms, int) and 0 <= at_ms < _MAX_MS)
    is_record = record_id is None or (at_ms is not None and isinstance(record_id, str) and soql.is_record_id(record_id))
    return is_object and is_place and is_record and isinstance(floor_s, int) and -1 <= floor_s < _MAX_MS // 1000


def _digest(content: bytes) -> bytes:
    # Against accidents, not against forgery: a forged cursor reads nothing that its owner could not read anyway.
    return hashlib.blake2s(content, digest_size=_DIGEST).digest()
