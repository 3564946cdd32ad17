"""The list of CRMs, one line each."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from crm.adapters.contract import CrmAdapter
from crm.adapters.hubspot import HubSpotAdapter
from crm.adapters.salesforce import SalesforceAdapter
from crm.errors import CommandRefused, ConfigurationFault
from crm.http import AllowedHosts, HttpClient
from crm.settings import OAuthClient, Settings


@dataclass(frozen=True, slots=True)
class AdapterParts:
    """What an adapter is built from. `http` calls only the hosts of its entry."""

    http: HttpClient
    client: OAuthClient | None
    settings: Settings


@dataclass(frozen=True, slots=True)
class AdapterEntry:
    """One CRM: its slug, as stored and as in commands; its name for people; its hosts; how its adapter is built."""

    slug: str
    name: str
    hosts: tuple[str, ...]
    factory: Callable[[AdapterParts], CrmAdapter]


@dataclass(frozen=True, slots=True)
class ListedAdapter:
    """A CRM as a list shows it."""

    slug: str
    name: str
    configured: bool


def _salesforce(parts: AdapterParts) -> CrmAdapter:
    settings = parts.settings
    return SalesforceAdapter(
        parts.http,
        parts.client,
        api_version=settings.salesforce_api_version,
        sandbox_origin=settings.sandbox_origin,
    )


def _hubspot(parts: AdapterParts) -> CrmAdapter:
    settings = parts.settings
    return HubSpotAdapter(
        parts.http, parts.client, api_version=settings.hubspot_api_version, sandbox_origin=settings.sandbox_origin
    )


# Calls go to *.salesforce.com alone: *.force.com also holds pages that customers themselves publish.
ADAPTERS: Final[tuple[AdapterEntry, ...]] = (
    AdapterEntry("salesforce", "Salesforce", ("salesforce.com",), _salesforce),
    AdapterEntry("hubspot", "HubSpot", ("hubapi.com", "hubspot.com"), _hubspot),
)


class Registry:
    """The adapters of this process, built once and shared by all threads."""

    def __init__(self, entries: Sequence[AdapterEntry], adapters: Mapping[str, CrmAdapter]) -> None:
        self._entries = {entry.slug: entry for entry in entries}
        self._adapters = dict(adapters)

    def get(self, slug: str) -> CrmAdapter:
        """The adapter of one CRM.

        Raises:
            CommandRefused: code `unknown_integration`, there is no such CRM.
            ConfigurationFault: code `integration_not_configured`, it has no OAuth client.
        """
        entry = self._entries.get(slug)
        if entry is None:
            known = ", ".join(self._entries)
            raise CommandRefused(f"there is no integration {slug}; there are: {known}", code="unknown_integration")
        adapter = self._adapters.get(slug)
        if adapter is None:
            prefix = slug.upper().replace("-", "_")
            raise ConfigurationFault(
                f"{prefix}_CLIENT_ID and {prefix}_CLIENT_SECRET are not set",
                public=f"{entry.name} is not configured on this server",
                code="integration_not_configured",
            )
        return adapter

    def list(self) -> tuple[ListedAdapter, ...]:
        """All CRMs, configured or not, in the order of the list."""
        return tuple(
            ListedAdapter(entry.slug, entry.name, entry.slug in self._adapters) for entry in self._entries.values()
        )


def build_registry(settings: Settings, entries: Sequence[AdapterEntry] = ADAPTERS) -> Registry:
    """Build the adapter of every CRM that has an OAuth client in the settings."""
    adapters: dict[str, CrmAdapter] = {}
    for entry in entries:
        client = settings.oauth_client(entry.slug)
        if client is not None:
            http = HttpClient(
                timeout_s=settings.call_timeout_s,
                connect_timeout_s=settings.connect_timeout_s,
                allowed_hosts=AllowedHosts(entry.hosts, settings.sandbox_origin),
            )
            adapters[entry.slug] = entry.factory(AdapterParts(http, client, settings))
    return Registry(entries, adapters)
