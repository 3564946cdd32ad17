"""What a sandbox is started with: the registered OAuth clients and the accounts that exist from the start."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal
from urllib.parse import urlsplit

Crm = Literal["salesforce", "hubspot"]
"""Which of the two simulated CRMs; also the first segment of its URLs."""

LOOPBACK_HOSTS = frozenset({"127.0.0.1", "localhost", "::1"})


@dataclass(frozen=True, slots=True)
class OAuthClient:
    """A registered OAuth client (RFC 6749 section 2).

    ``redirect_uris`` are compared as exact strings; when empty, every ``http`` URI on a loopback host is allowed.
    """

    client_id: str
    client_secret: str
    app_name: str = "Morket CRM Integrations"
    redirect_uris: tuple[str, ...] = ()

    def allows_redirect_uri(self, redirect_uri: str) -> bool:
        """Tell whether the authorization endpoint may redirect to this URI."""
        if self.redirect_uris:
            return redirect_uri in self.redirect_uris
        parts = urlsplit(redirect_uri)
        return parts.scheme == "http" and parts.hostname in LOOPBACK_HOSTS and not parts.fragment


def _salesforce_clients() -> tuple[OAuthClient, ...]:
    return (OAuthClient("sandbox-salesforce-client", "sandbox-salesforce-secret-not-real"),)


def _hubspot_clients() -> tuple[OAuthClient, ...]:
    return (OAuthClient("sandbox-hubspot-client", "sandbox-hubspot-secret-not-real"),)


@dataclass(frozen=True, slots=True)
class SandboxConfig:
    """Everything that is fixed for one run of the sandbox.

    ``origin`` is what token replies and pages name as the server's own address; by default the address it listens on.
    ``switches`` is laid over the defaults at start and after each reset, in the shape of the control API.
    ``seed`` settles every random choice: the order of results and the random faults. ``None`` draws one. Tokens, codes
    and correlation ids are no choices: they are fresh in every run, so that a token of one run never opens another.
    """

    salesforce_clients: tuple[OAuthClient, ...] = field(default_factory=_salesforce_clients)
    hubspot_clients: tuple[OAuthClient, ...] = field(default_factory=_hubspot_clients)
    salesforce_orgs: tuple[str, ...] = ("Acme Industries", "Globex Trading")
    hubspot_portals: tuple[str, ...] = ("Acme Marketing", "Globex Growth")
    origin: str | None = None
    switches: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    seed: int | None = None
    journal_size: int = 20_000

    def client(self, crm: Crm, client_id: str) -> OAuthClient | None:
        """Return the registered client of that CRM with this id, or ``None``."""
        clients = self.salesforce_clients if crm == "salesforce" else self.hubspot_clients
        return next((client for client in clients if client.client_id == client_id), None)
