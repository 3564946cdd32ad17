"""Begin an authorization: a ticket, its page, and the redirect to the CRM (RFC 6749 section 4.1.1, RFC 7636).

The ticket is the single-use secret of a link on our own origin; using it up makes the `state`, the PKCE verifier and
the browser secret. The callback is in `crm.complete_authorization`, disconnecting in `crm.disconnect`; `Authorizer` is
the one door to all three.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID, uuid4

from crm.adapters.contract import CrmAdapter
from crm.authorization import (
    ATTEMPT_LIFE,
    AttemptPayload,
    Completed,
    Disconnected,
    Redirect,
    Ticket,
    TicketPage,
    attempt_purpose,
    code_challenge,
    cookie_key,
    hashed,
    may_return_to,
    new_secret,
    origin_of,
)
from crm.authorization_errors import AttemptInvalid, ExchangeFailed, RequestRefused
from crm.complete_authorization import Completion
from crm.disconnect import Disconnection
from crm.errors import CommandRefused, ConfigurationFault, GiveUp
from crm.registry import Registry
from crm.settings import Settings
from crm.store import connections, oauth_states, workspaces
from crm.store.engine import Engine
from crm.store.oauth_states import Attempt, NewAttempt
from crm.text import scrub
from crm.tokens import utc_now
from crm.vault import Vault

_KEPT: Final = timedelta(days=1)
_LONGEST_NAME: Final = 200


@dataclass(frozen=True, slots=True)
class _Departure:
    """What the redirect needs, made before the ticket is used up."""

    url: str
    state: str
    login_host: str | None
    code_verifier: str | None


class Authorizer:
    """Connects and disconnects; one for all threads.

    Args:
        engine: Where attempts and connections are stored.
        vault: Seals tokens and PKCE verifiers.
        registry: The CRMs.
        settings: For the redirect URI and the topic of connection events.
        clock: UTC; for the lives of tickets and states.
    """

    def __init__(
        self,
        engine: Engine,
        vault: Vault,
        registry: Registry,
        settings: Settings,
        *,
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        self._engine = engine
        self._vault = vault
        self._registry = registry
        self._redirect_base = settings.redirect_base
        self._clock = clock
        self._completion = Completion(engine, vault, registry, settings, clock)
        self._disconnection = Disconnection(engine, vault, registry, settings.topics, clock)

    def begin(
        self,
        workspace_id: UUID,
        slug: str,
        *,
        requested_by: str,
        return_to: str | None = None,
        login_host: str | None = None,
        settings: Mapping[str, Any] | None = None,
    ) -> Ticket:
        """Make a ticket, good for one redirect within 10 minutes.

        `requested_by` is shown to the person who opens the link; `return_to` is a path or URL of our own site;
        `login_host` fixes the authorization server; `settings` become those of the connection.

        Raises:
            RequestRefused: `unknown_workspace`, `unknown_integration`, `integration_not_configured`,
                `return_to_refused`.
            ExchangeFailed: `untrusted_host`, the login host is not the CRM's.
        """
        adapter = self._adapter(slug)
        self._authorization_url(adapter, "checked-only", None, login_host)
        if return_to is not None and not may_return_to(return_to, self._redirect_base):
            raise RequestRefused("return_to_refused")
        ticket, now, attempt_id = new_secret(), self._clock(), uuid4()
        attempt = NewAttempt(
            id=attempt_id,
            ticket_hash=hashed(ticket),
            workspace_id=workspace_id,
            integration_slug=slug,
            requested_by=scrub(requested_by, _LONGEST_NAME),
            expires_at=now + ATTEMPT_LIFE,
            sealed=self._vault.seal(
                AttemptPayload(settings=settings).to_json(),
                workspace_id=workspace_id,
                purpose=attempt_purpose(attempt_id),
            ),
            return_to=return_to,
            login_host=login_host,
        )
        with self._engine.begin() as transaction:
            if not workspaces.exists(transaction, workspace_id):
                raise RequestRefused("unknown_workspace")
            oauth_states.sweep(transaction, now=now, keep_since=now - _KEPT)
            oauth_states.add(transaction, attempt)
        return Ticket(ticket, attempt.expires_at)

    def preview(self, ticket: str) -> TicketPage:
        """What the page of a ticket shows; the ticket stays good.

        Raises:
            AttemptInvalid: `ticket_invalid`, `ticket_used`, `ticket_expired`.
            RequestRefused: `integration_not_configured`, since the ticket was made.
        """
        with self._engine.begin() as transaction:
            attempt = self._unused(oauth_states.by_ticket(transaction, hashed(ticket)))
            workspace = workspaces.get(transaction, attempt.workspace_id)
            existing = connections.get(transaction, attempt.workspace_id, attempt.integration_slug)
        if workspace is None:
            raise AttemptInvalid("ticket_invalid", "its workspace is gone")
        adapter = self._adapter(attempt.integration_slug)
        return TicketPage(
            workspace_id=workspace.id,
            workspace_name=workspace.name,
            slug=adapter.slug,
            crm_name=adapter.name,
            requested_by=attempt.requested_by,
            login_hosts=dict(adapter.capabilities.login_hosts),
            login_host=attempt.login_host or (existing.login_host if existing else None),
            expires_at=attempt.expires_at,
        )

    def redirect(self, ticket: str, *, login_host: str | None = None) -> Redirect:
        """Use the ticket up and send the browser to the CRM.

        The browser secret belongs into an HttpOnly cookie of this state, named by `cookie_key`.

        Raises:
            AttemptInvalid: `ticket_invalid`, `ticket_used`, `ticket_expired`.
            ExchangeFailed: `untrusted_host`, the login host is not the CRM's, or not the one that the ticket fixes.
            RequestRefused: `integration_not_configured`.
        """
        with self._engine.begin() as transaction:
            attempt = self._unused(oauth_states.by_ticket(transaction, hashed(ticket)))
        departure = self._departure(attempt, login_host)
        browser_secret, expires_at = new_secret(), self._clock() + ATTEMPT_LIFE
        purpose = attempt_purpose(attempt.id)
        assert attempt.sealed is not None, "an unused attempt has its payload"
        payload = AttemptPayload.from_json(
            self._vault.open(attempt.sealed, workspace_id=attempt.workspace_id, purpose=purpose)
        )
        payload = replace(payload, code_verifier=departure.code_verifier, asked=origin_of(departure.url))
        sealed = self._vault.seal(payload.to_json(), workspace_id=attempt.workspace_id, purpose=purpose)
        with self._engine.begin() as transaction:
            is_first = oauth_states.redirect(
                transaction,
                attempt.id,
                state_hash=hashed(departure.state),
                browser_hash=hashed(browser_secret),
                login_host=departure.login_host,
                sealed=sealed,
                expires_at=expires_at,
            )
        if not is_first:
            raise AttemptInvalid("ticket_used")
        return Redirect(departure.url, departure.state, browser_secret, cookie_key(departure.state), expires_at)

    def complete(
        self, slug: str, params: Mapping[str, str], browser_secret_of: Callable[[str], str | None]
    ) -> Completed:
        """Answer the CRM's callback: see `crm.complete_authorization.Completion.complete`."""
        return self._completion.complete(slug, params, browser_secret_of)

    def confirm(self, confirmation_token: str) -> Completed:
        """Connect another account than before after all: see `Completion.confirm`."""
        return self._completion.confirm(confirmation_token)

    def reject(self, confirmation_token: str) -> None:
        """Keep the account of before and revoke the new grant: see `Completion.reject`."""
        self._completion.reject(confirmation_token)

    def disconnect(self, workspace_id: UUID, slug: str, *, actor: str) -> Disconnected:
        """Revoke at the CRM, forget here: see `crm.disconnect.Disconnection.disconnect`."""
        return self._disconnection.disconnect(workspace_id, slug, actor=actor)

    def _adapter(self, slug: str) -> CrmAdapter:
        try:
            return self._registry.get(slug)
        except CommandRefused:
            raise RequestRefused("unknown_integration") from None
        except ConfigurationFault as problem:
            raise RequestRefused("integration_not_configured", str(problem)) from None

    def _unused(self, attempt: Attempt | None) -> Attempt:
        if attempt is None:
            raise AttemptInvalid("ticket_invalid")
        if attempt.step != "ticket":
            raise AttemptInvalid("ticket_used")
        if attempt.expires_at <= self._clock():
            raise AttemptInvalid("ticket_expired")
        return attempt

    def _departure(self, attempt: Attempt, chosen_host: str | None) -> _Departure:
        if attempt.login_host and chosen_host and chosen_host != attempt.login_host:
            raise ExchangeFailed("untrusted_host", "the ticket fixes another login host")
        adapter = self._adapter(attempt.integration_slug)
        login_host = attempt.login_host or chosen_host
        state = new_secret()
        code_verifier = new_secret() if adapter.capabilities.pkce else None
        url = self._authorization_url(adapter, state, code_verifier, login_host)
        return _Departure(url, state, login_host, code_verifier)

    def _authorization_url(
        self, adapter: CrmAdapter, state: str, code_verifier: str | None, login_host: str | None
    ) -> str:
        challenge = code_challenge(code_verifier) if code_verifier else None
        redirect_uri = f"{self._redirect_base}/{adapter.slug}"
        try:
            return adapter.get_auth_url(state, redirect_uri, code_challenge=challenge, login_host=login_host)
        except ConfigurationFault as problem:
            raise RequestRefused("integration_not_configured", str(problem)) from None
        except GiveUp as problem:
            raise ExchangeFailed("untrusted_host", str(problem)) from None
