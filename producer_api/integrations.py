"""The CRMs of a workspace: which there are, which are connected, and disconnecting one."""

from typing import Any, Literal
from uuid import UUID

import falcon
from pydantic import BaseModel, ConfigDict

from crm.errors import CrmError
from crm.model import Connection
from crm.registry import ListedAdapter
from crm.store import connections
from producer_api.bodies import optional_model
from producer_api.parts import Parts, problem_of
from producer_api.problems import Problem
from producer_api.scopes import Scope
from schemas.command import WritePolicy


class SettingsBody(BaseModel):
    """What a workspace may choose for a connection; what is left out stays as it is.

    Attributes:
        allow_delete: Commands with `mode: delete` may run.
        write_policy: For fields whose mapping and command name none.
        person_object: What `person` stands for on Salesforce.
    """

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    allow_delete: bool | None = None
    write_policy: WritePolicy | None = None
    person_object: Literal["Lead", "Contact"] | None = None


class Integrations:
    """`…/integrations`."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    def on_get(self, req: falcon.Request, resp: falcon.Response, workspace_id: str) -> None:
        """Every CRM that this service knows, and how it stands with this workspace."""
        _, workspace = self._parts.enter(req.get_header("Authorization"), workspace_id, Scope.INTEGRATIONS_READ)
        with self._parts.engine.connect() as connection:
            found = {row.integration_slug: row for row in connections.list_of(connection, workspace)}
        entries = self._parts.registry.list()
        resp.media = {"integrations": [_shown(entry, found.get(entry.slug), workspace) for entry in entries]}


class Integration:
    """`…/integrations/{slug}`."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    def on_get(self, req: falcon.Request, resp: falcon.Response, workspace_id: str, slug: str) -> None:
        """One CRM and how it stands with this workspace."""
        _, workspace = self._parts.enter(req.get_header("Authorization"), workspace_id, Scope.INTEGRATIONS_READ)
        entry = self._parts.listed(slug)
        with self._parts.engine.connect() as connection:
            found = connections.get(connection, workspace, slug)
        resp.media = _shown(entry, found, workspace)

    def on_patch(self, req: falcon.Request, resp: falcon.Response, workspace_id: str, slug: str) -> None:
        """Change the settings of a connection."""
        _, workspace = self._parts.enter(req.get_header("Authorization"), workspace_id, Scope.INTEGRATIONS_WRITE)
        entry = self._parts.listed(slug)
        chosen = optional_model(req, SettingsBody).model_dump(exclude_none=True)
        with self._parts.engine.begin() as connection:
            found = connections.change_settings(connection, workspace, slug, chosen)
        if found is None:
            raise Problem(409, "not_connected", f"{entry.name} was never connected to this workspace")
        resp.media = _shown(entry, found, workspace)

    def on_delete(self, req: falcon.Request, resp: falcon.Response, workspace_id: str, slug: str) -> None:
        """Disconnect: the grant is revoked at the CRM where it can be, the tokens are forgotten here in any case."""
        caller, workspace = self._parts.enter(req.get_header("Authorization"), workspace_id, Scope.INTEGRATIONS_WRITE)
        entry = self._parts.listed(slug)
        try:
            done = self._parts.authorizer.disconnect(workspace, slug, actor=caller.subject)
        except CrmError as error:
            raise problem_of(error) from None
        shown = _shown(entry, done.connection, workspace)
        resp.media = shown | {"revoked_at_crm": done.revoked, "tokens_forgotten": True, "note": done.note}


def _shown(entry: ListedAdapter, found: Connection | None, workspace_id: UUID) -> dict[str, Any]:
    address = f"/api/v1/workspaces/{workspace_id}/integrations/{entry.slug}"
    return {
        "slug": entry.slug,
        "name": entry.name,
        "configured": entry.configured,
        "status": found.status if found else "not_connected",
        "connection": _connection(found) if found else None,
        "links": {"self": address, "connect": f"{address}/connect", "mappings": f"{address}/mappings"},
    }


def _connection(found: Connection) -> dict[str, Any]:
    return {
        "id": str(found.id),
        "connected_at": found.connected_at.isoformat(),
        "crm_account": {"id": found.crm_account_id, "name": found.crm_account_name, "user": found.crm_user},
        "login_host": found.login_host,
        "status_reason": found.status_reason,
        "settings": dict(found.settings),
    }
