"""Facts of HubSpot's OAuth that its documents leave open: each is a switch, and both of its settings answer."""

import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
import requests

from sandbox.person import Person
from sandbox.remote import RemoteSandbox
from sandbox.server import SandboxServer

REDIRECT_URI = "http://127.0.0.1:1/callback"
CLIENT = {"client_id": "sandbox-hubspot-client", "client_secret": "sandbox-hubspot-secret-not-real"}
AUTHORIZE = {"client_id": CLIENT["client_id"], "redirect_uri": REDIRECT_URI, "scope": "oauth", "state": "s"}


@pytest.fixture(scope="module")
def server() -> Iterator[SandboxServer]:
    with SandboxServer() as running:
        yield running


@pytest.fixture
def remote(server: SandboxServer) -> RemoteSandbox:
    remote = RemoteSandbox(server.origin)
    remote.reset()
    return remote


def token(remote: RemoteSandbox, **form: str) -> dict[str, Any]:
    url = f"{remote.origin}/hubspot/oauth/2026-09/token"
    reply: dict[str, Any] = requests.post(url, data={**CLIENT, **form}, timeout=10).json()
    return reply


def refresh(remote: RemoteSandbox, refresh_token: str) -> dict[str, Any]:
    return token(remote, grant_type="refresh_token", refresh_token=refresh_token)


def refresh_token_of(remote: RemoteSandbox) -> str:
    return str(remote.tokens("hubspot", remote.account_ids("hubspot")[0])["refresh_token"])


@pytest.mark.parametrize("extras", [True, False])
def test_the_token_reply_with_and_without_its_optional_members(remote: RemoteSandbox, *, extras: bool) -> None:
    """The required members come always; hub_id, user_id and scopes only with the setting."""
    # Given the setting
    remote.switch("hubspot", token_reply_extras=extras)

    # When a token is refreshed
    reply = refresh(remote, refresh_token_of(remote))

    # Then
    required = {"access_token", "refresh_token", "expires_in", "token_type", "token_use"}
    assert set(reply) == (required | {"hub_id", "user_id", "scopes"} if extras else required)


@pytest.mark.parametrize(("rotates", "is_same"), [(False, True), (True, False)])
def test_whether_hubspot_rotates_refresh_tokens(remote: RemoteSandbox, *, rotates: bool, is_same: bool) -> None:
    """The reply always has a refresh token: the one that was presented, or a new one."""
    # Given the setting
    remote.switch("hubspot", refresh_rotation=rotates)
    presented = refresh_token_of(remote)

    # When it is exchanged
    reply = refresh(remote, presented)

    # Then
    assert (reply["refresh_token"] == presented) == is_same


@pytest.mark.parametrize(("is_required", "status"), [(False, 200), (True, 400)])
def test_whether_hubspot_demands_pkce(remote: RemoteSandbox, *, is_required: bool, status: int) -> None:
    """Without a challenge the consent page comes, or HubSpot's error page."""
    # Given the setting
    remote.switch("hubspot", pkce_required=is_required)

    # When an authorization request without a challenge comes
    page = requests.get(f"{remote.origin}/hubspot/oauth/authorize", params=AUTHORIZE, timeout=10)

    # Then
    assert page.status_code == status


@pytest.mark.parametrize(("life_s", "error"), [(60, None), (1, "invalid_grant")])
def test_the_life_of_hubspots_codes(remote: RemoteSandbox, life_s: int, error: str | None) -> None:
    """A minute by default, but no number is documented: a shorter life ends a code that waits."""
    # Given the setting and a code that waited
    remote.switch("hubspot", code_life_s=life_s)
    location = Person().allow(f"{remote.origin}/hubspot/oauth/authorize?{urlencode(AUTHORIZE)}")
    code = parse_qs(urlsplit(location).query)["code"][0]
    time.sleep(1.1)

    # When it is exchanged
    reply = token(remote, grant_type="authorization_code", code=code, redirect_uri=REDIRECT_URI)

    # Then
    assert reply.get("error") == error
