"""The plan: the answer to a command with `dry_run: true`. JSON Schema: `schemas/json/plan.v1.json`."""

from typing import Literal
from uuid import UUID

from pydantic import Field

from schemas.result import Failure, OutcomeWarning
from schemas.values import Count, FieldValue, ReaderModel


class FieldChange(ReaderModel):
    """One CRM field before and after."""

    crm_field: str = Field(description="The CRM's own name of the field.")
    before: FieldValue = Field(default=None, description="The value in the CRM now.")
    after: FieldValue = Field(default=None, description="The value that would be written; null empties the field.")
    kept: bool = Field(default=False, description="The write policy keeps the value that is there.")


class PlannedRecord(ReaderModel):
    """What would become of one record."""

    index: Count = Field(description="Position in the command's records, from 0.")
    ref: str | None = Field(default=None, description="The publisher's own id of the record.")
    crm_id: str | None = Field(default=None, description="The CRM record that it matches, if any.")
    action: Literal["create", "update", "unchanged", "skip", "reject"] = Field(
        description="What would be done. Closed list."
    )
    changes: list[FieldChange] = Field(default=[], description="The CRM fields that would be written.")
    errors: list[Failure] = Field(default=[], description="Why it would be rejected.")
    warnings: list[OutcomeWarning] = Field(default=[], description="What would be left out.")


class SyncPlan(ReaderModel):
    """What a command would do; nothing was written."""

    command_id: str = Field(description="The command that is answered.")
    workspace_id: UUID = Field(description="The Morket workspace.")
    integration: str = Field(description="The slug of the CRM.")
    entity: str = Field(description="As the command named it.")
    crm_object: str | None = Field(default=None, description="The CRM object that it stands for.")
    records: list[PlannedRecord] = Field(default=[], description="One for each record of the command, in order.")
    api_calls: Count = Field(default=0, description="CRM calls that making this plan took.")
    error: Failure | None = Field(default=None, description="Why no plan could be made.")
