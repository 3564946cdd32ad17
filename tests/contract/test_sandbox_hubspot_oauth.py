"""The sandbox's HubSpot OAuth, over a socket: consent, body-only parameters, refresh, partial revocation."""

from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs, quote, urlencode, urlsplit

import pytest
import requests

from sandbox.person import NoConsentPageError, Person
from sandbox.remote import RemoteSandbox
from sandbox.server import SandboxServer

CLIENT = {"client_id": "sandbox-hubspot-client", "client_secret": "sandbox-hubspot-secret-not-real"}
REDIRECT_URI = "http://127.0.0.1:8000/oauth/callback/hubspot"
SCOPES = ["oauth", "crm.objects.contacts.read", "crm.objects.contacts.write"]


@pytest.fixture(scope="module")
def server() -> Iterator[SandboxServer]:
    with SandboxServer() as running:
        yield running


@pytest.fixture
def remote(server: SandboxServer) -> RemoteSandbox:
    remote = RemoteSandbox(server.origin)
    remote.reset()
    return remote


def authorize_url(remote: RemoteSandbox, hub_id: str = "", **changes: str) -> str:
    parameters = {"client_id": CLIENT["client_id"], "redirect_uri": REDIRECT_URI, "scope": " ".join(SCOPES)}
    query = urlencode({**parameters, "state": "s1", **changes}, quote_via=quote)
    return f"{remote.origin}/hubspot/oauth/{hub_id + '/' if hub_id else ''}authorize?{query}"


def parameters_of(url: str) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}


def post(remote: RemoteSandbox, path: str, **form: str) -> requests.Response:
    return requests.post(f"{remote.origin}/hubspot/oauth/{path}", data=CLIENT | form, timeout=10)


def exchange(remote: RemoteSandbox, url: str = "", **changes: str) -> requests.Response:
    code = parameters_of(Person().allow(url or authorize_url(remote)))["code"]
    form = {"grant_type": "authorization_code", "code": code, "redirect_uri": REDIRECT_URI}
    return post(remote, "2026-09/token", **(form | changes))


def refresh(remote: RemoteSandbox, refresh_token: str) -> requests.Response:
    return post(remote, "2026-09/token", grant_type="refresh_token", refresh_token=refresh_token)


def contacts(remote: RemoteSandbox, reply: dict[str, Any]) -> requests.Response:
    headers = {"Authorization": f"Bearer {reply['access_token']}"}
    return requests.get(f"{remote.origin}/hubspot/crm/objects/2026-09/contacts", headers=headers, timeout=10)


def test_consent_leads_to_tokens_of_the_chosen_portal(remote: RemoteSandbox) -> None:
    """The reply has a life of 1800 s, the hub id as a number and the scopes as a list."""
    # Given two portals, and a URL that names the second
    second = remote.account_ids("hubspot")[1]

    # When a person allows
    reply = exchange(remote, authorize_url(remote, hub_id=second)).json()

    # Then the tokens belong to it
    assert (reply["expires_in"], reply["hub_id"], reply["scopes"]) == (1800, int(second), SCOPES)
    assert (reply["token_type"], reply["token_use"]) == ("bearer", "access_token")
    assert contacts(remote, reply).status_code == 200


def test_deny_comes_back_as_access_denied(remote: RemoteSandbox) -> None:
    """No code comes back from a person who denies."""
    # Given a person who denies
    # When they are sent back
    callback = parameters_of(Person().deny(authorize_url(remote)))

    # Then there is an error
    assert (callback["error"], callback["state"], "code" in callback) == ("access_denied", "s1", False)


def test_an_unknown_scope_ends_on_hubspots_own_page(remote: RemoteSandbox) -> None:
    """There is no callback for a scope that the app does not have."""
    # Given a request with such a scope
    url = authorize_url(remote, scope="oauth crm.objects.spaceships.read")

    # When a person opens it
    # Then the page says so
    with pytest.raises(NoConsentPageError, match="spaceships"):
        Person().open_consent_page(url)


def test_parameters_in_the_query_string_are_refused(remote: RemoteSandbox) -> None:
    """The dated endpoints read the body alone, as a client of the old ones must notice."""
    # Given a good refresh token
    reply = exchange(remote).json()
    parameters = CLIENT | {"grant_type": "refresh_token", "refresh_token": reply["refresh_token"]}

    # When it is sent in the query string
    response = requests.post(f"{remote.origin}/hubspot/oauth/2026-09/token", params=parameters, timeout=10)

    # Then it is refused
    assert (response.status_code, response.json()["error"]) == (400, "invalid_request")


@pytest.mark.parametrize(
    ("changes", "error", "status"),
    [
        ({"code": "na1-unknown"}, "invalid_grant", "BAD_AUTH_CODE"),
        ({"redirect_uri": REDIRECT_URI + "x"}, "invalid_grant", "BAD_REDIRECT_URI"),
        ({"client_id": "stranger"}, "invalid_client", "BAD_CLIENT_ID"),
        ({"client_secret": "wrong"}, "invalid_client", "BAD_CLIENT_SECRET"),
        ({"grant_type": "password"}, "unsupported_grant_type", "BAD_GRANT_TYPE"),
    ],
)
def test_errors_carry_the_rfc_code_and_hubspots_status(
    remote: RemoteSandbox, changes: dict[str, str], error: str, status: str
) -> None:
    """Every refusal is a 400 with both."""
    # Given an exchange with one thing wrong
    # When it is sent
    response = exchange(remote, **changes)

    # Then both codes are there
    body = response.json()
    assert (response.status_code, body["error"], body["status"]) == (400, error, status)


def test_pkce_is_checked_when_a_challenge_was_sent(remote: RemoteSandbox) -> None:
    """HubSpot does not ask for PKCE; a challenge that came must be answered."""
    # Given a request with a challenge
    url = authorize_url(remote, code_challenge="A" * 43, code_challenge_method="S256")

    # When the code is exchanged without a verifier
    response = exchange(remote, url)

    # Then it is refused
    assert response.json()["status"] == "BAD_CODE_VERIFIER"


def test_refresh_keeps_the_refresh_token_unless_rotation_is_on(remote: RemoteSandbox) -> None:
    """The reply always carries a refresh token: the same, or with the switch a new one."""
    # Given a grant
    first = exchange(remote).json()

    # When it is refreshed without and with rotation
    kept = refresh(remote, first["refresh_token"]).json()
    remote.switch("hubspot", refresh_rotation=True)
    rotated = refresh(remote, first["refresh_token"]).json()

    # Then the token stayed, then changed
    assert kept["refresh_token"] == first["refresh_token"]
    assert rotated["refresh_token"] != first["refresh_token"]


def test_revocation_kills_the_refresh_token_only(remote: RemoteSandbox) -> None:
    """Access tokens run on to their end."""
    # Given a grant
    reply = exchange(remote).json()

    # When its refresh token is revoked
    response = post(remote, "2026-09/token/revoke", token=reply["refresh_token"])

    # Then it is dead, and the access token is not
    assert response.status_code == 200
    assert refresh(remote, reply["refresh_token"]).json()["status"] == "BAD_REFRESH_TOKEN"
    assert contacts(remote, reply).status_code == 200


def test_uninstalling_the_app_ends_every_token(remote: RemoteSandbox) -> None:
    """`external-install` answers 204; afterwards nothing works."""
    # Given a grant
    reply = exchange(remote).json()
    headers = {"Authorization": f"Bearer {reply['access_token']}"}

    # When the app is uninstalled
    url = f"{remote.origin}/hubspot/appinstalls/2026-09/external-install"
    response = requests.delete(url, headers=headers, timeout=10)

    # Then the access token is refused
    assert response.status_code == 204
    assert contacts(remote, reply).json()["category"] == "INVALID_AUTHENTICATION"


def test_an_expired_token_says_so(remote: RemoteSandbox) -> None:
    """401 with EXPIRED_AUTHENTICATION; introspection answers 200 and not active."""
    # Given an access token that expired
    reply = exchange(remote).json()
    remote.expire_access_tokens("hubspot", str(reply["hub_id"]))

    # When it is used and introspected
    response = contacts(remote, reply)
    introspection = post(remote, "2026-09/token/introspect", token=reply["access_token"])

    # Then both tell
    assert (response.status_code, response.json()["category"]) == (401, "EXPIRED_AUTHENTICATION")
    assert introspection.json() == {"active": False}


def test_a_missing_scope_is_named(remote: RemoteSandbox) -> None:
    """403 MISSING_SCOPES names the scope that the call needs."""
    # Given a grant for contacts alone
    reply = exchange(remote).json()
    headers = {"Authorization": f"Bearer {reply['access_token']}"}

    # When companies are read
    url = f"{remote.origin}/hubspot/crm/objects/2026-09/companies"
    response = requests.get(url, headers=headers, timeout=10)

    # Then the scope is named
    assert (response.status_code, response.json()["category"]) == (403, "MISSING_SCOPES")
    assert response.json()["context"] == {"requiredGranularScopes": ["crm.objects.companies.read"]}


def test_the_account_of_a_token_can_be_read(remote: RemoteSandbox) -> None:
    """account-info and introspection name the same portal."""
    # Given a grant
    reply = exchange(remote).json()
    headers = {"Authorization": f"Bearer {reply['access_token']}"}

    # When both are asked
    details = requests.get(f"{remote.origin}/hubspot/account-info/2026-09/details", headers=headers, timeout=10).json()
    introspection = post(remote, "2026-09/token/introspect", token=reply["refresh_token"]).json()

    # Then it is the portal of the token reply
    assert details["portalId"] == introspection["hub_id"] == reply["hub_id"]
    assert (introspection["active"], "expires_in" in introspection) == (True, False)


def test_the_old_oauth_version_can_be_gone(remote: RemoteSandbox) -> None:
    """With the switch, v1 answers 404."""
    # Given v1 switched off
    remote.switch("hubspot", oauth_v1_gone=True)

    # When it is called
    response = post(remote, "v1/token", grant_type="refresh_token", refresh_token="x")

    # Then there is nothing
    assert response.status_code == 404
