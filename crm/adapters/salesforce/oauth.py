"""OAuth 2.0 of Salesforce: web server flow with PKCE, refresh with rotation, introspection, revocation.

Sources: help.salesforce.com, remoteaccess_oauth_web_server_flow.htm, remoteaccess_oauth_refresh_token_flow.htm,
remoteaccess_oauth_flow_errors.htm, remoteaccess_revoke_token.htm; RFC 6749, 7009, 7636, 7662.
"""

import base64
import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from urllib.parse import quote, urlencode, urlsplit

from crm.adapters.salesforce import soql
from crm.adapters.salesforce.calls import HOST_SUFFIXES
from crm.adapters.salesforce.defaults import CAPABILITIES, PRODUCTION
from crm.adapters.salesforce.errors import messages_in
from crm.errors import (
    CommandRefused,
    ConfigurationFault,
    CrmError,
    CrmUnavailable,
    GiveUp,
    RateLimited,
    ReauthRequired,
)
from crm.http import AllowedHosts, HttpClient, Reply
from crm.model import OAuthTokens
from crm.settings import OAuthClient
from crm.text import scrub

_MY_DOMAIN: Final = re.compile(r"https://(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.){1,2}my\.salesforce\.com")
_IDENTITY: Final = re.compile(r"/id/(00D[A-Za-z0-9]{12}(?:[A-Za-z0-9]{3})?)/(005[A-Za-z0-9]{12}(?:[A-Za-z0-9]{3})?)")
#: Best-effort calls beside a token call: the tokens wait in memory meanwhile, so they must be short.
_SIDE_CALL_S: Final = 5.0
_LONGEST_SESSION: Final = timedelta(hours=25)

#: `error` of a token endpoint -> whose turn it is; anything else with a 4xx is given up, and a 5xx is tried again.
#: https://help.salesforce.com/s/articleView?id=xcloud.remoteaccess_oauth_flow_errors.htm
TOKEN_ERRORS: Final[Mapping[str, type[CrmError]]] = {
    **dict.fromkeys(("invalid_grant", "inactive_user", "inactive_org"), ReauthRequired),
    **dict.fromkeys(("access_denied", "access-denied"), ReauthRequired),
    **dict.fromkeys(("invalid_client", "invalid_client_id", "invalid_client_credentials"), ConfigurationFault),
    **dict.fromkeys(("redirect_uri_mismatch", "unsupported_grant_type", "unauthorized_client"), ConfigurationFault),
    **dict.fromkeys(("invalid_request", "invalid_scope"), ConfigurationFault),
    "rate_limit_exceeded": RateLimited,
}
_ALREADY_DEAD: Final = frozenset({"invalid_token", "unsupported_token_type"})


@dataclass(frozen=True, slots=True)
class SalesforceOAuth:
    """The token endpoint and its neighbours, for one registered client."""

    http: HttpClient
    client: OAuthClient | None
    api_version: str
    sandbox_origin: str | None = None

    def authorization_url(self, state: str, redirect_uri: str, challenge: str | None, login_host: str | None) -> str:
        """See `crm.adapters.contract.CrmAdapter.get_auth_url`."""
        query = {
            "response_type": "code",
            "client_id": self._client.client_id,
            "redirect_uri": redirect_uri,
            "scope": " ".join(CAPABILITIES.scopes),
            "state": state,
            **({"code_challenge": challenge, "code_challenge_method": "S256"} if challenge else {}),
        }
        return f"{self._host(login_host)}/services/oauth2/authorize?{urlencode(query, quote_via=quote)}"

    def exchange(self, code: str, redirect_uri: str, verifier: str | None, login_host: str | None) -> OAuthTokens:
        """See `crm.adapters.contract.CrmAdapter.exchange_code`."""
        host = self._host(login_host)
        form = {"grant_type": "authorization_code", "code": code, "redirect_uri": redirect_uri}
        reply = self._token_call(host, {**form, **({"code_verifier": verifier} if verifier else {})})
        tokens = self._tokens(reply, OAuthTokens("", login_host=login_origin(login_host)))
        if tokens.refresh_token is None:
            raise ConfigurationFault(
                "Salesforce gave no refresh token", public="the Salesforce app must allow the scope refresh_token"
            )
        return self._with_names(self._with_expiry(tokens, reply, host))

    def refresh(self, refresh_token: str, known: OAuthTokens | None) -> OAuthTokens:
        """See `crm.adapters.contract.CrmAdapter.refresh_token`."""
        before = replace(known or OAuthTokens(""), refresh_token=refresh_token)
        host = self._host(before.login_host)
        reply = self._token_call(host, {"grant_type": "refresh_token", "refresh_token": refresh_token})
        tokens = self._tokens(reply, before)
        if before.account_id and tokens.account_id != before.account_id:
            raise GiveUp("the refreshed token belongs to another org")
        return self._with_expiry(tokens, reply, host)

    def revoke(self, tokens: OAuthTokens) -> None:
        """See `crm.adapters.contract.CrmAdapter.revoke`."""
        url = f"{self._host(tokens.login_host)}/services/oauth2/revoke"
        reply = self.http.send("POST", url, form={"token": tokens.refresh_token or tokens.access_token})
        if reply.status != 200 and _code(reply) not in _ALREADY_DEAD:  # noqa: PLR2004
            raise _token_error(reply)

    @property
    def _client(self) -> OAuthClient:
        if self.client is None:
            raise ConfigurationFault("SALESFORCE_CLIENT_ID and SALESFORCE_CLIENT_SECRET are not set")
        return self.client

    @property
    def _secret(self) -> str:
        return self._client.client_secret.get_secret_value()

    def _host(self, login_host: str | None) -> str:
        # Judged with a sandbox too: a host that production would refuse must not work while developing.
        origin = login_origin(login_host)
        return f"{self.sandbox_origin}/salesforce" if self.sandbox_origin else origin

    def _token_call(self, host: str, form: Mapping[str, str]) -> dict[str, Any]:
        client = {"client_id": self._client.client_id, "client_secret": self._secret}
        reply = self.http.send("POST", f"{host}/services/oauth2/token", form={**form, **client})
        if reply.status != 200:  # noqa: PLR2004
            raise _token_error(reply)
        content = reply.json()
        if not isinstance(content, dict):
            raise CrmUnavailable("the token endpoint answered 200 with something that is not JSON")
        return content

    def _tokens(self, reply: Mapping[str, Any], before: OAuthTokens) -> OAuthTokens:
        """The tokens of a reply, checked; what it does not repeat is kept from `before`."""
        access_token, identity, instance_url = (reply.get(name) for name in ("access_token", "id", "instance_url"))
        if not (isinstance(access_token, str) and isinstance(identity, str) and isinstance(instance_url, str)):
            raise GiveUp("Salesforce's token reply lacks access_token, id or instance_url")
        self._check_signature(reply)
        hosts = AllowedHosts(HOST_SUFFIXES, self.sandbox_origin)
        found = _IDENTITY.search(urlsplit(hosts.check(identity)).path)
        if found is None:
            raise GiveUp("Salesforce's token reply names no org")
        rotated = reply.get("refresh_token")
        scope = reply.get("scope")
        return replace(
            before,
            access_token=access_token,
            refresh_token=rotated if isinstance(rotated, str) and rotated else before.refresh_token,
            expires_at=None,
            scope=tuple(scope.split()) if isinstance(scope, str) else before.scope,
            account_id=found[1],
            instance_url=hosts.check(instance_url).rstrip("/"),
            extra={**before.extra, "identity_url": identity, "user_id": found[2]},
        )

    def _check_signature(self, reply: Mapping[str, Any]) -> None:
        """`signature` is base64(HMAC-SHA256(client secret, id + issued_at)): the reply's author knows the secret."""
        message = f"{reply.get('id')}{reply.get('issued_at')}".encode()
        wanted = base64.b64encode(hmac.digest(self._secret.encode(), message, "sha256"))
        if not hmac.compare_digest(wanted, str(reply.get("signature")).encode()):
            raise GiveUp("the signature of Salesforce's token reply is wrong")

    def _with_expiry(self, tokens: OAuthTokens, reply: Mapping[str, Any], host: str) -> OAuthTokens:
        """Add `expires_at`: Salesforce tells no `expires_in`, and only introspection knows the org's session time.

        Asked once, at the exchange; a refresh counts on the same session time, so that a rotated refresh token is not
        kept waiting in memory. A session time that an admin has shortened since shows as a 401, which refreshes too.
        """
        issued_at = _issued_at(reply)
        life = tokens.extra.get("session_life_s")
        if not isinstance(life, int | float):
            expires_at = self._introspect(tokens.access_token, host)
            life = (expires_at - issued_at).total_seconds() if expires_at else None
        if life is None or not 0 < life <= _LONGEST_SESSION.total_seconds():
            return tokens
        expiry = issued_at + timedelta(seconds=life)
        return replace(tokens, expires_at=expiry, extra={**tokens.extra, "session_life_s": life})

    def _introspect(self, access_token: str, host: str) -> datetime | None:
        """RFC 7662 section 2; None when the app may not ask or nobody answers."""
        form = {
            "token": access_token,
            "token_type_hint": "access_token",
            "client_id": self._client.client_id,
            "client_secret": self._secret,
        }
        content = self._side_call("POST", f"{host}/services/oauth2/introspect", form=form)
        exp = content.get("exp")
        return datetime.fromtimestamp(exp, UTC) if isinstance(exp, int) and 0 < exp < 1 << 33 else None

    def _with_names(self, tokens: OAuthTokens) -> OAuthTokens:
        """Add which org was connected and by whom, for people to see; without its name, the org's host says it.

        Sources: help.salesforce.com, "Identity URLs"; Object Reference, sforce_api_objects_organization.htm.
        """
        bearer = {"Authorization": f"Bearer {tokens.access_token}"}
        identity = self._side_call("GET", str(tokens.extra["identity_url"]), headers=bearer)
        query = f"{tokens.instance_url}/services/data/{self.api_version}/query"
        params = {"q": soql.select("Organization", ("Name",), limit=1)}
        rows = self._side_call("GET", query, headers=bearer, params=params).get("records")
        first = rows[0] if isinstance(rows, list) and rows and isinstance(rows[0], dict) else {}
        name = _label(first.get("Name")) or urlsplit(str(tokens.instance_url)).hostname
        return replace(tokens, user=_label(identity.get("username")), account_name=name)

    def _side_call(self, method: str, url: str, **content: Any) -> dict[str, Any]:
        try:
            reply = self.http.send(method, url, timeout_s=_SIDE_CALL_S, **content)
        except CrmError:
            return {}
        answer = reply.json() if reply.status == 200 else None  # noqa: PLR2004
        return answer if isinstance(answer, dict) else {}


def login_origin(login_host: str | None) -> str:
    """The authorization server to use: production, sandbox or a My Domain; production by default.

    Source: help.salesforce.com, "My Domain URL Formats". Lightning hosts speak no OAuth.

    Raises:
        CommandRefused: it is none of them: the client secret would be sent to a stranger.
    """
    if login_host is None:
        return PRODUCTION
    origin = login_host.strip().lower().rstrip("/")
    if origin in CAPABILITIES.login_hosts.values() or _MY_DOMAIN.fullmatch(origin):
        return origin
    raise CommandRefused(
        "the login host is not one of Salesforce's", public="use a login host such as https://example.my.salesforce.com"
    )


def _label(text: object) -> str | None:
    return scrub(text, 200).strip() or None if isinstance(text, str) else None


def _issued_at(reply: Mapping[str, Any]) -> datetime:
    """Milliseconds since 1970 as text, whatever the prose of the page says."""
    text = str(reply.get("issued_at"))
    if text.isascii() and text.isdigit() and len(text) == 13:  # noqa: PLR2004 - until the year 2286
        return datetime.fromtimestamp(int(text) / 1000, UTC)
    return datetime.now(UTC)


def _code(reply: Reply) -> str:
    found = messages_in(reply.json())
    return found[0].code if found else ""


def _token_error(reply: Reply) -> CrmError:
    """The error of a token, introspection or revocation endpoint; never holds its body."""
    code = scrub(_code(reply), 60)
    text = f"Salesforce's token endpoint answered {reply.status} {code}".rstrip()
    known = TOKEN_ERRORS.get(code)
    if known is RateLimited or reply.status == 429:  # noqa: PLR2004
        return RateLimited(text, crm_code=code or None, retry_after_s=reply.retry_after_s)
    if reply.status >= 500 or not code:  # noqa: PLR2004
        return CrmUnavailable(text, retry_after_s=reply.retry_after_s, crm_code=code or None)
    return (known or GiveUp)(text, crm_code=code)
