"""Messages, readable commands and works for tests of the consumer's pure parts."""

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from consumer.decode import Limits, RawMessage, Readable, decode
from consumer.work import Work
from crm.store.ownership import PartitionId

WORKSPACE = UUID("7d0a2a0e-3a5e-4e52-9b9e-0d2f7f3c1a11")
NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
PARTITION = PartitionId("crm.sync.commands", 3)
LIMITS = Limits(max_message_bytes=1_000_000, claim_retention_s=30 * 86_400.0, expire_after_s=86_400.0)


def command_body(**changes: Any) -> dict[str, Any]:
    """A good push command of one person, with some of its fields changed; a change to `...` leaves a field out."""
    body = {
        "command_id": "c-1",
        "workspace_id": str(WORKSPACE),
        "integration": "salesforce",
        "direction": "push",
        "entity": "person",
        "records": [{"ref": "r0", "fields": {"email": "ada@example.com", "last_name": "Lovelace"}}],
        **changes,
    }
    return {name: value for name, value in body.items() if value is not ...}


def raw_message(
    value: Mapping[str, Any] | bytes | None,
    *,
    key: bytes | None = f"{WORKSPACE}:salesforce".encode(),
    headers: Sequence[tuple[str, bytes | None]] = (),
    offset: int = 812,
    age: timedelta = timedelta(),
) -> RawMessage:
    """A message of the commands topic; a mapping becomes JSON. `age` is counted back from NOW."""
    content = json.dumps(value).encode() if isinstance(value, Mapping) else value
    return RawMessage(PARTITION, offset, key, content, headers, int((NOW - age).timestamp() * 1000))


def readable(**changes: Any) -> Readable:
    """A readable command."""
    found = decode(raw_message(command_body(**changes)), LIMITS, NOW)
    assert isinstance(found, Readable), found
    return found


def work(*, partition: PartitionId = PARTITION, offset: int = 812, epoch: int = 1, **changes: Any) -> Work:
    """A command on its way."""
    return Work(partition, offset, epoch, readable(**changes))
