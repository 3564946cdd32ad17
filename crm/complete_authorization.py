"""Complete an authorization: check the callback, exchange the code, store the connection (RFC 6749 section 4.1.2).

The attempt is used up before its code is sent anywhere, and counts as failed until the connection is stored: whatever
goes wrong in between, neither the state nor the code works twice.
"""

import hmac
import logging
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime
from uuid import UUID

from crm import model
from crm.authorization import (
    ATTEMPT_LIFE,
    AttemptPayload,
    Completed,
    attempt_purpose,
    completed,
    cookie_key,
    hashed,
    new_secret,
    other_account,
)
from crm.authorization_errors import AttemptInvalid, ExchangeFailed
from crm.callback import code_of, exchange_failure
from crm.connection_events import announce
from crm.errors import CrmError
from crm.model import OAuthTokens
from crm.registry import Registry
from crm.settings import Settings
from crm.store import connections, oauth_states
from crm.store.engine import Connection, Engine
from crm.store.oauth_states import Attempt, Step
from crm.vault import Sealed, Vault, token_purpose

_LOG = logging.getLogger(__name__)


class Completion:
    """Turns a callback into a connection; one for all threads."""

    def __init__(
        self, engine: Engine, vault: Vault, registry: Registry, settings: Settings, clock: Callable[[], datetime]
    ) -> None:
        self._engine = engine
        self._vault = vault
        self._registry = registry
        self._redirect_base = settings.redirect_base
        self._topics = settings.topics
        self._clock = clock

    def complete(
        self, slug: str, params: Mapping[str, str], browser_secret_of: Callable[[str], str | None]
    ) -> Completed:
        """Answer the CRM's callback.

        Args:
            slug: From the callback's path.
            params: Its query parameters.
            browser_secret_of: Gives the secret in the cookie that `cookie_key` names, or None.

        Raises:
            AttemptInvalid: `state_invalid`, `state_used`, `state_expired`, `wrong_browser` (the right one may come).
            ConsentRefused: `consent_denied`, `authorization_refused`.
            ExchangeFailed: `issuer_mismatch`, `code_rejected`, `token_endpoint_failed`, `untrusted_host`.
            RequestRefused: `integration_not_configured`.
            VaultError: the PKCE verifier does not open.
        """
        attempt = self._checked(slug, params.get("state", ""), browser_secret_of)
        payload = self._use_up(attempt, "redirected")
        code = code_of(params, payload.asked or "", attempt.login_host)
        tokens = self._exchange(attempt, payload, code, params)
        with self._engine.begin() as transaction:
            connections.lock_slot(transaction, attempt.workspace_id, slug)
            previous = connections.get(transaction, attempt.workspace_id, slug, lock=True)
            before = other_account(previous, tokens)
            if before is not None:
                return self._ask_first(transaction, attempt, payload, tokens, before)
            return self._connect(transaction, attempt, payload, tokens, previous)

    def confirm(self, confirmation_token: str) -> Completed:
        """Connect the other account after all; the grant of the account before is revoked there.

        Raises:
            AttemptInvalid: `confirmation_invalid`, `confirmation_used`, `confirmation_expired`.
        """
        attempt, payload, tokens = self._confirmed(confirmation_token)
        with self._engine.begin() as transaction:
            connections.lock_slot(transaction, attempt.workspace_id, attempt.integration_slug)
            previous = connections.get(transaction, attempt.workspace_id, attempt.integration_slug, lock=True)
            replaced = connections.sealed_tokens(transaction, previous.id) if previous else None
            done = self._connect(transaction, attempt, payload, tokens, previous)
        if replaced is not None and replaced.sealed is not None and done.previous_account is not None:
            self._revoke_replaced(attempt, replaced.sealed)
        return done

    def reject(self, confirmation_token: str) -> None:
        """Keep the account of before; the new grant is revoked at the CRM, as far as the CRM answers.

        Raises:
            AttemptInvalid: as `confirm`.
        """
        attempt, _, tokens = self._confirmed(confirmation_token)
        self._revoke(attempt.integration_slug, tokens)

    def _checked(self, slug: str, state: str, browser_secret_of: Callable[[str], str | None]) -> Attempt:
        with self._engine.begin() as transaction:
            attempt = oauth_states.by_state(transaction, hashed(state)) if state else None
        if attempt is None or attempt.integration_slug != slug or attempt.browser_hash is None:
            raise AttemptInvalid("state_invalid")
        if attempt.step != "redirected":
            raise AttemptInvalid("state_used")
        if not hmac.compare_digest(hashed(browser_secret_of(cookie_key(state)) or ""), attempt.browser_hash):
            raise AttemptInvalid("wrong_browser")
        if attempt.expires_at <= self._clock():
            raise AttemptInvalid("state_expired")
        return attempt

    def _use_up(self, attempt: Attempt, step: Step) -> AttemptPayload:
        """Take the attempt for this process alone and open its payload."""
        used = AttemptInvalid("state_used" if step == "redirected" else "confirmation_used")
        if attempt.sealed is None:
            raise used
        purpose = attempt_purpose(attempt.id)
        text = self._vault.open(attempt.sealed, workspace_id=attempt.workspace_id, purpose=purpose)
        with self._engine.begin() as transaction:
            if not oauth_states.use_up(transaction, attempt.id, step):
                raise used
        return AttemptPayload.from_json(text)

    def _exchange(self, attempt: Attempt, payload: AttemptPayload, code: str, params: Mapping[str, str]) -> OAuthTokens:
        slug = attempt.integration_slug
        try:
            tokens = self._registry.get(slug).exchange_code(
                code,
                f"{self._redirect_base}/{slug}",
                code_verifier=payload.code_verifier,
                login_host=attempt.login_host,
                callback_params={name: value for name, value in params.items() if name not in {"code", "state"}},
            )
        except CrmError as problem:
            raise exchange_failure(problem) from None
        if not tokens.account_id:
            self._revoke(slug, tokens)
            raise ExchangeFailed("token_endpoint_failed", "the CRM does not say which account was connected")
        return replace(tokens, login_host=tokens.login_host or attempt.login_host)

    def _ask_first(
        self, transaction: Connection, attempt: Attempt, payload: AttemptPayload, tokens: OAuthTokens, before: str
    ) -> Completed:
        """Keep the tokens of another account aside until the person has confirmed it."""
        secret = new_secret()
        sealed = self._vault.seal(
            replace(payload, tokens=tokens.to_json()).to_json(),
            workspace_id=attempt.workspace_id,
            purpose=attempt_purpose(attempt.id),
        )
        oauth_states.await_confirmation(
            transaction,
            attempt.id,
            browser_hash=hashed(secret),
            sealed=sealed,
            expires_at=self._clock() + ATTEMPT_LIFE,
        )
        return completed(
            tokens,
            connection=None,
            previous_account=before,
            confirmation_token=f"{attempt.id.hex}.{secret}",
            return_to=attempt.return_to,
        )

    def _connect(
        self,
        transaction: Connection,
        attempt: Attempt,
        payload: AttemptPayload,
        tokens: OAuthTokens,
        previous: model.Connection | None,
    ) -> Completed:
        """Store the connection, tell it, and close the attempt."""
        slug = attempt.integration_slug
        sealed = self._vault.seal(tokens.to_json(), workspace_id=attempt.workspace_id, purpose=token_purpose(slug))
        stored = connections.save_connected(
            transaction,
            attempt.workspace_id,
            slug,
            tokens=tokens,
            sealed=sealed,
            connected_by=attempt.requested_by,
            settings=dict(payload.settings) if payload.settings is not None else None,
        )
        told = announce(
            transaction,
            stored,
            "reconnected" if previous else "connected",
            previous_status=previous.status if previous else None,
            actor=attempt.requested_by,
            topics=self._topics,
            at=self._clock(),
        )
        oauth_states.finish(transaction, attempt.id)
        return completed(
            tokens, connection=told, previous_account=other_account(previous, tokens), return_to=attempt.return_to
        )

    def _confirmed(self, confirmation_token: str) -> tuple[Attempt, AttemptPayload, OAuthTokens]:
        name, _, secret = confirmation_token.partition(".")
        try:
            attempt_id = UUID(hex=name)
        except ValueError:
            raise AttemptInvalid("confirmation_invalid") from None
        with self._engine.begin() as transaction:
            attempt = oauth_states.by_id(transaction, attempt_id)
        if attempt is None or not hmac.compare_digest(hashed(secret), attempt.browser_hash or b""):
            raise AttemptInvalid("confirmation_invalid")
        if attempt.step != "confirm":
            raise AttemptInvalid("confirmation_used")
        if attempt.expires_at <= self._clock():
            raise AttemptInvalid("confirmation_expired")
        payload = self._use_up(attempt, "confirm")
        assert payload.tokens is not None, "a confirmation holds tokens"
        return attempt, payload, OAuthTokens.from_json(payload.tokens)

    def _revoke_replaced(self, attempt: Attempt, sealed: Sealed) -> None:
        slug = attempt.integration_slug
        try:
            text = self._vault.open(sealed, workspace_id=attempt.workspace_id, purpose=token_purpose(slug))
        except CrmError:
            return  # unreadable tokens cannot be revoked; they are replaced already
        self._revoke(slug, OAuthTokens.from_json(text))

    def _revoke(self, slug: str, tokens: OAuthTokens) -> None:
        """Best effort: what we do not keep should not live on at the CRM, but its trouble is not this person's."""
        try:
            self._registry.get(slug).revoke(tokens)
        except CrmError as problem:
            _LOG.warning("a grant could not be revoked: %s %s", slug, problem.code)
