"""The sync result: exactly one for every readable command, on topic `crm.sync.results`.

JSON Schema: `schemas/json/result.v1.json`. Readers must set `isolation.level=read_committed`.
"""

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from pydantic import Field

from schemas.command import Direction
from schemas.failure import FailureCategory
from schemas.values import Count, ReaderModel

Action = Literal["created", "updated", "unchanged", "skipped", "failed"]
SyncStatus = Literal["completed", "partial", "failed"]

#: Bounds that keep a result of 200 outcomes below the message size limit.
MAX_ERRORS, MAX_WARNINGS, MAX_TEXT = 2, 3, 300


class Failure(ReaderModel):
    """Why a record or a whole command failed."""

    code: str = Field(description="Stable and open: new codes may appear.")
    category: FailureCategory = Field(description="Closed list.")
    message: str = Field(description="For a person; at most 300 characters.")
    hint: str = Field(default="", description="What to do about it.")
    retryable: bool = Field(default=False, description="Sending the same again may help.")
    field: str | None = Field(default=None, description="The Morket field, or the path in the command.")
    crm_field: str | None = Field(default=None, description="The CRM's own name of the field.")
    crm_code: str | None = Field(default=None, description="The CRM's own code, untouched.")


class OutcomeWarning(ReaderModel):
    """Something that was left out or changed on the way, without failing the record."""

    code: str = Field(description="Stable and open: new codes may appear.")
    field: str | None = Field(default=None, description="The Morket field.")
    crm_field: str | None = Field(default=None, description="The CRM's own name of the field.")
    message: str = Field(default="", description="For a person; at most 300 characters.")


class Outcome(ReaderModel):
    """What became of one record of the command."""

    index: Count = Field(description="Position in the command's records, from 0.")
    ref: str | None = Field(default=None, description="The publisher's own id of the record, as the command gave it.")
    crm_id: str | None = Field(default=None, description="The CRM's id of the record, where there is one.")
    action: Action = Field(description="What became of it. Closed list.")
    merged_into: Count | None = Field(
        default=None,
        description="Index of the record of the same command with the same key that this one was merged into.",
    )
    errors: Annotated[list[Failure], Field(max_length=MAX_ERRORS)] = Field(
        default=[], description="Why it failed; at most 2."
    )
    warnings: Annotated[list[OutcomeWarning], Field(max_length=MAX_WARNINGS)] = Field(
        default=[], description="What was left out or changed on the way; at most 3."
    )


class Counts(ReaderModel):
    """How many outcomes of each action; for a push they add up to record_count."""

    created: Count = Field(default=0, description="New in the CRM.")
    updated: Count = Field(default=0, description="Found and written.")
    unchanged: Count = Field(default=0, description="Found, and equal to what was to be written.")
    skipped: Count = Field(default=0, description="Left alone on purpose.")
    failed: Count = Field(default=0, description="Not written.")


class SourcePosition(ReaderModel):
    """Where the command stood in Kafka."""

    topic: str = Field(description="The topic that it was read from.")
    partition: Count = Field(description="Its partition.")
    offset: Count = Field(description="Its offset.")


class PullSummary(ReaderModel):
    """What a pull brought; the records themselves are on the records topic."""

    cursor: str | None = Field(description="Pass it next time: it brings only changes.")
    has_more: bool = Field(description="More records are ready: pull again with the cursor.")


class SyncResult(ReaderModel):
    """The one answer to a command."""

    command_id: str = Field(description="The command that is answered.")
    sync_id: UUID = Field(description="The row of the sync history.")
    workspace_id: UUID = Field(description="The Morket workspace.")
    connection_id: UUID | None = Field(default=None, description="The connection; null where there was none.")
    crm_account_id: str | None = Field(default=None, description="The CRM account (org id, hub id).")
    integration: str | None = Field(default=None, description="As the command named it; null where it named none.")
    direction: Direction | None = Field(default=None, description="As the command named it; null where it named none.")
    entity: str | None = Field(default=None, description="As the command named it; null where it named none.")
    crm_object: str | None = Field(default=None, description="The CRM object that the entity stands for.")
    status: SyncStatus = Field(
        description="failed: nothing succeeded and something failed. partial: both. completed: nothing failed. "
        "Closed list."
    )
    record_count: Count = Field(
        description="success_count + failure_count + skipped_count; for a pull, the records that it brought."
    )
    success_count: Count = Field(description="created + updated + unchanged; for a pull, the records that it brought.")
    failure_count: Count = Field(description="Records that failed.")
    skipped_count: Count = Field(description="Records that were left alone on purpose.")
    counts: Counts = Field(description="How many outcomes of each action; all 0 for a pull.")
    outcomes: list[Outcome] = Field(
        default=[], description="What became of each record of a push, by index; empty for a pull."
    )
    pull: PullSummary | None = Field(default=None, description="What a pull brought; null for a push.")
    error: Failure | None = Field(default=None, description="Why the command failed as a whole.")
    attempt: Annotated[int, Field(ge=1)] = Field(
        default=1, description="Over 1 where another worker had begun the command before."
    )
    api_calls: Count = Field(default=0, description="CRM calls that the command took.")
    api_calls_shared_with: Count = Field(default=0, description="Commands that shared these CRM calls.")
    record_url_template: str | None = Field(
        default=None, description="A link to a record in the CRM; replace {crm_id}."
    )
    started_at: datetime = Field(description="When the command was first ready to be sent.")
    completed_at: datetime = Field(description="When its outcome was known.")
    source: SourcePosition | None = Field(default=None, description="Where the command stood in Kafka.")


def status_of(success_count: int, failure_count: int) -> SyncStatus:
    """`failed` when nothing succeeded and something failed; `partial` when both; else `completed`."""
    if failure_count == 0:
        return "completed"
    return "partial" if success_count else "failed"
