"""Salesforce's OAuth: login hosts, PKCE, the reply's signature and hosts, rotation, the life that no reply tells."""

import base64
import hashlib
import hmac
import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from crm.adapters.salesforce import SalesforceAdapter
from crm.adapters.salesforce.oauth import TOKEN_ERRORS, login_origin
from crm.errors import (
    AccessTokenRejected,
    CommandRefused,
    ConfigurationFault,
    CrmUnavailable,
    GiveUp,
    RateLimited,
    ReauthRequired,
)
from crm.http import AllowedHosts, HttpClient
from crm.model import CallScope, OAuthTokens
from sandbox.person import Person
from sandbox.server import SandboxServer
from services.salesforce_org import API_VERSION, CLIENT, REDIRECT_URI, ConnectedOrg, connected_org

VERIFIER = "v" * 64
#: RFC 7636 section 4.2.
CHALLENGE = base64.urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest()).decode().rstrip("=")
ORG_ID, USER_ID = "00D5g0000000001EAA", "0055g0000000001AAA"


@pytest.fixture(scope="module")
def server() -> Iterator[SandboxServer]:
    with SandboxServer() as running:
        yield running


@pytest.fixture
def org(server: SandboxServer) -> Iterator[ConnectedOrg]:
    with connected_org(server.origin) as connected:
        yield connected


def consent(org: ConnectedOrg) -> str:
    """The code that the callback of a new consent carries."""
    url = org.adapter.get_auth_url("state", REDIRECT_URI, code_challenge=CHALLENGE)
    return parse_qs(urlsplit(Person().allow(url)).query)["code"][0]


@contextmanager
def token_endpoint(replies: Mapping[str, tuple[int, Any]]) -> Iterator[SalesforceAdapter]:
    """An adapter whose Salesforce answers each last path segment as told."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            self.rfile.read(length)
            status, content = replies.get(urlsplit(self.path).path.rsplit("/", 1)[-1], (404, {}))
            origin = f"http://{self.headers['Host']}/salesforce"
            body = json.dumps(content(origin) if callable(content) else content).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST  # noqa: N815 - the name that http.server wants

        def log_message(self, *_args: Any) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        origin = f"http://127.0.0.1:{server.server_port}"
        http = HttpClient(timeout_s=5.0, connect_timeout_s=2.0, allowed_hosts=AllowedHosts(("salesforce.com",), origin))
        yield SalesforceAdapter(http, CLIENT, api_version=API_VERSION, sandbox_origin=origin)
        server.shutdown()
        thread.join(5)


def token_reply(**changes: Any) -> Callable[[str], dict[str, Any]]:
    """A sound token reply of an origin, with its true signature over what it says after the changes."""

    def reply_of(origin: str) -> dict[str, Any]:
        reply = {
            "access_token": "00D!access",
            "refresh_token": "5Aep861refresh",
            "id": f"{origin}/id/{ORG_ID}/{USER_ID}",
            "issued_at": "1795348800000",
            "instance_url": origin,
            "scope": "refresh_token api",
            **changes,
        }
        message = f"{reply['id']}{reply['issued_at']}".encode()
        digest = hmac.digest(CLIENT.client_secret.get_secret_value().encode(), message, "sha256")
        return {"signature": base64.b64encode(digest).decode(), **reply}

    return reply_of


def exchanged(**replies: tuple[int, Any]) -> OAuthTokens:
    with token_endpoint(replies) as adapter:
        return adapter.exchange_code("code", REDIRECT_URI, code_verifier=VERIFIER)


def test_consent_names_org_user_host_and_life(org: ConnectedOrg) -> None:
    """The tokens say which org, who connected, where its API lives and until when the session lasts."""
    # Given sessions of 15 minutes
    org.switch(access_token_life_s=900)

    # When
    tokens = org.adapter.exchange_code(
        consent(org), REDIRECT_URI, code_verifier=VERIFIER, login_host="https://test.salesforce.com"
    )

    # Then
    assert tokens.account_id == org.account_id
    assert tokens.user is not None
    assert "@" in tokens.user
    assert tokens.login_host == "https://test.salesforce.com"
    assert tokens.instance_url == org.tokens.instance_url
    assert set(tokens.scope) >= {"api", "refresh_token"}
    assert tokens.expires_at is not None
    assert abs(tokens.expires_at - datetime.now(UTC) - timedelta(minutes=15)) < timedelta(seconds=10)

    # And a refresh counts on the same life without asking again
    asked = sum("introspect" in entry["path"] for entry in org.sandbox.journal())
    fresh = org.adapter.refresh_token(str(tokens.refresh_token), tokens=tokens)
    assert fresh.expires_at is not None
    assert fresh.expires_at >= tokens.expires_at - timedelta(seconds=2)
    assert (fresh.user, fresh.login_host) == (tokens.user, tokens.login_host)
    assert sum("introspect" in entry["path"] for entry in org.sandbox.journal()) == asked


@pytest.mark.parametrize("verifier", [None, "x" * 64])
def test_a_code_is_worth_nothing_without_its_verifier(org: ConnectedOrg, verifier: str | None) -> None:
    """RFC 7636 section 4.6: a stolen code cannot be exchanged."""
    # Given
    code = consent(org)

    # When / Then
    with pytest.raises(ReauthRequired):
        org.adapter.exchange_code(code, REDIRECT_URI, code_verifier=verifier)


def test_a_rotated_refresh_token_is_kept_and_a_used_one_is_dead(org: ConnectedOrg) -> None:
    """With rotation the result holds the new refresh token; using the old one again ends the grant."""
    # When
    first = org.adapter.refresh_token(str(org.tokens.refresh_token), tokens=org.tokens)

    # Then
    assert first.refresh_token != org.tokens.refresh_token
    with pytest.raises(ReauthRequired):
        org.adapter.refresh_token(str(org.tokens.refresh_token), tokens=org.tokens)
    with pytest.raises(ReauthRequired):
        org.adapter.refresh_token(str(first.refresh_token), tokens=first)


def test_without_rotation_the_old_refresh_token_is_kept(org: ConnectedOrg) -> None:
    """A reply without refresh_token leaves the one in force."""
    # Given
    org.switch(refresh_rotation=False)

    # When
    fresh = org.adapter.refresh_token(str(org.tokens.refresh_token), tokens=org.tokens)

    # Then
    assert fresh.refresh_token == org.tokens.refresh_token
    assert fresh.access_token != org.tokens.access_token


@pytest.mark.parametrize(
    "url",
    [
        "https://evil.example",
        "http://acme.my.salesforce.com",
        "https://acme.my.salesforce.com.evil.example",
        "https://x.force.com",
    ],
)
def test_an_instance_url_elsewhere_is_refused(org: ConnectedOrg, url: str) -> None:
    """A token reply cannot send our calls to a stranger."""
    # Given
    org.switch(instance_url_override=url)

    # When / Then
    with pytest.raises(GiveUp):
        org.adapter.exchange_code(consent(org), REDIRECT_URI, code_verifier=VERIFIER)


@pytest.mark.parametrize(
    "change",
    [
        {"signature": "AAAA"},
        {"signature": None},
        {"id": "https://evil.example/id/00D5g0000000001EAA/0055g0000000001AAA"},
        {"id": "https://login.salesforce.com/nobody"},
        {"id": None},
        {"access_token": None},
        {"instance_url": 7},
    ],
)
def test_a_token_reply_that_is_not_sound_is_refused(change: dict[str, Any]) -> None:
    """Signature, identity and hosts are checked before anything is believed."""
    # When / Then
    with pytest.raises(GiveUp):
        exchanged(token=(200, token_reply(**change)))


def test_side_calls_may_fail() -> None:
    """Without introspection and identity the tokens still work; only their life and user are unknown."""
    # When
    tokens = exchanged(token=(200, token_reply()), introspect=(500, {}))

    # Then
    assert (tokens.expires_at, tokens.user) == (None, None)
    assert (tokens.account_id, tokens.account_name) == (ORG_ID, "127.0.0.1")
    assert tokens.refresh_token == "5Aep861refresh"


def test_an_absurd_expiry_is_not_believed() -> None:
    """`exp` must lie within a day after `issued_at`."""
    # Given an expiry in 2242
    answer = {"active": True, "exp": 2**33 - 1}

    # When / Then
    assert exchanged(token=(200, token_reply()), introspect=(200, answer)).expires_at is None


def test_a_reply_without_refresh_token_is_a_setting_of_the_app() -> None:
    """Without the scope refresh_token a connection would die within hours: say so at once."""
    # When / Then
    with pytest.raises(ConfigurationFault):
        exchanged(token=(200, token_reply(refresh_token=None)))


def test_a_refresh_never_changes_the_org() -> None:
    """A token of another org is not stored under this connection."""
    # Given
    before = OAuthTokens("old", account_id="00D000000000009EAA")

    # When / Then
    with token_endpoint({"token": (200, token_reply())}) as adapter, pytest.raises(GiveUp):
        adapter.refresh_token("r", tokens=before)


DESCRIPTIONS = (
    "expired access/refresh token",
    "expired authorization code",
    "authentication failure",
    "inactive user",
    "ip restricted",
    "invalid code verifier",
)


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        *((400, {"error": "invalid_grant", "error_description": text}, ReauthRequired) for text in DESCRIPTIONS),
        (400, {"error": "inactive_org"}, ReauthRequired),
        (400, {"error": "inactive_user"}, ReauthRequired),
        (400, {"error": "access_denied"}, ReauthRequired),
        (400, {"error": "access-denied"}, ReauthRequired),
        (400, {"error": "invalid_client", "error_description": "invalid client credentials"}, ConfigurationFault),
        (401, {"error": "invalid_client"}, ConfigurationFault),
        (401, {"error": "invalid_client_id"}, ConfigurationFault),
        (400, {"error": "invalid_client_credentials"}, ConfigurationFault),
        (400, {"error": "redirect_uri_mismatch"}, ConfigurationFault),
        (400, {"error": "unsupported_grant_type"}, ConfigurationFault),
        (400, {"error": "unauthorized_client"}, ConfigurationFault),
        (400, {"error": "invalid_request"}, ConfigurationFault),
        (400, {"error": "invalid_scope"}, ConfigurationFault),
        (400, {"error": "rate_limit_exceeded"}, RateLimited),
        (429, {}, RateLimited),
        (500, {"error": "invalid_grant"}, CrmUnavailable),
        (503, {}, CrmUnavailable),
        (400, {}, CrmUnavailable),
        (200, [], CrmUnavailable),
        (400, {"error": "brand_new_code"}, GiveUp),
    ],
)
@pytest.mark.parametrize("verb", ["exchange", "refresh"])
def test_token_errors_say_whose_turn_it_is(verb: str, status: int, body: Any, expected: type[Exception]) -> None:
    """RFC 6749 section 5.2: reconnect, operator or retry; judged by `error`, never by its description."""
    # When
    with token_endpoint({"token": (status, body)}) as adapter:
        verbs = {
            "exchange": lambda: adapter.exchange_code("secret-code", REDIRECT_URI, code_verifier=VERIFIER),
            "refresh": lambda: adapter.refresh_token("secret-refresh"),
        }
        with pytest.raises(expected) as raised:
            verbs[verb]()

    # Then it is exactly that class, and quotes neither description nor secret
    assert raised.type is expected
    assert not any(word in str(raised.value) for word in ("secret", "expired access", VERIFIER))


def test_every_row_of_the_token_table_is_tested() -> None:
    """A row without a test above is a row that nobody meant."""
    # Given
    (marks,) = [mark for mark in test_token_errors_say_whose_turn_it_is.pytestmark if "body" in mark.args[0]]  # type: ignore[attr-defined]

    # When
    tested = {body["error"] for _, body, _ in marks.args[1] if isinstance(body, dict) and "error" in body}

    # Then
    assert set(TOKEN_ERRORS) <= tested


def test_a_network_failure_of_the_token_endpoint_is_tried_again() -> None:
    """Nothing was said about the grant."""
    # Given an endpoint that is gone
    with token_endpoint({}) as adapter:
        gone = adapter

    # When / Then
    with pytest.raises(CrmUnavailable):
        gone.refresh_token("r")


@pytest.mark.parametrize(
    ("given", "origin"),
    [
        (None, "https://login.salesforce.com"),
        ("https://test.salesforce.com/", "https://test.salesforce.com"),
        (" https://Acme.My.Salesforce.com ", "https://acme.my.salesforce.com"),
        ("https://acme--uat.sandbox.my.salesforce.com", "https://acme--uat.sandbox.my.salesforce.com"),
    ],
)
def test_login_hosts_are_salesforces_own(given: str | None, origin: str) -> None:
    """Production, sandbox, My Domain."""
    # When / Then
    assert login_origin(given) == origin


@pytest.mark.parametrize(
    "given",
    [
        "http://acme.my.salesforce.com",
        "https://acme.lightning.force.com",
        "https://acme.my.salesforce.com.evil.example",
        "https://evil.example/.my.salesforce.com",
        "https://evil.example#x.my.salesforce.com",
        "https://a@evil.my.salesforce.com",
        "https://my.salesforce.com",
        "https://acme.my.salesforce.com:8443",
        "https://acme.my.salesforce.com\nx",
        "acme.my.salesforce.com",
        "",
    ],
)
def test_a_login_host_of_a_stranger_gets_no_client_secret(given: str) -> None:
    """The host is refused before anything is sent to it."""
    # When / Then
    with pytest.raises(CommandRefused):
        login_origin(given)


@pytest.mark.parametrize("given", ["https://evil.example", "http://login.salesforce.com", "https://app.hubspot.com"])
def test_a_wrong_login_host_is_refused_with_a_sandbox_too(org: ConnectedOrg, given: str) -> None:
    """What production would refuse does not work while developing either, and no call leaves."""
    # Given
    before = len(org.sandbox.journal())

    # When / Then
    with pytest.raises(CommandRefused):
        org.adapter.get_auth_url("s", REDIRECT_URI, code_challenge=CHALLENGE, login_host=given)
    with pytest.raises(CommandRefused):
        org.adapter.exchange_code("code", REDIRECT_URI, code_verifier=VERIFIER, login_host=given)
    with pytest.raises(CommandRefused):
        org.adapter.revoke(replace(org.tokens, login_host=given))
    assert len(org.sandbox.journal()) == before


def test_org_and_user_have_the_names_that_people_know(org: ConnectedOrg) -> None:
    """The org's name is Organization.Name, the user is who consented; a refresh keeps both."""
    # When
    tokens = org.adapter.exchange_code(consent(org), REDIRECT_URI, code_verifier=VERIFIER)

    # Then
    ((_, held),) = org.adapter.read_records(
        tokens, "Organization", [org.account_id], ["Name"], scope=CallScope()
    ).items()
    assert tokens.account_name == held["Name"]
    assert tokens.account_name not in (None, "127.0.0.1")
    fresh = org.adapter.refresh_token(str(tokens.refresh_token), tokens=tokens)
    assert (fresh.account_name, fresh.user) == (tokens.account_name, tokens.user)


@pytest.mark.parametrize("rows", [[], [{"Name": None}], [{"Name": " "}], ["x"], None])
def test_without_a_name_the_orgs_host_says_which_it_is(rows: Any) -> None:
    """A user who may not read Organization connects all the same."""
    # When
    tokens = exchanged(token=(200, token_reply()), query=(200, {"records": rows}))

    # Then
    assert tokens.account_name == "127.0.0.1"


def test_names_are_cut_and_cleaned() -> None:
    """They are stored and shown: no NUL, no endless text."""
    # When
    name = "A\u0000cme" + "x" * 500
    tokens = exchanged(token=(200, token_reply()), query=(200, {"records": [{"Name": name}]}))

    # Then
    assert tokens.account_name is not None
    assert tokens.account_name.startswith("Acmexx")
    assert len(tokens.account_name) == 200


def test_the_real_hosts_are_used_without_a_sandbox() -> None:
    """Authorization goes to the chosen login host, with PKCE and the two scopes."""
    # Given
    http = HttpClient(timeout_s=5.0, connect_timeout_s=2.0, allowed_hosts=AllowedHosts(("salesforce.com",)))
    adapter = SalesforceAdapter(http, CLIENT, api_version=API_VERSION)

    # When
    url = adapter.get_auth_url("s", REDIRECT_URI, code_challenge="c", login_host="https://acme.my.salesforce.com")

    # Then
    assert url.startswith("https://acme.my.salesforce.com/services/oauth2/authorize?response_type=code&client_id=")
    assert "scope=api%20refresh_token" in url
    assert "code_challenge_method=S256" in url


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (200, "", None),
        (400, {"error": "invalid_token"}, None),
        (400, {"error": "unsupported_token_type"}, None),
        (400, {"error": "invalid_client"}, ConfigurationFault),
        (429, {}, RateLimited),
        (503, {}, CrmUnavailable),
    ],
)
def test_revoking_tells_what_is_not_done(status: int, body: Any, expected: type[Exception] | None) -> None:
    """RFC 7009 section 2.2: a token that is dead counts as revoked; an outage does not."""
    # Given
    tokens = OAuthTokens("access", refresh_token="refresh")

    # When / Then
    with token_endpoint({"revoke": (status, body)}) as adapter:
        if expected is None:
            adapter.revoke(tokens)
            return
        with pytest.raises(expected) as raised:
            adapter.revoke(tokens)
    assert raised.type is expected


def test_revoking_the_refresh_token_ends_the_access_tokens_too(org: ConnectedOrg) -> None:
    """Revocation is `full`: what was issued before no longer works."""
    # When
    org.adapter.revoke(org.tokens)

    # Then
    assert org.adapter.capabilities.revocation == "full"
    with pytest.raises(AccessTokenRejected):
        org.adapter.describe_fields(org.tokens, "Lead", scope=CallScope())


def test_revoking_dead_tokens_is_done_and_a_refusal_is_told(org: ConnectedOrg) -> None:
    """400 `invalid_token` means that there is nothing left to revoke; an outage does not."""
    # When / Then
    org.adapter.revoke(replace(org.tokens, refresh_token="made-up", access_token="made-up"))
    with token_endpoint({"revoke": (503, {})}) as adapter, pytest.raises(CrmUnavailable):
        adapter.revoke(org.tokens)
