"""Disconnect: revoke the grant at the CRM (RFC 7009), forget the tokens here in any case, keep the row."""

import time
from collections.abc import Callable
from datetime import datetime
from typing import Final
from uuid import UUID, uuid4

from crm.authorization import Disconnected
from crm.authorization_errors import RequestRefused
from crm.connection_events import announce
from crm.errors import CrmError
from crm.model import OAuthTokens
from crm.registry import Registry
from crm.store import connections, refresh_leases
from crm.store.connections import StoredTokens
from crm.store.engine import Engine
from crm.vault import Vault, token_purpose
from schemas.topics import Topics

#: How long a refresh that is under way may finish first; its rotated token is the one to revoke.
_WAIT_S: Final = 10.0
#: Longer than a revocation takes; it keeps refreshes away meanwhile.
_LEASE_S: Final = 60.0
_POLL_S: Final = 0.1


class Disconnection:
    """Disconnects; one for all threads."""

    def __init__(
        self, engine: Engine, vault: Vault, registry: Registry, topics: Topics, clock: Callable[[], datetime]
    ) -> None:
        self._engine = engine
        self._vault = vault
        self._registry = registry
        self._topics = topics
        self._clock = clock

    def disconnect(self, workspace_id: UUID, slug: str, *, actor: str) -> Disconnected:
        """Revoke at the CRM as far as it answers, then forget the tokens; repeating it is harmless.

        Raises:
            RequestRefused: `not_connected`, the workspace never connected this CRM.
        """
        with self._engine.begin() as transaction:
            connection = connections.get(transaction, workspace_id, slug)
        if connection is None:
            raise RequestRefused("not_connected")
        if connection.status == "disconnected":
            return Disconnected(connection, revoked=False, note="It was disconnected before.")
        stored = self._quiet(connection.id)
        revoked, note = self._revoke(stored) if stored is not None else (False, "")
        with self._engine.begin() as transaction:
            before = connections.get(transaction, workspace_id, slug, lock=True)
            gone = connections.forget_tokens(transaction, connection.id, reason=f"disconnected by {actor}")
            if gone is not None:
                gone = announce(
                    transaction,
                    gone,
                    "disconnected",
                    previous_status=before.status if before else None,
                    actor=actor,
                    topics=self._topics,
                    at=self._clock(),
                )
        return Disconnected(gone or before or connection, revoked, note)

    def _quiet(self, connection_id: UUID) -> StoredTokens | None:
        """The stored tokens, read while no refresh runs (or after waiting long enough for one)."""
        deadline = time.monotonic() + _WAIT_S
        while True:
            with self._engine.begin() as transaction:
                is_quiet = refresh_leases.take_refresh_lease(transaction, connection_id, uuid4(), _LEASE_S)
                stored = connections.sealed_tokens(transaction, connection_id)
            if is_quiet or time.monotonic() >= deadline:
                return stored
            time.sleep(_POLL_S)

    def _revoke(self, stored: StoredTokens) -> tuple[bool, str]:
        """Whether the CRM confirmed, and what a person should know."""
        connection = stored.connection
        if stored.sealed is None:
            return False, "There were no tokens to revoke."
        slug = connection.integration_slug
        try:
            text = self._vault.open(stored.sealed, workspace_id=connection.workspace_id, purpose=token_purpose(slug))
            adapter = self._registry.get(slug)
            adapter.revoke(OAuthTokens.from_json(text))
        except CrmError as problem:
            return (
                False,
                f"The CRM did not confirm that the grant ended ({problem.public}); look there, and remove the app.",
            )
        return _what_revoking_means(adapter.name, adapter.capabilities.revocation)


def _what_revoking_means(name: str, strength: str) -> tuple[bool, str]:
    if strength == "full":
        return True, ""
    if strength == "refresh_only":
        return True, f"{name} lets access tokens that it issued before live on until they end by themselves."
    return False, f"{name} has no revocation; remove the app there."
