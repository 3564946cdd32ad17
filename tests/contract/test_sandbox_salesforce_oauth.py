"""The sandbox's Salesforce OAuth, over a socket: consent, PKCE, rotation with reuse detection, revocation."""

import base64
import hashlib
import hmac
import secrets
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
import requests

from sandbox.person import NoConsentPageError, Person
from sandbox.remote import RemoteSandbox
from sandbox.server import SandboxServer

CLIENT = {"client_id": "sandbox-salesforce-client", "client_secret": "sandbox-salesforce-secret-not-real"}
REDIRECT_URI = "http://127.0.0.1:8000/oauth/callback/salesforce"
VERIFIER = secrets.token_urlsafe(64)
CHALLENGE = base64.urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest()).rstrip(b"=").decode()


@pytest.fixture(scope="module")
def server() -> Iterator[SandboxServer]:
    with SandboxServer() as running:
        yield running


@pytest.fixture
def remote(server: SandboxServer) -> RemoteSandbox:
    remote = RemoteSandbox(server.origin)
    remote.reset()
    return remote


def authorize_url(remote: RemoteSandbox, **changes: str | None) -> str:
    parameters = {
        "response_type": "code", "client_id": CLIENT["client_id"], "redirect_uri": REDIRECT_URI, "state": "a b&c",
        "scope": "api refresh_token", "code_challenge": CHALLENGE, "code_challenge_method": "S256",
    } | changes  # fmt: skip
    query = urlencode({name: value for name, value in parameters.items() if value is not None})
    return f"{remote.origin}/salesforce/services/oauth2/authorize?{query}"


def parameters_of(url: str) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}


def post(remote: RemoteSandbox, path: str, **form: str) -> requests.Response:
    return requests.post(f"{remote.origin}/salesforce/services/oauth2/{path}", data=CLIENT | form, timeout=10)


def exchange(remote: RemoteSandbox, **changes: str) -> requests.Response:
    code = parameters_of(Person().allow(authorize_url(remote)))["code"]
    form = {"grant_type": "authorization_code", "code": code, "redirect_uri": REDIRECT_URI, "code_verifier": VERIFIER}
    return post(remote, "token", **(form | changes))


def refresh(remote: RemoteSandbox, refresh_token: str) -> requests.Response:
    return post(remote, "token", grant_type="refresh_token", refresh_token=refresh_token)


def limits(reply: dict[str, Any]) -> requests.Response:
    headers = {"Authorization": f"Bearer {reply['access_token']}"}
    return requests.get(f"{reply['instance_url']}/services/data/v67.0/limits", headers=headers, timeout=10)


def test_a_person_who_allows_is_sent_back_with_a_code_for_the_chosen_org(remote: RemoteSandbox) -> None:
    """Consent leads to tokens of the org that was chosen; state comes back unchanged."""
    # Given two orgs, and a person who chooses the second
    second = remote.account_ids("salesforce")[1]

    # When they allow, and the code is exchanged
    callback = parameters_of(Person().allow(authorize_url(remote), second))
    form = {"code": callback["code"], "redirect_uri": REDIRECT_URI, "code_verifier": VERIFIER}
    response = post(remote, "token", grant_type="authorization_code", **form)

    # Then the reply is the vendor's: text values, the org in the identity URL, no expires_in
    reply = response.json()
    assert response.status_code == 200
    assert callback["state"] == "a b&c"
    assert set(reply) == {
        "access_token", "refresh_token", "signature", "scope", "instance_url", "id", "token_type", "issued_at",
    }  # fmt: skip
    assert reply["id"].split("/")[-2] == second
    assert reply["instance_url"] == f"{remote.origin}/salesforce"
    assert reply["issued_at"].isdigit()
    assert len(reply["issued_at"]) == 13
    assert limits(reply).status_code == 200


def test_the_signature_is_a_true_one(remote: RemoteSandbox) -> None:
    """It is the HMAC-SHA256 of identity URL and issue time under the client secret."""
    # Given a token reply
    reply = exchange(remote).json()

    # When the signature is computed again
    message = (reply["id"] + reply["issued_at"]).encode()
    expected = base64.b64encode(hmac.digest(CLIENT["client_secret"].encode(), message, "sha256")).decode()

    # Then it is the same
    assert reply["signature"] == expected


def test_a_person_who_denies_is_sent_back_with_an_error(remote: RemoteSandbox) -> None:
    """RFC 6749 section 4.1.2.1: access_denied, with the state."""
    # Given a person who denies
    # When they are sent back
    callback = parameters_of(Person().deny(authorize_url(remote)))

    # Then there is an error and no code
    assert callback["error"] == "access_denied"
    assert callback["state"] == "a b&c"
    assert "code" not in callback


@pytest.mark.parametrize("changes", [{"client_id": "stranger"}, {"redirect_uri": "https://evil.example/cb"}])
def test_an_unknown_client_or_redirect_uri_never_redirects(remote: RemoteSandbox, changes: dict[str, str]) -> None:
    """Such a request ends on the CRM's own error page."""
    # Given a request of a stranger
    url = authorize_url(remote, **changes)

    # When a person opens it
    # Then there is a page that says what is wrong, and nothing to allow
    with pytest.raises(NoConsentPageError, match=r"client identifier invalid|redirect_uri must match"):
        Person().open_consent_page(url)


def test_pkce_is_required_unless_switched_off(remote: RemoteSandbox) -> None:
    """Without a challenge the browser is sent back with invalid_request."""
    # Given a request without a challenge
    url = authorize_url(remote, code_challenge=None, code_challenge_method=None)

    # When it is opened with PKCE required, and with PKCE optional
    refused = requests.get(url, allow_redirects=False, timeout=10)
    remote.switch("salesforce", pkce_required=False)
    allowed = Person().open_consent_page(url)

    # Then the first is refused by redirect and the second is asked
    assert parameters_of(refused.headers["Location"])["error"] == "invalid_request"
    assert allowed.consent_id


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"code_verifier": secrets.token_urlsafe(64)}, "invalid_grant"),
        ({"code_verifier": ""}, "invalid_grant"),
        ({"redirect_uri": REDIRECT_URI + "/other"}, "redirect_uri_mismatch"),
        ({"client_secret": "wrong"}, "invalid_client"),
        ({"client_id": "stranger"}, "invalid_client_id"),
        ({"grant_type": "password"}, "unsupported_grant_type"),
    ],
)
def test_a_code_is_bound_to_verifier_client_and_redirect_uri(
    remote: RemoteSandbox, changes: dict[str, str], error: str
) -> None:
    """Every mismatch is a 400 with its own error code."""
    # Given an exchange with one thing wrong
    # When it is sent
    response = exchange(remote, **changes)

    # Then it is refused
    assert (response.status_code, response.json()["error"]) == (400, error)


def test_a_code_works_once(remote: RemoteSandbox) -> None:
    """The second exchange of a code fails."""
    # Given a code that was exchanged
    code = parameters_of(Person().allow(authorize_url(remote)))["code"]
    form = {"code": code, "redirect_uri": REDIRECT_URI, "code_verifier": VERIFIER}
    first = post(remote, "token", grant_type="authorization_code", **form)

    # When it is exchanged again
    second = post(remote, "token", grant_type="authorization_code", **form)

    # Then only the first worked
    assert first.status_code == 200
    assert (second.status_code, second.json()["error"]) == (400, "invalid_grant")


def test_a_consent_is_answered_once(remote: RemoteSandbox) -> None:
    """The consent form cannot be sent twice."""
    # Given a form that was answered
    person = Person()
    form = person.open_consent_page(authorize_url(remote))
    answer = {"consent_id": form.consent_id, "account": form.chosen_account, "decision": "allow"}
    first = person.browser.post(form.action, data=answer, allow_redirects=False, timeout=10)

    # When it is sent again
    second = person.browser.post(form.action, data=answer, allow_redirects=False, timeout=10)

    # Then the second is refused without a redirect
    assert (first.status_code, second.status_code) == (302, 400)


def test_refresh_rotates_and_reuse_ends_everything(remote: RemoteSandbox) -> None:
    """With rotation, a used refresh token revokes the current one and every access token of the grant."""
    # Given a grant that was refreshed once
    first = exchange(remote).json()
    second = refresh(remote, first["refresh_token"]).json()
    assert second["refresh_token"] != first["refresh_token"]
    assert limits(second).status_code == 200

    # When the used refresh token is presented again
    reused = refresh(remote, first["refresh_token"])

    # Then it fails, and so does everything that came from the grant
    assert reused.json()["error"] == "invalid_grant"
    assert refresh(remote, second["refresh_token"]).json()["error"] == "invalid_grant"
    assert limits(first).json()[0]["errorCode"] == "INVALID_SESSION_ID"
    assert limits(second).status_code == 401


def test_without_rotation_the_reply_has_no_refresh_token(remote: RemoteSandbox) -> None:
    """The old refresh token stays good."""
    # Given rotation switched off
    remote.switch("salesforce", refresh_rotation=False)
    first = exchange(remote).json()

    # When it is refreshed twice with the same token
    replies = [refresh(remote, first["refresh_token"]).json() for _ in range(2)]

    # Then both work and neither carries a refresh token
    assert ["refresh_token" in reply for reply in replies] == [False, False]
    assert all(limits(reply).status_code == 200 for reply in replies)


def test_a_sixth_approval_drops_the_oldest(remote: RemoteSandbox) -> None:
    """A user and an app have five live approvals; one more drops the oldest silently."""
    # Given six approvals
    replies = [exchange(remote).json() for _ in range(6)]

    # When all are refreshed
    statuses = [refresh(remote, reply["refresh_token"]).status_code for reply in replies]

    # Then the first is gone
    assert statuses == [400, 200, 200, 200, 200, 200]


def test_revoking_the_refresh_token_ends_the_access_token(remote: RemoteSandbox) -> None:
    """Revocation answers 200 with an empty body; the second time invalid_token."""
    # Given a grant
    reply = exchange(remote).json()

    # When its refresh token is revoked twice
    first = post(remote, "revoke", token=reply["refresh_token"])
    second = post(remote, "revoke", token=reply["refresh_token"])

    # Then the session is over
    assert (first.status_code, first.content) == (200, b"")
    assert (second.status_code, second.json()["error"]) == (400, "invalid_token")
    assert limits(reply).status_code == 401


def test_introspection_tells_when_a_session_ends(remote: RemoteSandbox) -> None:
    """`exp` is epoch seconds; an expired token is not active."""
    # Given a session of 100 seconds
    remote.switch("salesforce", access_token_life_s=100)
    reply = exchange(remote).json()

    # When it is looked at before and after its end
    alive = post(remote, "introspect", token=reply["access_token"], token_type_hint="access_token").json()
    remote.expire_access_tokens("salesforce", reply["id"].split("/")[-2])
    dead = post(remote, "introspect", token=reply["access_token"], token_type_hint="access_token").json()

    # Then its end is known, then it is over
    assert alive["active"] is True
    assert alive["exp"] - int(reply["issued_at"]) // 1000 in {99, 100, 101}
    assert dead == {"active": False}


def test_the_identity_url_names_org_and_user(remote: RemoteSandbox) -> None:
    """`id` of the token reply can be read with the bearer token, and userinfo says the same."""
    # Given a grant
    reply = exchange(remote).json()
    headers = {"Authorization": f"Bearer {reply['access_token']}"}

    # When identity and userinfo are read
    identity = requests.get(reply["id"], headers=headers, timeout=10).json()
    userinfo = requests.get(f"{remote.origin}/salesforce/services/oauth2/userinfo", headers=headers, timeout=10).json()

    # Then both name the org of the URL
    assert reply["id"].endswith(f"/{identity['organization_id']}/{identity['user_id']}")
    assert userinfo["organization_id"] == identity["organization_id"]
