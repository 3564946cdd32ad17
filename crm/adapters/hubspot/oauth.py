"""HubSpot's OAuth 2.0: dated endpoints, every parameter in the form body, refresh tokens that always come back.

Sources: developers.hubspot.com/docs/api-reference/latest/authentication,
developers.hubspot.com/changelog/new-oauth-v3-api-endpoints-and-standardized-error-responses, RFC 6749, 7009, 7662.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from urllib.parse import quote, urlencode

from crm.adapters.hubspot.calls import Calls
from crm.adapters.hubspot.codes import status_meaning, token_meaning
from crm.adapters.hubspot.defaults import SCOPES
from crm.adapters.hubspot.errors import raise_for_status, retry_after_s
from crm.adapters.hubspot.flags import HubSpotFlags
from crm.errors import (
    AccessTokenRejected,
    CommandRefused,
    ConfigurationFault,
    CrmError,
    CrmUnavailable,
    GiveUp,
    RateLimited,
    ReauthRequired,
)
from crm.http import HttpClient, Reply
from crm.model import CallScope, OAuthTokens
from crm.settings import OAuthClient
from schemas.failure import FailureCategory

#: EU and other data centres are reached from here by redirect, so a person never chooses a host.
AUTHORIZE_ORIGIN: Final = "https://app.hubspot.com"

_LONGEST_LIFE_S: Final = 10**9
#: What an Authorization header can carry. RFC 6750 section 2.1 allows less; nobody has promised to keep to it.
_HEADER_TOKEN: Final = re.compile(r"[\x21-\x7e]+")


@dataclass(frozen=True, slots=True)
class HubSpotOAuth:
    """The OAuth calls of one registered client.

    Attributes:
        authorize_origin, api_origin: HubSpot's two hosts, or the sandbox's.
    """

    http: HttpClient
    client: OAuthClient | None
    version: str
    authorize_origin: str
    api_origin: str
    clock: Callable[[], datetime]
    flags: HubSpotFlags

    def authorization_url(
        self, state: str, redirect_uri: str, *, code_challenge: str | None, login_host: str | None
    ) -> str:
        """The authorization request; scopes are joined by `%20`, because HubSpot does not take `+`.

        Raises:
            CommandRefused: a login host that is not HubSpot's.
            ConfigurationFault: no client is set.
        """
        if login_host is not None and login_host.rstrip("/") != self.authorize_origin:
            raise CommandRefused("HubSpot has one authorization server; leave login_host out")
        query = {
            "client_id": self._client().client_id,
            "redirect_uri": redirect_uri,
            "scope": " ".join(SCOPES),
            "state": state,
        }
        if self.flags.optional_scopes:
            query["optional_scope"] = " ".join(self.flags.optional_scopes)
        if code_challenge:
            query |= {"code_challenge": code_challenge, "code_challenge_method": "S256"}
        return f"{self.authorize_origin}/oauth/authorize?{urlencode(query, quote_via=quote, safe='')}"

    def exchange(self, code: str, redirect_uri: str, code_verifier: str | None) -> OAuthTokens:
        """Authorization code -> tokens with the account's identity (RFC 6749 section 4.1.3)."""
        form = {"grant_type": "authorization_code", "code": code, "redirect_uri": redirect_uri}
        if code_verifier:
            form["code_verifier"] = code_verifier
        return self._identified(self._tokens_of(form))

    def refresh(self, refresh_token: str, before: OAuthTokens | None) -> OAuthTokens:
        """Refresh token -> tokens (RFC 6749 section 6); identity and extras of `before` are kept."""
        fresh = self._tokens_of({"grant_type": "refresh_token", "refresh_token": refresh_token}, refresh_token)
        if before is None:
            return fresh
        return replace(
            before,
            access_token=fresh.access_token,
            refresh_token=fresh.refresh_token,
            expires_at=fresh.expires_at,
            scope=fresh.scope or before.scope,
            account_id=before.account_id or fresh.account_id,
        )

    def revoke(self, tokens: OAuthTokens) -> None:
        """Revoke the refresh token (RFC 7009); access tokens already issued live on to their 30 minutes.

        With `uninstall_on_disconnect` the app is uninstalled before that; where that fails, the refresh token is
        revoked all the same and the failure raised afterwards.

        Raises:
            CrmUnavailable, RateLimited: the endpoint does not answer.
            GiveUp: it refuses; ConfigurationFault when for the client's settings.
        """
        problem: CrmError | None = None
        if self.flags.uninstall_on_disconnect:
            try:
                self._uninstall(tokens)
            except CrmError as failure:
                problem = failure
        self._revoke_refresh_token(tokens)
        if problem is not None:
            raise GiveUp(
                f"the refresh token is revoked, uninstalling failed: {problem}",
                public=f"the refresh token is revoked, but the app is still installed in HubSpot: {problem.public}",
                crm_code=problem.crm_code,
            )

    def _revoke_refresh_token(self, tokens: OAuthTokens) -> None:
        token = tokens.refresh_token
        if token is None:
            return
        reply = self._post("/token/revoke", {"token": token, "token_type_hint": "refresh_token"})
        if _is_success(reply):
            return
        error = _token_error(reply)
        if not isinstance(error, ReauthRequired):
            raise error

    def _uninstall(self, tokens: OAuthTokens) -> None:
        """Uninstall with a live access token; one that has expired is refreshed first. No grant: nothing to uninstall.

        https://developers.hubspot.com/docs/api-reference/latest/app-management/app-uninstalls
        """
        path = f"/appinstalls/{self.version}/external-install"
        for live in self._live_tokens(tokens):
            calls = Calls(self.http, self.api_origin, self.version, live, CallScope())
            try:
                raise_for_status(calls.send("DELETE", path), what=f"DELETE {path}")
            except AccessTokenRejected:
                continue
            return

    def _live_tokens(self, tokens: OAuthTokens) -> Iterator[OAuthTokens]:
        """The tokens as they are, then refreshed; a rotated refresh token dies with the grant, so nothing is stored."""
        yield tokens
        if tokens.refresh_token is not None:
            try:
                yield self.refresh(tokens.refresh_token, tokens)
            except ReauthRequired:
                return

    def _tokens_of(self, form: Mapping[str, str], refresh_token: str | None = None) -> OAuthTokens:
        # The life is counted from before the call left: a slow answer then never makes a token look younger than it is.
        asked_at = self.clock()
        reply = self._post("/token", form)
        if not _is_success(reply):
            raise _token_error(reply)
        return _read_tokens(reply.json(), asked_at, refresh_token)

    def _identified(self, tokens: OAuthTokens) -> OAuthTokens:
        """The tokens with account id, name and user: introspection knows the person, account-info the account.

        Names are for people: when only they cannot be had, the code (already used up) is not thrown away for them.

        Raises:
            CrmError: nobody could tell which account this is.
        """
        identity, problem = self._ask(lambda: self._introspect(tokens.access_token))
        details, second = self._ask(lambda: self._account_details(tokens))
        account_id = tokens.account_id or _id(identity.get("hub_id")) or _id(details.get("portalId"))
        if account_id is None:
            raise problem or second or GiveUp("HubSpot does not say which account was connected")
        name = identity.get("hub_domain")
        extra = {"ui_domain": details.get("uiDomain"), "account_type": details.get("accountType")}
        return replace(
            tokens,
            account_id=account_id,
            account_name=str(name) if name else f"HubSpot account {account_id}",
            user=str(identity["user"]) if identity.get("user") else tokens.user,
            scope=tokens.scope or _scopes(identity.get("scopes")),
            extra={key: str(value) for key, value in extra.items() if value},
        )

    @staticmethod
    def _ask(question: Callable[[], Mapping[str, Any]]) -> tuple[Mapping[str, Any], CrmError | None]:
        try:
            return question(), None
        except CrmError as problem:
            return {}, problem

    def _introspect(self, access_token: str) -> Mapping[str, Any]:
        """RFC 7662 section 2."""
        reply = self._post("/token/introspect", {"token": access_token, "token_type_hint": "access_token"})
        if not _is_success(reply):
            raise _token_error(reply)
        body = reply.json()
        return body if isinstance(body, Mapping) else {}

    def _account_details(self, tokens: OAuthTokens) -> Mapping[str, Any]:
        """https://developers.hubspot.com/docs/api-reference/latest/account/account-information."""
        calls = Calls(self.http, self.api_origin, self.version, tokens, CallScope())
        return calls.get(f"/account-info/{self.version}/details")

    def _post(self, path: str, form: Mapping[str, str]) -> Reply:
        client = self._client()
        credentials = {"client_id": client.client_id, "client_secret": client.client_secret.get_secret_value()}
        return self.http.send("POST", f"{self.api_origin}/oauth/{self.version}{path}", form={**credentials, **form})

    def _client(self) -> OAuthClient:
        if self.client is None:
            raise ConfigurationFault("HUBSPOT_CLIENT_ID and HUBSPOT_CLIENT_SECRET are not set")
        return self.client


def _read_tokens(body: Any, asked_at: datetime, refresh_token: str | None) -> OAuthTokens:
    """HubSpot's token reply: `scopes` is a list, there is no `scope`; `hub_id` and `user_id` may be missing."""
    if not isinstance(body, Mapping) or not isinstance(body.get("access_token"), str) or not body["access_token"]:
        raise CrmUnavailable("HubSpot's token endpoint gave no access_token", may_have_arrived=True)
    if not _HEADER_TOKEN.fullmatch(body["access_token"]):
        raise GiveUp("HubSpot's token endpoint gave an access_token that no header can carry")
    life_s = body.get("expires_in")
    life = timedelta(seconds=life_s) if isinstance(life_s, int) and 0 < life_s < _LONGEST_LIFE_S else None
    return OAuthTokens(
        access_token=body["access_token"],
        refresh_token=_id(body.get("refresh_token")) or refresh_token,
        expires_at=asked_at.astimezone(UTC) + life if life else None,
        scope=_scopes(body.get("scopes")) or _scopes(body.get("scope")),
        account_id=_id(body.get("hub_id")),
    )


def _token_error(reply: Reply) -> CrmError:
    """By RFC 6749 section 5.2's `error` and HubSpot's `status`; the texts never hold anything of the request."""
    body = reply.json()
    said = [body.get("status"), body.get("error")] if isinstance(body, Mapping) else []
    words = [str(word)[:60] for word in said if word]
    named = ", ".join(dict.fromkeys(words)) or f"HTTP {reply.status}"
    told = retry_after_s(reply)
    at_the_door = status_meaning(reply.status).category
    if at_the_door is FailureCategory.LIMIT:
        return RateLimited(f"HubSpot's token endpoint: {named}", retry_after_s=told if told is not None else 10.0)
    if at_the_door is FailureCategory.UNAVAILABLE:
        may_have_arrived = reply.status >= 500  # noqa: PLR2004 - 423 and 477 are refusals at the door
        return CrmUnavailable(
            f"HubSpot's token endpoint: {named}", retry_after_s=told, may_have_arrived=may_have_arrived
        )
    known = token_meaning(words)
    if known is not None and known.category is FailureCategory.CONFIGURATION:
        return ConfigurationFault(f"HubSpot refused the client settings: {named}; {known.hint}", crm_code=named)
    if known is not None:
        return ReauthRequired(f"HubSpot refused the grant: {named}; {known.hint}", crm_code=named)
    return GiveUp(f"HubSpot's token endpoint refused: {named}", crm_code=named)


def _is_success(reply: Reply) -> bool:
    return 200 <= reply.status < 300  # noqa: PLR2004


def _scopes(value: Any) -> tuple[str, ...]:
    if isinstance(value, str):
        return tuple(value.split())
    return tuple(str(item) for item in value) if isinstance(value, list) else ()


def _id(value: Any) -> str | None:
    """An id as text: HubSpot sends hub ids as numbers."""
    return str(value) if isinstance(value, int | str) and not isinstance(value, bool) and value != "" else None
