"""What a command means for its workspace: connection, adapter, CRM object, mappings. No call leaves."""

from collections.abc import Sequence
from dataclasses import dataclass

from crm import mapping
from crm.adapters.contract import CrmAdapter
from crm.errors import CommandRefused, NotConnected, ReauthRequired
from crm.model import Connection, FieldMapping
from crm.registry import Registry
from crm.store import connections, mappings, workspaces
from crm.store.engine import Engine
from schemas.command import PullCommand, PushCommand


@dataclass(frozen=True, slots=True)
class Resolved:
    """What a command means for this workspace: its connection, adapter, CRM object and mappings."""

    connection: Connection
    adapter: CrmAdapter
    crm_object: str
    field_mappings: tuple[FieldMapping, ...]


def unsupported(command: PushCommand | PullCommand) -> list[str]:
    """The options of a command that are part of the contract and not built yet; refused, never ignored."""
    return ["dry_run"] if command.dry_run else []


def resolve(engine: Engine, registry: Registry, command: PushCommand | PullCommand) -> Resolved:
    """Find connection, adapter, object and mappings of a command; no call leaves.

    Raises:
        CommandRefused: not_supported_yet, unknown_workspace, unknown_integration, no_mapping_for_entity.
        ConfigurationFault: the CRM has no client settings.
        NotConnected, ReauthRequired: a person must connect or reconnect.
    """
    missing = unsupported(command)
    if missing:
        raise CommandRefused(f"not built yet: {', '.join(missing)}", code="not_supported_yet")
    with engine.begin() as connection:
        if not workspaces.exists(connection, command.workspace_id):
            raise CommandRefused(f"there is no workspace {command.workspace_id}", code="unknown_workspace")
        adapter = registry.get(command.integration)
        found = connections.get(connection, command.workspace_id, command.integration)
        overrides = mappings.list_of(connection, command.workspace_id, command.integration)
    if found is None or found.status == "disconnected":
        raise NotConnected(f"{adapter.name} is not connected to this workspace")
    if found.status == "reauth_required":
        raise ReauthRequired(f"{adapter.name} must be reconnected: {found.status_reason or 'the grant ended'}")
    if isinstance(command, PushCommand) and command.mode == "delete" and not found.settings.get("allow_delete"):
        raise CommandRefused("this connection does not allow deletes", code="delete_not_allowed")
    crm_object = adapter.resolve_object(command.entity, found.settings)
    chosen = _overrides_for(overrides, command.entity, crm_object)
    field_mappings = mapping.mappings_for(adapter.default_mappings(crm_object), chosen)
    if not field_mappings:
        raise CommandRefused(f"no field is mapped for {command.entity}", code="no_mapping_for_entity")
    return Resolved(found, adapter, crm_object, field_mappings)


def _overrides_for(stored: Sequence[mappings.StoredMapping], entity: str, crm_object: str) -> tuple[FieldMapping, ...]:
    """The workspace's mappings that hold for an object: those of the object before those of every object (`*`)."""
    chosen: dict[str, FieldMapping] = {}
    for scope in ("*", entity.lower(), crm_object.lower()):
        chosen |= {row.mapping.morket_field: row.mapping for row in stored if row.entity.lower() == scope}
    return tuple(chosen.values())
