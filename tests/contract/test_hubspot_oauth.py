"""HubSpot's OAuth over HTTP: consent, exchange, refresh, revocation, and a token endpoint that fails in every way."""

import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qs, urlsplit

import pytest
import requests
from pydantic import SecretStr

from crm.adapters.hubspot import HubSpotAdapter
from crm.adapters.hubspot.oauth import _read_tokens
from crm.errors import (
    CommandRefused,
    ConfigurationFault,
    CrmError,
    CrmUnavailable,
    GiveUp,
    RateLimited,
    ReauthRequired,
    TryAgain,
)
from crm.http import AllowedHosts, HttpClient
from crm.settings import OAuthClient
from sandbox.server import SandboxServer
from services.hubspot_portal import API_VERSION, REDIRECT_URI, ConnectedPortal, connected_portal


@pytest.fixture(scope="module")
def server() -> Iterator[SandboxServer]:
    with SandboxServer() as running:
        yield running


@pytest.fixture
def portal(server: SandboxServer) -> Iterator[ConnectedPortal]:
    with connected_portal(server.origin) as connected:
        yield connected


def consent(url: str, decision: str = "allow") -> dict[str, str]:
    """Open the page as a browser does and decide; the parameters of the redirect back."""
    page = requests.get(url, timeout=10)
    action = re.search(r'action="([^"]+)"', page.text)
    hidden = re.search(r'name="consent_id" value="([^"]+)"', page.text)
    account = re.search(r'name="account"[^>]*value="([^"]+)"', page.text) or re.search(
        r'value="([^"]+)"[^>]*name="account"', page.text
    )
    assert action is not None
    assert hidden is not None
    form = {"consent_id": hidden[1], "decision": decision, "account": account[1] if account else ""}
    target = requests.compat.urljoin(url, action[1])
    reply = requests.post(target, data=form, allow_redirects=False, timeout=10)
    return {name: values[0] for name, values in parse_qs(urlsplit(reply.headers["Location"]).query).items()}


def test_the_authorization_url_is_hubspots() -> None:
    """The page is on app.hubspot.com, scopes are joined by %20, and there is no challenge unless one is given."""
    # Given an adapter for the real HubSpot
    hosts = AllowedHosts(("hubapi.com", "hubspot.com"))
    http = HttpClient(timeout_s=1.0, connect_timeout_s=1.0, allowed_hosts=hosts)
    adapter = HubSpotAdapter(http, OAuthClient(client_id="id", client_secret=SecretStr("s")), api_version=API_VERSION)

    # When the URL is made with and without challenge
    plain = adapter.get_auth_url("a state&", "https://x.io/cb")
    challenged = adapter.get_auth_url("s", "https://x.io/cb", code_challenge="abc")

    # Then it is as HubSpot documents it
    assert plain.startswith("https://app.hubspot.com/oauth/authorize?client_id=id&redirect_uri=https%3A%2F%2Fx.io%2Fcb")
    assert "scope=oauth%20crm.objects.contacts.read%20" in plain
    assert "state=a%20state%26" in plain
    assert "code_challenge" not in plain
    assert challenged.endswith("&code_challenge=abc&code_challenge_method=S256")


def test_a_consent_becomes_tokens_with_an_identity(portal: ConnectedPortal) -> None:
    """Consent, code and exchange give tokens, their end, the scopes, and who and what was connected."""
    # Given a person who allows it
    back = consent(portal.adapter.get_auth_url("st", REDIRECT_URI))
    before = datetime.now(UTC)

    # When the code is exchanged
    tokens = portal.adapter.exchange_code(back["code"], REDIRECT_URI)

    # Then everything is known
    assert back["state"] == "st"
    assert tokens.access_token
    assert tokens.refresh_token
    assert tokens.expires_at is not None
    assert timedelta(seconds=1790) < tokens.expires_at - before <= timedelta(seconds=1810)
    assert (tokens.account_id, tokens.account_name) == (portal.tokens.account_id, "acmemarketing.example")
    assert tokens.user == "admin@acmemarketing.example"
    assert "crm.objects.contacts.write" in tokens.scope
    assert "ui_domain" in tokens.extra


def test_a_challenge_is_honoured_when_it_is_used(portal: ConnectedPortal) -> None:
    """PKCE is off by default; where a challenge was sent, the verifier is sent with the code (RFC 7636 section 4.5)."""
    # Given the challenge of RFC 7636 appendix B
    verifier, challenge = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk", "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
    back = consent(portal.adapter.get_auth_url("st", REDIRECT_URI, code_challenge=challenge))

    # When the code is exchanged with its verifier
    tokens = portal.adapter.exchange_code(back["code"], REDIRECT_URI, code_verifier=verifier)

    # Then it is accepted
    assert tokens.access_token
    assert not portal.adapter.capabilities.pkce


def test_a_used_code_is_refused(portal: ConnectedPortal) -> None:
    """A code works once; the second time a person must connect again."""
    # Given a used code
    back = consent(portal.adapter.get_auth_url("st", REDIRECT_URI))
    portal.adapter.exchange_code(back["code"], REDIRECT_URI)

    # When it is used again / Then it is refused
    with pytest.raises(ReauthRequired):
        portal.adapter.exchange_code(back["code"], REDIRECT_URI)


def test_a_refresh_keeps_what_the_reply_does_not_say(portal: ConnectedPortal) -> None:
    """A refresh gives a new access token and the refresh token to keep; names and extras of before stay."""
    # Given connected tokens
    before = replace(portal.tokens, account_name="Acme", user="ada", extra={"ui_domain": "app.hubspot.com"})

    # When they are refreshed
    after = portal.adapter.refresh_token(str(before.refresh_token), tokens=before)

    # Then only the tokens and their end are new
    assert after.access_token != before.access_token
    assert after.refresh_token == before.refresh_token
    assert after.expires_at is not None
    assert (after.account_id, after.account_name, after.user) == (before.account_id, "Acme", "ada")
    assert after.extra == before.extra


def test_a_rotated_refresh_token_is_handed_out(portal: ConnectedPortal) -> None:
    """Should HubSpot rotate, the new refresh token is the one to keep, and the old one is dead."""
    # Given an account that rotates
    portal.switch(refresh_rotation=True)
    old = str(portal.tokens.refresh_token)

    # When it is refreshed
    after = portal.adapter.refresh_token(old, tokens=portal.tokens)

    # Then the new one is kept and works, the old one is refused
    assert after.refresh_token not in (None, old)
    assert portal.adapter.refresh_token(str(after.refresh_token)).access_token
    with pytest.raises(ReauthRequired):
        portal.adapter.refresh_token(old)


def test_revoking_ends_the_grant_and_twice_is_done(portal: ConnectedPortal) -> None:
    """A revoked grant cannot be refreshed; revoking a dead token counts as done."""
    # Given connected tokens
    token = str(portal.tokens.refresh_token)

    # When they are revoked twice
    portal.adapter.revoke(portal.tokens)
    portal.adapter.revoke(portal.tokens)

    # Then the grant is dead
    with pytest.raises(ReauthRequired):
        portal.adapter.refresh_token(token)


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ("500", CrmUnavailable),
        ("html", CrmUnavailable),
        ("empty", CrmUnavailable),
        ("lost_reply", CrmUnavailable),
        ("rate_limited", TryAgain),
        ("invalid_grant", ReauthRequired),
    ],
)
def test_each_failure_of_the_token_endpoint_has_its_class(
    portal: ConnectedPortal, fault: str, error: type[CrmError]
) -> None:
    """Server faults, pages and silence may be tried again; a dead grant needs a person; no text holds a secret."""
    # Given a token endpoint in that state
    portal.switch(token_fault=fault, token_fault_next=-1)

    # When a token is refreshed
    with pytest.raises(error) as raised:
        portal.adapter.refresh_token(str(portal.tokens.refresh_token))

    # Then neither token nor secret is in the error
    texts = f"{raised.value} {raised.value.public} {raised.value!r}"
    assert str(portal.tokens.refresh_token) not in texts
    assert "not-real" not in texts


def test_a_rate_limit_at_the_token_endpoint_says_how_long(portal: ConnectedPortal) -> None:
    """429 at the token endpoint is `RateLimited` with seconds."""
    # Given a limited token endpoint
    portal.switch(token_fault="rate_limited", token_fault_next=1)

    # When a token is refreshed / Then it says how long to wait
    with pytest.raises(RateLimited) as limited:
        portal.adapter.refresh_token(str(portal.tokens.refresh_token))
    assert limited.value.retry_after_s is not None


def test_wrong_client_settings_are_an_operators_matter(portal: ConnectedPortal) -> None:
    """A wrong secret, a wrong redirect URI and missing settings are `ConfigurationFault`."""
    # Given adapters with a wrong secret and with no client at all
    wrong = OAuthClient(client_id="sandbox-hubspot-client", client_secret=SecretStr("wrong-on-purpose"))
    with_wrong = HubSpotAdapter(portal.http, wrong, api_version=API_VERSION, sandbox_origin=portal.origin)
    without = HubSpotAdapter(portal.http, None, api_version=API_VERSION, sandbox_origin=portal.origin)

    # When they are used / Then an operator is asked
    with pytest.raises(ConfigurationFault) as refused:
        with_wrong.refresh_token(str(portal.tokens.refresh_token))
    assert "wrong-on-purpose" not in str(refused.value)
    with pytest.raises(ConfigurationFault):
        without.get_auth_url("s", REDIRECT_URI)
    back = consent(portal.adapter.get_auth_url("st", REDIRECT_URI))
    with pytest.raises((ConfigurationFault, ReauthRequired)):
        portal.adapter.exchange_code(back["code"], REDIRECT_URI + "/other")


def test_a_login_host_is_refused(portal: ConnectedPortal) -> None:
    """HubSpot has one authorization server; another host is refused."""
    # Given a login host of somebody else / When a URL is asked for / Then it is refused
    with pytest.raises(CommandRefused):
        portal.adapter.get_auth_url("s", REDIRECT_URI, login_host="https://evil.example")


def test_an_unknown_version_gives_up(portal: ConnectedPortal) -> None:
    """The API version stands in one place: with an unknown one, no call is taken for a success."""
    # Given an adapter for a version that does not exist
    adapter = HubSpotAdapter(portal.http, None, api_version="1999-01", sandbox_origin=portal.origin)

    # When an object is described / Then it is refused
    with pytest.raises(GiveUp):
        adapter.describe_fields(portal.tokens, "contacts", scope=portal.scope())


def test_a_token_that_no_header_can_carry_is_refused_unquoted() -> None:
    """RFC 6750 section 2.1: a token with a line break would end the header; it is refused, and never quoted."""
    # Given a token endpoint's reply with such a token / When it is read / Then it is refused
    with pytest.raises(GiveUp) as refused:
        _read_tokens({"access_token": "canary\r\nX: 1", "refresh_token": "r"}, datetime.now(UTC), None)
    assert "canary" not in f"{refused.value} {refused.value.public}"
