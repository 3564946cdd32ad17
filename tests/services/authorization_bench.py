"""Everything that connecting needs, for tests: a database, a sandbox, real adapters, and a person with a browser."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qsl, urlsplit
from uuid import UUID

import pytest
from sqlalchemy import Engine, text

from crm.authorization import Completed, Redirect
from crm.authorize import Authorizer
from crm.model import Connection, OAuthTokens
from crm.registry import Registry, build_registry
from crm.settings import Settings, load
from crm.store import connections, workspaces
from crm.store.engine import create_engine
from crm.tokens import TokenSource
from crm.vault import MasterKeys, Vault, new_master_key, token_purpose
from sandbox.config import Crm
from sandbox.person import Person
from sandbox.remote import RemoteSandbox
from sandbox.server import SandboxServer
from services.workspace import REPOSITORY

CLIENTS = {
    "SALESFORCE_CLIENT_ID": "sandbox-salesforce-client",
    "SALESFORCE_CLIENT_SECRET": "sandbox-salesforce-secret-not-real",
    "HUBSPOT_CLIENT_ID": "sandbox-hubspot-client",
    "HUBSPOT_CLIENT_SECRET": "sandbox-hubspot-secret-not-real",
    "INTEGRATION_OAUTH_REDIRECT_BASE": "http://127.0.0.1:8000/api/v1/integrations/callback",
    "CRM_SYNC_CALL_TIMEOUT_S": "10",
}
TOKEN_ROUTES = ("/services/oauth2/token", "/token")


class Clock:
    """A clock that a test sets forward."""

    def __init__(self) -> None:
        self.ahead = timedelta()

    def __call__(self) -> datetime:
        """The time, UTC."""
        return datetime.now(UTC) + self.ahead


@dataclass
class Bench:
    """One workspace on a database of its own, beside a sandbox of its own."""

    engine: Engine
    settings: Settings
    vault: Vault
    registry: Registry
    sandbox: RemoteSandbox
    clock: Clock
    workspace_id: UUID

    @property
    def authorizer(self) -> Authorizer:
        """A new authorizer."""
        return Authorizer(self.engine, self.vault, self.registry, self.settings, clock=self.clock)

    def source(self, **options: float) -> TokenSource:
        """A new token source; `options` are `lease_s` and `wait_s`."""
        return TokenSource(
            self.engine, self.vault, self.registry, topics=self.settings.topics, clock=self.clock, **options
        )

    def depart(self, slug: str, **begin: Any) -> Redirect:
        """Begin and use the ticket up."""
        ticket = self.authorizer.begin(self.workspace_id, slug, requested_by="ada@example.com", **begin)
        return self.authorizer.redirect(ticket.ticket)

    def consent(self, redirect: Redirect, account_id: str | None = None) -> dict[str, str]:
        """Allow access on the consent page; return the callback's parameters."""
        return params_of(Person().allow(redirect.url, account_id))

    def connect(self, slug: str, account_id: str | None = None, **begin: Any) -> Completed:
        """Go the whole way, through the consent page."""
        redirect = self.depart(slug, **begin)
        return self.authorizer.complete(slug, self.consent(redirect, account_id), cookies_of(redirect))

    def connected(self, slug: str) -> Connection:
        """Connect and return the connection."""
        connection = self.connect(slug).connection
        assert connection is not None
        return connection

    def stored(self, slug: str) -> Connection:
        """The connection as it is now."""
        with self.engine.begin() as transaction:
            connection = connections.get(transaction, self.workspace_id, slug)
        assert connection is not None
        return connection

    def stored_tokens(self, slug: str) -> OAuthTokens:
        """The tokens as they are stored now."""
        with self.engine.begin() as transaction:
            stored = connections.sealed_tokens(transaction, self.stored(slug).id)
        assert stored is not None
        assert stored.sealed is not None
        opened = self.vault.open(stored.sealed, workspace_id=self.workspace_id, purpose=token_purpose(slug))
        return OAuthTokens.from_json(opened)

    def let_tokens_end(self, slug: str, seconds: float = -1.0) -> Connection:
        """Store the same tokens as ending in so many seconds; return the connection."""
        connection = self.stored(slug)
        tokens = replace(self.stored_tokens(slug), expires_at=self.clock() + timedelta(seconds=seconds))
        sealed = self.vault.seal(tokens.to_json(), workspace_id=self.workspace_id, purpose=token_purpose(slug))
        with self.engine.begin() as transaction:
            version = connection.token_version
            assert connections.reseal_tokens(transaction, connection.id, expected_version=version, sealed=sealed)
        return connection

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        """The rows of a query."""
        with self.engine.begin() as transaction:
            return [tuple(row) for row in transaction.execute(text(query))]

    def events(self) -> list[str]:
        """The names of the connection events in the outbox, in their order."""
        query = "SELECT convert_from(payload, 'UTF8')::jsonb ->> 'event' FROM outbox ORDER BY id"
        return [str(row[0]) for row in self.rows(query)]

    def token_calls(self, crm: Crm, since: int = 0) -> list[int]:
        """The HTTP statuses of the calls of a CRM's token endpoint, in order, without the first `since`."""
        calls = [entry for entry in self.sandbox.journal() if entry["crm"] == crm]
        return [entry["status"] for entry in calls if entry["route"].endswith(TOKEN_ROUTES)][since:]


def params_of(url: str) -> dict[str, str]:
    """The query parameters of a callback's URL."""
    return dict(parse_qsl(urlsplit(url).query, keep_blank_values=True))


def cookies_of(redirect: Redirect) -> Any:
    """The cookies of the browser that was redirected."""
    return {redirect.cookie_key: redirect.browser_secret}.get


@contextmanager
def bench_on(database_url: str) -> Iterator[Bench]:
    """A bench on a migrated database; environment and servers are put back at the end."""
    with pytest.MonkeyPatch.context() as patch, SandboxServer() as server:
        for name, value in environment(database_url, server.origin, new_master_key("k1")).items():
            patch.setenv(name, value)
        bench = bench_from_environment()
        with bench.engine.begin() as transaction:
            bench.workspace_id = workspaces.create(transaction, "Acme").id
        yield bench
        bench.engine.dispose()


def environment(database_url: str, sandbox_origin: str, master_keys: str) -> dict[str, str]:
    """The variables of a service that talks to a sandbox."""
    return {
        **CLIENTS,
        "DATABASE_URL": database_url,
        "CRM_SANDBOX_ORIGIN": sandbox_origin,
        "CRM_SYNC_MASTER_KEYS": master_keys,
    }


def bench_from_environment() -> Bench:
    """A bench as the environment says, without a workspace; for processes that a test starts."""
    settings = load(Settings)
    return Bench(
        engine=create_engine(settings.database_url.get_secret_value(), pool_size=16),
        settings=settings,
        vault=Vault(MasterKeys.parse(settings.master_keys.get_secret_value())),
        registry=build_registry(settings),
        sandbox=RemoteSandbox(settings.sandbox_origin or ""),
        clock=Clock(),
        workspace_id=UUID(int=0),
    )


def process_environment(**overrides: str) -> dict[str, str]:
    """The environment of a process that a test starts: ours, with the tests' own modules importable."""
    return {**os.environ, "PYTHONPATH": f"{REPOSITORY}{os.pathsep}{REPOSITORY / 'tests'}", **overrides}
