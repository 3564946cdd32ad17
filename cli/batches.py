"""Cutting records into sync commands: at most 200 records each, and small enough for the broker. Pure."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from uuid import UUID, uuid4

from schemas.command import MAX_RECORDS, PushCommand, PushMode, PushRecord

#: Bytes of one command's records: below the broker's limit of 1 MB, with room for the envelope.
MAX_BYTES = 900_000


@dataclass(frozen=True, slots=True)
class PushOrder:
    """What all commands of one file share; `match_on` None leaves the choice to the mapping."""

    workspace_id: UUID
    integration: str
    entity: str
    mode: PushMode = "upsert"
    match_on: str | None = None


def batches(records: Sequence[PushRecord], max_bytes: int = MAX_BYTES) -> Iterator[list[PushRecord]]:
    """Consecutive runs of records, each of at most 200 records and about `max_bytes` of JSON (one record at least)."""
    batch: list[PushRecord] = []
    size = 0
    for record in records:
        cost = len(record.model_dump_json().encode())
        if batch and (len(batch) == MAX_RECORDS or size + cost > max_bytes):
            yield batch
            batch, size = [], 0
        batch.append(record)
        size += cost
    if batch:
        yield batch


def push_commands(order: PushOrder, records: Sequence[PushRecord]) -> list[PushCommand]:
    """The commands for a file, each with a new random id, in the file's order."""
    return [
        PushCommand(
            command_id=str(uuid4()),
            workspace_id=order.workspace_id,
            integration=order.integration,
            entity=order.entity,
            direction="push",
            mode=order.mode,
            match_on=[order.match_on] if order.match_on else None,
            records=batch,
        )
        for batch in batches(records)
    ]
