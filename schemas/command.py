"""The sync command: what an upstream service asks this service to do with up to 200 records.

JSON Schema: `schemas/json/command.v1.json`. Kafka topic `crm.sync.commands`; message key
`{workspace_id}:{integration}`.
"""

from datetime import datetime, timedelta
from typing import Annotated, Literal, Self

from pydantic import Field, TypeAdapter, model_validator

from schemas.values import (
    CommandId,
    CrmId,
    EntityName,
    FieldValue,
    IntegrationSlug,
    MatchField,
    MorketField,
    RecordRef,
    WireInstant,
    WireModel,
    WireUuid,
)

#: The most records that one command may push or pull (the owner's batch limit).
MAX_RECORDS = 200

PushMode = Literal["upsert", "create", "update", "delete"]
WritePolicy = Literal["overwrite", "fill_if_empty", "create_only"]
Direction = Literal["push", "pull"]


class PushRecord(WireModel):
    """One record to push, in Morket's field names."""

    ref: RecordRef | None = Field(
        default=None, description="The publisher's own id of the record, echoed in its outcome."
    )
    crm_id: CrmId | None = Field(
        default=None,
        description="The CRM's id of the record, where the publisher knows it; it comes before any match field.",
    )
    fields: Annotated[dict[MorketField, FieldValue], Field(max_length=200)] = Field(
        description="Morket field -> value. Absent, null, empty and blank values leave the CRM's value alone; 0 and "
        "false are values."
    )
    clear: Annotated[list[MorketField], Field(max_length=200)] = Field(
        default=[], description="Morket fields to empty in the CRM."
    )

    @model_validator(mode="after")
    def _set_or_clear(self) -> Self:
        """A field is either set or cleared."""
        both = sorted({name for name in self.clear if _is_set(self.fields.get(name))})
        if both:
            raise ValueError(f"fields and clear both name {', '.join(both)}; leave each in one of them")
        return self


def _is_set(value: FieldValue) -> bool:
    """Whether a value would be written: null, blanks and empty lists leave the CRM alone; 0 and false do not."""
    return bool(value.strip()) if isinstance(value, str) else value not in (None, [])


class _Command(WireModel):
    """What pushes and pulls share."""

    command_id: CommandId | None = Field(
        default=None,
        description="The publisher's id of the command: the same id and body is run once. Absent: the CloudEvents id, "
        "else one derived from topic, partition and offset.",
    )
    workspace_id: WireUuid = Field(description="The Morket workspace.")
    integration: IntegrationSlug = Field(description="The slug of the CRM: salesforce, hubspot, …")
    entity: EntityName = Field(description="person, company, or the CRM's own object name in any case.")
    dry_run: bool = Field(default=False, description="Answer with a plan event and write nothing.")
    expires_at: WireInstant | None = Field(
        default=None,
        description="After this instant the command is not started. Default: 24 h after the message's timestamp.",
    )


class PushCommand(_Command):
    """Write 1 to 200 records to the CRM."""

    direction: Literal["push"] = Field(description="push: write records.")
    mode: PushMode = Field(
        default="upsert",
        description="upsert: create or update. create: an existing match is skipped. update: no match is a failure. "
        "delete: only where the connection allows it.",
    )
    match_on: Annotated[list[MatchField], Field(min_length=1, max_length=1)] | None = Field(
        default=None,
        description="One Morket field, or crm:<unique CRM field>. Default: the mapping's identifier, else the "
        "adapter's.",
    )
    write_policy: WritePolicy | None = Field(
        default=None,
        description="overwrite the CRM's values, fill_if_empty only, or create_only: write when creating and leave "
        "existing records' values alone. Default: the mapping's, else the connection's, else overwrite.",
    )
    strict: bool = Field(default=False, description="An unmapped field fails its record instead of adding a warning.")
    records: Annotated[list[PushRecord], Field(min_length=1, max_length=MAX_RECORDS)] = Field(
        description="1 to 200 records. Records with one key are merged field by field, in order."
    )


class PullCommand(_Command):
    """Read up to 200 records from the CRM; they come on the records topic."""

    direction: Literal["pull"] = Field(description="pull: read records.")
    limit: Annotated[int, Field(ge=1, le=MAX_RECORDS)] = Field(
        default=MAX_RECORDS, description="At most this many records; fewer where they would not fit into one message."
    )
    modified_since: WireInstant | None = Field(
        default=None, description="Only records that the CRM says were modified at or after this instant."
    )
    cursor: Annotated[str, Field(min_length=1, max_length=2000)] | None = Field(
        default=None, description="As a result's pull.cursor gave it: brings only what changed since."
    )
    fields: Annotated[list[MorketField], Field(min_length=1, max_length=200)] | None = Field(
        default=None, description="Morket fields to read. Default: all that are mapped for reading."
    )
    include_deleted: bool = Field(default=False, description="Bring deleted records too, marked as such.")


SyncCommand = Annotated[PushCommand | PullCommand, Field(discriminator="direction")]
SYNC_COMMAND: TypeAdapter[PushCommand | PullCommand] = TypeAdapter(SyncCommand)


def expires_at_of(command: PushCommand | PullCommand | None, published_at: datetime, default_s: float) -> datetime:
    """The instant after which `command` must not start: its own, else `default_s` seconds after it was published.

    None stands for a command that breaks the contract: what it says itself does not count.
    """
    return (command.expires_at if command else None) or published_at + timedelta(seconds=default_s)
