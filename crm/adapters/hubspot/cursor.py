"""Where a pull stands: an opaque text that carries the place in HubSpot's order of changes.

The order is (modified property in milliseconds, record id). HubSpot's search shows changes seconds late and not always
in that order, so a drained pull steps back by `FRESH_MS` and remembers what it gave from there on: what turns up late
is still given, and nothing twice.
"""

import base64
import binascii
import hashlib
import json
import struct
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Final

from crm.errors import CommandRefused

#: How far behind its newest change a search may still be incomplete.
FRESH_MS: Final = 30_000
#: A cursor fits the contract's 2,000 characters with this many remembered records.
MAX_SEEN: Final = 140
#: Above every record id: "all records of that millisecond were given".
MAX_ID: Final = 2**63 - 1

_VERSION = 1
_ENTRY = struct.Struct(">I4s")  # milliseconds after the first entry, mark
_DIGEST = 6
_MAX_MS = 2**43  # year 2248


@dataclass(frozen=True, slots=True)
class Seen:
    """A record that was given: when it was modified, and four bytes of its id's hash."""

    at_ms: int
    mark: bytes

    @classmethod
    def of(cls, at_ms: int, crm_id: str) -> "Seen":
        """The entry of a record."""
        return cls(at_ms, hashlib.blake2s(crm_id.encode(), digest_size=4).digest())


@dataclass(frozen=True, slots=True)
class Position:
    """A place in the changes of one object.

    Attributes:
        at_ms, record_id: Everything before this place was given.
        seen: Records after this place that were given too.
        floor_ms: The `modified_since` that the walk began with: what changed before it is never given.
        deleted_since_ms: Deletions up to this instant were given.
        deleted_after: HubSpot's paging mark of a walk through the archived records that is under way.
        deleted_max_ms: The newest deletion of that walk.
    """

    crm_object: str
    at_ms: int = 0
    record_id: int = 0
    seen: tuple[Seen, ...] = ()
    floor_ms: int = 0
    deleted_since_ms: int = 0
    deleted_after: str | None = None
    deleted_max_ms: int = 0

    def encode(self) -> str:
        """URL-safe text of at most 2,000 characters."""
        first_ms = min((entry.at_ms for entry in self.seen), default=0)
        head = [_VERSION, self.crm_object, self.at_ms, self.record_id, first_ms, self.floor_ms]
        head += [self.deleted_since_ms, self.deleted_after, self.deleted_max_ms]
        content = json.dumps(head, separators=(",", ":")).encode() + b"\n"
        content += b"".join(_ENTRY.pack(entry.at_ms - first_ms, entry.mark) for entry in self.seen)
        return base64.urlsafe_b64encode(_digest(content) + content).rstrip(b"=").decode()

    @classmethod
    def decode(cls, text: str, crm_object: str) -> "Position":
        """Read what `encode` wrote.

        Raises:
            CommandRefused: code `invalid_cursor`: altered, cut, or of another object.
        """
        try:
            raw = base64.b64decode(text.encode("ascii") + b"=" * (-len(text) % 4), altchars=b"-_", validate=True)
            position = cls._read(raw)
        except (ValueError, TypeError, binascii.Error, struct.error, RecursionError):
            raise CommandRefused("the cursor is not one that a HubSpot pull gave", code="invalid_cursor") from None
        if position.crm_object != crm_object:
            raise CommandRefused(
                f"the cursor belongs to {position.crm_object}, not to {crm_object}", code="invalid_cursor"
            )
        return position

    @classmethod
    def _read(cls, raw: bytes) -> "Position":
        content = raw[_DIGEST:]
        if raw[:_DIGEST] != _digest(content):
            raise ValueError("digest")
        head, _newline, entries = content.partition(b"\n")
        version, crm_object, at_ms, record_id, first_ms, floor_ms, since_ms, after, max_ms = json.loads(head)
        if version != _VERSION or not all(0 <= moment < _MAX_MS for moment in (at_ms, floor_ms, since_ms, max_ms)):
            raise ValueError("version or instant")
        seen = tuple(Seen(first_ms + after_ms, mark) for after_ms, mark in _ENTRY.iter_unpack(entries))
        return cls(str(crm_object), int(at_ms), int(record_id), seen, floor_ms, since_ms, after, max_ms)


def settle(position: Position, passed: Iterable[Seen], now_ms: int) -> Position:
    """The place from which a drained pull goes on next time.

    Args:
        position: After the last record.
        passed: What this pull went past.
        now_ms: The time in milliseconds.
    """
    fresh_from = now_ms - FRESH_MS
    fresh = sorted({*position.seen, *passed}, key=lambda entry: (entry.at_ms, entry.mark))
    fresh = [entry for entry in fresh if entry.at_ms > fresh_from]
    if not fresh or position.at_ms <= fresh_from:
        return replace(position, seen=())
    kept = fresh[-MAX_SEEN:]
    # A burst of more than fits is not stepped back over: its oldest part counts as complete.
    start = fresh_from if len(kept) == len(fresh) else fresh[-MAX_SEEN - 1].at_ms
    start = max(start, position.floor_ms - 1)
    return replace(position, at_ms=start, record_id=MAX_ID, seen=tuple(kept))


def remember(position: Position, passed: Iterable[Seen], now_ms: int) -> Position:
    """A place in the middle: what is fresh of what was passed is kept for the end."""
    fresh = sorted({*position.seen, *passed}, key=lambda entry: (entry.at_ms, entry.mark))
    kept = [entry for entry in fresh if entry.at_ms > now_ms - FRESH_MS][-MAX_SEEN:]
    return replace(position, seen=tuple(kept))


def _digest(content: bytes) -> bytes:
    # Against accidents, not against forgery: a forged cursor reads nothing that its owner could not read anyway.
    return hashlib.blake2s(content, digest_size=_DIGEST).digest()
