"""The place where a pull stopped: opaque to everybody else, checked when it comes back. Pure."""

import base64
import binascii
import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Self

from crm.adapters.salesforce import soql
from crm.adapters.salesforce.values import read_instant
from crm.errors import CommandRefused

_VERSION: Final = 1


@dataclass(frozen=True, slots=True)
class Cursor:
    """After the record `record_id` of `crm_object` that was changed at `modified_at`.

    Without `record_id`: from the instant on, and without that from the beginning.
    """

    crm_object: str
    modified_at: datetime | None = None
    record_id: str | None = None

    def encode(self) -> str:
        """The text that a publisher keeps and passes back."""
        moment = soql.instant(self.modified_at) if self.modified_at else None
        content = json.dumps([_VERSION, self.crm_object, moment, self.record_id], separators=(",", ":"))
        return base64.urlsafe_b64encode(content.encode()).decode().rstrip("=")

    @classmethod
    def decode(cls, text: str, crm_object: str) -> Self:
        """Read what `encode` wrote.

        Raises:
            CommandRefused: code `invalid_cursor`, it is not one of ours or belongs to another object.
        """
        try:
            content = json.loads(base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True))
            cursor = cls._read(content)
        except (ValueError, binascii.Error, RecursionError):
            raise _invalid("the cursor is not one that this service gave") from None
        if cursor.crm_object.lower() != crm_object.lower():
            raise _invalid(f"the cursor belongs to {cursor.crm_object}, not to {crm_object}")
        return cursor

    @classmethod
    def _read(cls, content: Any) -> Self:
        version, crm_object, moment, record_id = content
        modified_at = read_instant(moment) if isinstance(moment, str) else None
        is_sound = (
            version == _VERSION
            and isinstance(crm_object, str)
            and (moment is None or modified_at is not None)
            and (record_id is None or (modified_at and isinstance(record_id, str) and soql.is_record_id(record_id)))
        )
        if not is_sound:
            raise ValueError("not a cursor")
        return cls(soql.identifier(crm_object), modified_at, record_id)

    def condition(self) -> str:
        """The WHERE clause of what comes after, for ORDER BY SystemModstamp, Id; empty for everything."""
        if self.modified_at is None:
            return ""
        moment = soql.instant(self.modified_at)
        if self.record_id is None:
            return f"SystemModstamp >= {moment}"
        later = f"(SystemModstamp = {moment} AND Id > {soql.quote(self.record_id)})"
        return f"(SystemModstamp > {moment} OR {later})"


def _invalid(why: str) -> CommandRefused:
    return CommandRefused(why, code="invalid_cursor")
