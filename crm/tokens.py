"""An access token that works now: refreshed early, by one process at a time, the rotated one kept (RFC 6749 section 6).

How a refresh runs: take the lease in the connection's row, read the tokens again, call the token endpoint with no
transaction open, store what came by compare and swap, and only then hand it out. Who does not get the lease waits for
the other's result and never judges the grant. A holder that dies leaves a lease that ends by itself.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final
from uuid import UUID, uuid4

from crm import model
from crm.connection_events import announce
from crm.errors import CrmError, NotConnected, ReauthRequired, TryAgain
from crm.model import OAuthTokens
from crm.registry import Registry
from crm.store import connections, refresh_leases
from crm.store.connections import StoredTokens
from crm.store.engine import Engine
from crm.vault import Vault, token_purpose
from schemas.topics import Topics

#: Tokens are refreshed this long before they end: a push of 200 records must not outlive its token.
EARLY: Final = timedelta(seconds=120)
#: Longer than all calls of one refresh together, each at its full timeout: a lease must outlive what it guards.
LEASE_S: Final = 120.0
#: How long a caller waits for another's refresh before it is told to come again.
WAIT_S: Final = 10.0
#: The pause after a token endpoint that failed, where it named none.
COOL_DOWN_S: Final = 5.0
#: What a token endpoint may ask for at most; a wrong header must not silence a connection for days.
LONGEST_COOL_DOWN_S: Final = 900.0
_POLL_S: Final = 0.05
_ACTOR: Final = "token refresh"


@dataclass(frozen=True, slots=True)
class LiveTokens:
    """Tokens to call with, and the version to name when the CRM refuses them."""

    tokens: OAuthTokens
    version: int


@dataclass(frozen=True, slots=True)
class _Grant:
    """What is stored for a connected connection, opened."""

    connection: model.Connection
    tokens: OAuthTokens
    cooling_s: float

    @property
    def live(self) -> LiveTokens:
        return LiveTokens(self.tokens, self.connection.token_version)


def utc_now() -> datetime:
    """The time, UTC."""
    return datetime.now(UTC)


class TokenSource:
    """Gives live tokens; one for all threads.

    Args:
        engine: Where connections are stored.
        vault: Opens and seals tokens.
        registry: Whose adapters refresh.
        topics: Where connection events go.
        clock: UTC; for expiry only. Leases run by the database's clock.
        lease_s: Seconds after which a dead process's refresh may be taken over.
        wait_s: Seconds to wait for another's refresh.
    """

    def __init__(
        self,
        engine: Engine,
        vault: Vault,
        registry: Registry,
        *,
        topics: Topics,
        clock: Callable[[], datetime] = utc_now,
        lease_s: float = LEASE_S,
        wait_s: float = WAIT_S,
    ) -> None:
        self._engine = engine
        self._vault = vault
        self._registry = registry
        self._topics = topics
        self._clock = clock
        self._lease_s = lease_s
        self._wait_s = wait_s

    def access(self, connection: model.Connection) -> LiveTokens:
        """The tokens of a connection, refreshed before they are handed out where they end soon.

        Raises:
            NotConnected: the connection is disconnected or gone.
            ReauthRequired: the grant is dead; a person must reconnect.
            TryAgain: the tokens have ended and the token endpoint does not answer, or another process still asks it.
            ConfigurationFault, GiveUp: the token endpoint refuses for another reason.
            VaultError: the stored tokens do not open.
        """
        return _of_account(connection, self._access(connection))

    def _access(self, connection: model.Connection) -> LiveTokens:
        grant = self._read(connection.id)
        ends_at = grant.tokens.expires_at
        if ends_at is None or grant.tokens.refresh_token is None or ends_at > self._clock() + EARLY:
            return grant.live
        is_alive = ends_at > self._clock()
        try:
            return self._refresh(connection.id, grant.connection.token_version, wait_s=0 if is_alive else self._wait_s)
        except TryAgain:
            if is_alive:
                return grant.live
            raise

    def after_rejection(self, connection: model.Connection, rejected_version: int) -> LiveTokens:
        """New tokens after the CRM refused those of `rejected_version`: refreshed once, by whoever comes first.

        Raises:
            NotConnected, ReauthRequired, TryAgain, ConfigurationFault, GiveUp, VaultError: as `access`.
        """
        return _of_account(connection, self._refresh(connection.id, rejected_version, wait_s=self._wait_s))

    def _read(self, connection_id: UUID) -> _Grant:
        with self._engine.begin() as transaction:
            stored = connections.sealed_tokens(transaction, connection_id)
        return self._opened(stored)

    def _opened(self, stored: StoredTokens | None) -> _Grant:
        if stored is None or stored.connection.status == "disconnected":
            raise NotConnected("this CRM is not connected to the workspace")
        connection = stored.connection
        if connection.status == "reauth_required" or stored.sealed is None:
            reason = connection.status_reason or "the CRM refused the grant"
            raise ReauthRequired(f"a person must reconnect: {reason}")
        text = self._vault.open(
            stored.sealed, workspace_id=connection.workspace_id, purpose=token_purpose(connection.integration_slug)
        )
        return _Grant(connection, OAuthTokens.from_json(text), stored.cooling_s)

    def _refresh(self, connection_id: UUID, stale_version: int, *, wait_s: float) -> LiveTokens:
        """Tokens newer than `stale_version`, by refreshing or by waiting for who does."""
        holder = uuid4()
        deadline = time.monotonic() + wait_s
        while True:
            with self._engine.begin() as transaction:
                is_mine = refresh_leases.take_refresh_lease(
                    transaction, connection_id, holder, self._lease_s, version=stale_version
                )
                stored = connections.sealed_tokens(transaction, connection_id)
            if is_mine:
                return self._refresh_under_lease(connection_id, stored, holder)
            grant = self._opened(stored)
            if grant.connection.token_version != stale_version:
                return grant.live
            if grant.cooling_s > 0:
                raise TryAgain("the token endpoint failed a moment ago", retry_after_s=grant.cooling_s)
            if time.monotonic() >= deadline:
                raise TryAgain("the tokens are being refreshed by another process", retry_after_s=1.0)
            time.sleep(_POLL_S)

    def _refresh_under_lease(self, connection_id: UUID, stored: StoredTokens | None, holder: UUID) -> LiveTokens:
        assert stored is not None, "the lease is in the row"
        try:
            grant = self._opened(stored)
            fresh = self._fresh_tokens(grant)
        except ReauthRequired as dead:
            return self._bury(stored.connection, dead)
        except Exception as problem:
            self._release(connection_id, holder, problem)
            raise
        return self._keep(grant, fresh)

    def _release(self, connection_id: UUID, holder: UUID, problem: Exception) -> None:
        """Let others try, but not at once where the token endpoint is in trouble."""
        told = problem.retry_after_s if isinstance(problem, TryAgain) else None
        pause_s = min(told if told is not None else COOL_DOWN_S, LONGEST_COOL_DOWN_S)
        with self._engine.begin() as transaction:
            refresh_leases.release_refresh_lease(transaction, connection_id, holder, cool_down_s=pause_s)

    def _fresh_tokens(self, grant: _Grant) -> OAuthTokens:
        if grant.tokens.refresh_token is None:
            raise ReauthRequired("the CRM gave no refresh token with this grant")
        adapter = self._registry.get(grant.connection.integration_slug)
        return adapter.refresh_token(grant.tokens.refresh_token, tokens=grant.tokens)

    def _keep(self, grant: _Grant, fresh: OAuthTokens) -> LiveTokens:
        """Store first, then hand out: the refresh token before it may be dead already."""
        connection = grant.connection
        sealed = self._vault.seal(
            fresh.to_json(),
            workspace_id=connection.workspace_id,
            purpose=token_purpose(connection.integration_slug),
        )
        version = connection.token_version
        if refresh_leases.store_refreshed(self._engine, connection.id, expected_version=version, sealed=sealed):
            return LiveTokens(fresh, version + 1)
        try:
            return self._read(connection.id).live
        except NotConnected:
            # Disconnected while the refresh ran: what came just now must not live on at the CRM.
            self._revoke(connection.integration_slug, fresh)
            raise

    def _revoke(self, slug: str, tokens: OAuthTokens) -> None:
        try:
            self._registry.get(slug).revoke(tokens)
        except CrmError:
            return  # the connection is gone for us either way, and its error is about to be raised

    def _bury(self, connection: model.Connection, dead: ReauthRequired) -> LiveTokens:
        """Mark the grant dead, unless the connection has got other tokens meanwhile."""
        with self._engine.begin() as transaction:
            marked = connections.set_status(
                transaction,
                connection.id,
                "reauth_required",
                reason=dead.public,
                expected_version=connection.token_version,
            )
            if marked is not None:
                announce(
                    transaction,
                    marked,
                    "reauth_required",
                    previous_status=connection.status,
                    actor=_ACTOR,
                    topics=self._topics,
                    at=self._clock(),
                )
        if marked is not None:
            raise dead
        return self._read(connection.id).live


def _of_account(connection: model.Connection, live: LiveTokens) -> LiveTokens:
    """Refuse tokens of another CRM account than the caller resolved: records must not land in the wrong one."""
    if connection.crm_account_id and live.tokens.account_id not in {None, connection.crm_account_id}:
        raise TryAgain("the connection changed to another CRM account a moment ago", retry_after_s=0.0)
    return live
