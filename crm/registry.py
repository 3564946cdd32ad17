"""The list of CRMs: ours, one line each, and those of installed packages, one entry point each.

Entry points: packaging.python.org/en/latest/specifications/entry-points. How a package adds a CRM is shown in
`docs/adding-a-crm.md`.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import EntryPoint, entry_points
from typing import Final

from crm.adapters.contract import CrmAdapter
from crm.adapters.hubspot import HubSpotAdapter, HubSpotFlags
from crm.adapters.hubspot import errors as hubspot_errors
from crm.adapters.outcome import VendorError
from crm.adapters.salesforce import SalesforceAdapter
from crm.adapters.salesforce import errors as salesforce_errors
from crm.errors import CommandRefused, ConfigurationFault
from crm.http import AllowedHosts, HttpClient
from crm.settings import OAuthClient, Settings, SettingsProblem
from schemas.values import SLUG_PATTERN

#: The entry-point group of packages that bring a CRM; each entry point names an `AdapterEntry`.
ENTRY_POINT_GROUP: Final = "morket_crm_sync.adapters"

_HOST: Final = re.compile(r"(?:[a-z0-9](?:[a-z0-9-]*[a-z0-9])?\.)+[a-z][a-z0-9-]*[a-z0-9]")


class UnusableAdapterPackage(SettingsProblem):
    """An installed package brings a CRM that cannot be listed; the text names the package and what is wrong."""


@dataclass(frozen=True, slots=True)
class AdapterParts:
    """What an adapter is built from. `http` calls only the hosts of its entry."""

    http: HttpClient
    client: OAuthClient | None
    settings: Settings


@dataclass(frozen=True, slots=True)
class AdapterEntry:
    """One CRM of the list.

    Attributes:
        slug: As stored and as in commands.
        name: For people.
        hosts: The vendor's own host names; calls may go to them and to hosts below them, https only.
        factory: How its adapter is built.
        errors: The vendor's code of a record's error -> what it means; shown in `docs/errors.md`.
    """

    slug: str
    name: str
    hosts: tuple[str, ...]
    factory: Callable[[AdapterParts], CrmAdapter]
    errors: Mapping[str, VendorError] = field(default_factory=dict)


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
        parts.http,
        parts.client,
        api_version=settings.hubspot_api_version,
        sandbox_origin=settings.sandbox_origin,
        flags=HubSpotFlags(pkce=settings.hubspot_pkce, uninstall_on_disconnect=settings.hubspot_uninstall),
    )


# Calls go to *.salesforce.com alone: *.force.com also holds pages that customers themselves publish.
ADAPTERS: Final[tuple[AdapterEntry, ...]] = (
    AdapterEntry("salesforce", "Salesforce", ("salesforce.com",), _salesforce, salesforce_errors.RECORD_ERRORS),
    AdapterEntry("hubspot", "HubSpot", ("hubapi.com", "hubspot.com"), _hubspot, hubspot_errors.TABLE),
)


def listed_entries(installed: Iterable[EntryPoint] | None = None) -> tuple[AdapterEntry, ...]:
    """Our CRMs, then those of installed packages by the names of their entry points.

    Args:
        installed: The entry points to read; by default those that this environment has in `ENTRY_POINT_GROUP`.

    Raises:
        UnusableAdapterPackage: an entry point cannot be loaded, is no `AdapterEntry`, or has a slug that is taken, or
            hosts that are no host names.
    """
    found = entry_points(group=ENTRY_POINT_GROUP) if installed is None else installed
    entries = {entry.slug: entry for entry in ADAPTERS}
    for point in sorted(found, key=lambda point: (point.name, point.value)):
        entry = _loaded(point)
        if entry.slug in entries:
            raise UnusableAdapterPackage(
                f"{_package(point)} brings the CRM {entry.slug}, but there is one of this slug already: uninstall it, "
                "or ask its author for another slug"
            )
        entries[entry.slug] = entry
    return tuple(entries.values())


def _loaded(point: EntryPoint) -> AdapterEntry:
    try:
        entry = point.load()
    except Exception as problem:
        raise UnusableAdapterPackage(
            f"{_package(point)} brings a CRM that cannot be loaded: {type(problem).__name__}: {problem}"
        ) from problem
    if not isinstance(entry, AdapterEntry):
        raise UnusableAdapterPackage(
            f"{_package(point)} brings {point.value}, which is no AdapterEntry but {type(entry).__name__}"
        )
    if not re.fullmatch(SLUG_PATTERN, entry.slug):
        raise UnusableAdapterPackage(f"{_package(point)} brings a CRM whose slug {entry.slug!r} is none")
    wrong = [host for host in entry.hosts if not _HOST.fullmatch(host)]
    if wrong or not entry.hosts:
        hosts = ", ".join(map(repr, wrong)) or "none at all"
        raise UnusableAdapterPackage(
            f"{_package(point)} brings the CRM {entry.slug} with hosts that are no host names: {hosts}"
        )
    return entry


def _package(point: EntryPoint) -> str:
    package = f"the package {point.dist.name}" if point.dist else "a package"
    return f"{package} (entry point {point.name})"


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


def build_registry(settings: Settings, entries: Sequence[AdapterEntry] | None = None) -> Registry:
    """Build the adapter of every CRM that has an OAuth client in the settings.

    Args:
        settings: Name the clients.
        entries: The CRMs to list; by default `listed_entries()`.

    Raises:
        UnusableAdapterPackage: see `listed_entries`.
    """
    entries = listed_entries() if entries is None else entries
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
