"""Which Morket fields there are, and which of them a CRM object has a mapping for."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from cli.database import opened
from cli.problems import WrongInput
from cli.settings import DATABASE_URL, DatabaseAccess, is_set
from crm.adapters.contract import CrmAdapter
from crm.errors import CommandRefused
from crm.http import AllowedHosts, HttpClient
from crm.registry import AdapterParts, listed_entries
from crm.settings import Settings, load
from crm.store import connections, mappings

#: An adapter is built here for what it knows by heart; none of these is ever used.
_NOT_USED: Final = {
    "DATABASE_URL": "postgresql:///",
    "CRM_SYNC_MASTER_KEYS": "-",
    "INTEGRATION_OAUTH_REDIRECT_BASE": "http://localhost",
    "CRM_SANDBOX_ORIGIN": None,
}


@dataclass(frozen=True, slots=True)
class KnownFields:
    """The Morket fields of an entity.

    Attributes:
        fields: All of them: those of every CRM's default mappings, and the workspace's own.
        mapped: Those that this CRM object takes; the others are left out with a warning.
        crm_object: The CRM's name of the object.
    """

    fields: frozenset[str]
    mapped: frozenset[str]
    crm_object: str


def known_fields(slug: str, entity: str, workspace_id: UUID) -> KnownFields:
    """The fields that a push of `entity` may carry.

    The workspace's own mappings count when DATABASE_URL is set; without it the defaults alone.

    Raises:
        WrongInput: There is no such CRM.
        CommandRefused: The CRM has no such object.
    """
    adapter = _adapter(slug)
    settings: Mapping[str, object] = {}
    own: frozenset[str] = frozenset()
    if is_set(DATABASE_URL):
        with opened(load(DatabaseAccess).database_url.get_secret_value()) as engine, engine.connect() as connection:
            stored = connections.get(connection, workspace_id, slug)
            settings = stored.settings if stored else {}
            names = {mappings.EVERY_ENTITY, entity.casefold(), adapter.resolve_object(entity, settings).casefold()}
            own = _fields_of(mappings.list_of(connection, workspace_id, slug), names)
    mapped = _defaults(adapter, entity, settings) | own
    everywhere = frozenset[str]().union(*(_defaults(_adapter(entry.slug), entity, {}) for entry in listed_entries()))
    return KnownFields(everywhere | mapped, mapped, adapter.resolve_object(entity, settings))


def _adapter(slug: str) -> CrmAdapter:
    entry = next((entry for entry in listed_entries() if entry.slug == slug), None)
    if entry is None:
        raise WrongInput(
            f"there is no integration {slug!r}; there are: {', '.join(entry.slug for entry in listed_entries())}"
        )
    http = HttpClient(timeout_s=1, connect_timeout_s=1, allowed_hosts=AllowedHosts(entry.hosts, None))
    return entry.factory(AdapterParts(http, None, load(Settings, **_NOT_USED)))


def _fields_of(stored: Sequence[mappings.StoredMapping], names: set[str]) -> frozenset[str]:
    return frozenset(one.mapping.morket_field for one in stored if one.entity.casefold() in names)


def _defaults(adapter: CrmAdapter, entity: str, settings: Mapping[str, object]) -> frozenset[str]:
    try:
        found = adapter.default_mappings(adapter.resolve_object(entity, settings))
    except CommandRefused:  # an object of one CRM only
        return frozenset()
    fields = {mapping.morket_field for mapping in found if mapping.direction != "pull"}
    # full_name is split into first and last name on the way, where those are absent.
    return frozenset(fields | ({"full_name"} if "last_name" in fields else set()))
