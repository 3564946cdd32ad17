"""What the application is put together from; tests hand in their own."""

from dataclasses import dataclass
from uuid import UUID

from crm.authorize import Authorizer
from crm.commands import CommandDoor
from crm.errors import CrmError
from crm.registry import ListedAdapter, Registry
from crm.store import workspaces
from crm.store.engine import Engine
from crm.sync import SyncRunner
from producer_api.access import Caller, TokenCheck
from producer_api.problems import Problem, workspace_not_found
from producer_api.scopes import Scope
from producer_api.settings import ApiSettings


@dataclass(frozen=True, slots=True)
class Parts:
    """The services that the resources call. All of them are shared by all threads."""

    settings: ApiSettings
    engine: Engine
    registry: Registry
    authorizer: Authorizer
    commands: CommandDoor
    runner: SyncRunner
    tokens: TokenCheck

    def enter(self, authorization: str | None, workspace_id: str, scope: Scope) -> tuple[Caller, UUID]:
        """Check a request's access token against the workspace in its path.

        Raises:
            Problem: 401, 403, or 404 for a workspace that does not exist or that the token does not name.
        """
        caller = self.tokens.caller(authorization)
        try:
            workspace = UUID(workspace_id)
        except ValueError:
            raise workspace_not_found() from None
        caller.require(workspace, scope)
        with self.engine.connect() as connection:
            if not workspaces.exists(connection, workspace):
                raise workspace_not_found()
        return caller, workspace

    def listed(self, slug: str) -> ListedAdapter:
        """The CRM with this slug, configured or not.

        Raises:
            Problem: 404 `unknown_integration`.
        """
        entries = self.registry.list()
        found = next((entry for entry in entries if entry.slug == slug), None)
        if found is None:
            known = ", ".join(entry.slug for entry in entries)
            raise Problem(404, "unknown_integration", f"there is no integration of this name; there are: {known}")
        return found


#: Code of a CrmError -> HTTP status, where it is not the 502 of a CRM that gave no usable answer.
_STATUSES = {
    "unknown_integration": 404,
    "unknown_workspace": 404,
    "integration_not_configured": 409,
    "not_connected": 409,
    "reauth_required": 409,
    "command_id_reused": 409,
    "delete_not_allowed": 409,
    "invalid_command": 422,
    "not_supported_yet": 422,
    "no_mapping_for_entity": 422,
    "invalid_match_field": 422,
    "invalid_cursor": 422,
    "untrusted_host": 422,
    "return_to_refused": 422,
    "internal_error": 500,
    "rate_limited": 503,
    "quota_exhausted": 503,
    "crm_unavailable": 503,
}


def problem_of(error: CrmError) -> Problem:
    """The answer for an error of the inside: its code and its public text."""
    return Problem(_STATUSES.get(error.code, 502), error.code, error.public)
