"""What a pull brought: topic `crm.sync.records` (personal data, so apart from the results that dashboards read).

JSON Schema: `schemas/json/records.v1.json`.
"""

from datetime import datetime
from uuid import UUID

from pydantic import Field

from schemas.values import FieldValue, ReaderModel


class PulledRecord(ReaderModel):
    """One CRM record in Morket's field names, values typed by Morket field."""

    crm_id: str = Field(description="The CRM's id of the record.")
    modified_at: datetime | None = Field(default=None, description="When the CRM says it was last modified.")
    deleted: bool = Field(default=False, description="The record is deleted or archived; its fields may be missing.")
    fields: dict[str, FieldValue] = Field(description="Morket field -> value, typed by the Morket field.")


class PulledRecords(ReaderModel):
    """The records that one pull command brought."""

    command_id: str = Field(description="The pull command that is answered.")
    sync_id: UUID = Field(description="As in the command's result.")
    workspace_id: UUID = Field(description="The Morket workspace.")
    connection_id: UUID = Field(description="The connection that was read.")
    crm_account_id: str | None = Field(default=None, description="The CRM account (org id, hub id).")
    integration: str = Field(description="The slug of the CRM.")
    entity: str = Field(description="As the command named it.")
    crm_object: str = Field(description="The CRM object that was read.")
    records: list[PulledRecord] = Field(description="Oldest change first, as many as fit into 900 kB.")
    cursor: str | None = Field(default=None, description="Pass it in the next pull: it brings only changes.")
    has_more: bool = Field(default=False, description="More records are ready: pull again with the cursor.")
