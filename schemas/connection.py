"""The connection event: the whole state of a connection each time it changes, on topic `crm.sync.connections`.

JSON Schema: `schemas/json/connection.v1.json`.
"""

from typing import Annotated, Literal
from uuid import UUID

from pydantic import Field

from schemas.values import Count, ReaderModel

ConnectionStatus = Literal["connected", "reauth_required", "disconnected"]
ConnectionEventName = Literal["connected", "reconnected", "reauth_required", "recovered", "disconnected"]


class CrmAccount(ReaderModel):
    """The org or portal in the CRM."""

    id: str = Field(description="The org id (Salesforce) or hub id (HubSpot).")
    name: str | None = Field(default=None, description="Its name, where the CRM tells it.")
    user: str | None = Field(default=None, description="The user who connected it, as the CRM names them.")


class ConnectionEvent(ReaderModel):
    """A connection as it is after `event`."""

    connection_id: UUID = Field(description="Stays the same over reconnects.")
    workspace_id: UUID = Field(description="The Morket workspace.")
    integration: str = Field(description="The slug of the CRM.")
    sequence: Annotated[int, Field(ge=1)] = Field(description="Rises by one with each event of a connection.")
    event: ConnectionEventName = Field(description="What happened. Closed list.")
    status: ConnectionStatus = Field(description="The state after it. Closed list.")
    previous_status: ConnectionStatus | None = Field(default=None, description="The state before; null at first.")
    reason: str | None = Field(default=None, description="Why, in words for a person.")
    crm_account: CrmAccount | None = Field(default=None, description="The account that is or was connected.")
    held_commands: Count = Field(default=0, description="Commands that wait for a person to reconnect.")
