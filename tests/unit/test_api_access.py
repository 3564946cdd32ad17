"""The bearer token is checked whole: signature, algorithm, audience, issuer, times, workspace and scope."""

import json
import time
from typing import Any
from uuid import UUID, uuid4

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from producer_api.access import TokenCheck
from producer_api.development_tokens import issue
from producer_api.key_sets import COOL_DOWN_S, MAX_AGE_S, JsonWebKeySet, KeysUnavailable, SharedSecret, key_source
from producer_api.problems import Problem
from producer_api.scopes import Scope

SECRET = "a visibly fake secret of 32 bytes or more"
WORKSPACE = UUID("0198f1c2-0000-7000-8000-000000000001")


def check() -> TokenCheck:
    return TokenCheck(SharedSecret(SECRET), audience="crm-sync", issuer="morket")


def claims(**changed: Any) -> dict[str, Any]:
    now = int(time.time())
    good = {
        "iss": "morket",
        "aud": "crm-sync",
        "sub": "ada",
        "exp": now + 600,
        "nbf": now,
        "workspace_id": str(WORKSPACE),
        "scope": "integrations:read sync:write",
    }
    return {name: value for name, value in (good | changed).items() if value is not None}


def refusal(token: str, checker: TokenCheck | None = None) -> Problem:
    with pytest.raises(Problem) as refused:
        (checker or check()).caller(f"Bearer {token}")
    return refused.value


def test_a_good_token_names_caller_workspaces_and_scopes() -> None:
    """A token of the development issuer is accepted, with what it says."""
    # Given
    token = issue(SECRET, workspace_id=WORKSPACE, scopes=["sync:write"], subject="ada")
    # When
    caller = check().caller(f"bearer {token}")
    # Then
    assert (caller.subject, caller.workspaces, caller.scopes) == ("ada", {WORKSPACE}, {"sync:write"})
    caller.require(WORKSPACE, Scope.SYNC_WRITE)


def test_a_list_of_workspaces_is_read_and_what_is_no_uuid_is_left_out() -> None:
    """The claim `workspaces` adds to `workspace_id`; words that are no UUIDs name nothing."""
    # Given
    other = uuid4()
    token = jwt.encode(claims(workspaces=[str(other), "all", 7]), SECRET, "HS256")
    # When
    caller = check().caller(f"Bearer {token}")
    # Then
    assert caller.workspaces == {WORKSPACE, other}


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"aud": "another-service"}, "aud"),
        ({"aud": None}, "lacks the claim aud"),
        ({"iss": "somebody"}, "iss"),
        ({"iss": None}, "lacks the claim iss"),
        ({"exp": 1}, "expired"),
        ({"exp": None}, "lacks the claim exp"),
        ({"sub": None}, "lacks the claim sub"),
        ({"nbf": 4_000_000_000}, "not valid yet"),
    ],
)
def test_a_token_with_a_wrong_claim_is_refused_with_the_reason(changed: dict[str, Any], reason: str) -> None:
    """Audience, issuer, expiry, not-before and subject are required and checked; 401 says which one it was."""
    # Given
    token = jwt.encode(claims(**changed), SECRET, "HS256")
    # When
    refused = refusal(token)
    # Then
    assert (refused.status, refused.code) == (401, "invalid_token")
    assert reason in refused.detail
    assert refused.headers["WWW-Authenticate"].startswith("Bearer ")


@pytest.mark.parametrize("token", [jwt.encode(claims(), "", "none"), jwt.encode(claims(), SECRET * 2, "HS512")])
def test_another_algorithm_is_refused_whatever_the_signature(token: str) -> None:
    """`alg: none`, and every algorithm but the configured one, is refused (RFC 8725 section 3.1)."""
    # Given a token that is right in all but its algorithm
    # When
    refused = refusal(token)
    # Then
    assert "algorithm" in refused.detail


@pytest.mark.parametrize("token", ["x", "a.b.c", "é" * 3, "a" * 9_000])
def test_what_is_no_jwt_is_refused(token: str) -> None:
    """Garbage and endless tokens are 401, never a fault of this service."""
    # Given garbage
    # When
    refused = refusal(token)
    # Then
    assert refused.status == 401


def test_a_token_signed_with_another_secret_is_refused() -> None:
    """The signature is checked."""
    # Given
    token = jwt.encode(claims(), "another visibly fake secret of 32 bytes", "HS256")
    # When
    refused = refusal(token)
    # Then
    assert "signature" in refused.detail


@pytest.mark.parametrize("header", [None, "", "Basic YTpi", "Bearer", "Bearer  "])
def test_a_request_without_bearer_token_is_told_how_to_send_one(header: str | None) -> None:
    """RFC 6750 section 3: without a token the challenge holds no error code."""
    # Given no token
    # When
    with pytest.raises(Problem) as refused:
        check().caller(header)
    # Then
    assert refused.value.code == "token_missing"
    assert refused.value.headers["WWW-Authenticate"] == "Bearer"


def test_a_foreign_workspace_looks_like_one_that_does_not_exist() -> None:
    """A workspace that the token does not name is 404, so that nobody can find out which exist."""
    # Given
    caller = check().caller(f"Bearer {jwt.encode(claims(scope='admin'), SECRET, 'HS256')}")
    # When
    with pytest.raises(Problem) as refused:
        caller.require(uuid4(), Scope.INTEGRATIONS_READ)
    # Then
    assert (refused.value.status, refused.value.code) == (404, "workspace_not_found")


def test_a_missing_scope_is_403_and_admin_holds_every_scope() -> None:
    """`insufficient_scope` names the scope that is missing (RFC 6750 section 3.1)."""
    # Given
    reader = check().caller(f"Bearer {jwt.encode(claims(scope='integrations:read'), SECRET, 'HS256')}")
    admin = check().caller(f"Bearer {jwt.encode(claims(scope='admin'), SECRET, 'HS256')}")
    # When
    with pytest.raises(Problem) as refused:
        reader.require(WORKSPACE, Scope.SYNC_WRITE)
    # Then
    assert (refused.value.status, refused.value.code) == (403, "insufficient_scope")
    assert "sync:write" in refused.value.headers["WWW-Authenticate"]
    assert admin.require(WORKSPACE, Scope.SYNC_DELETE) is None


class KeySet:
    """A key set that counts how often it was read."""

    def __init__(self, *entries: dict[str, Any]) -> None:
        self.entries = list(entries)
        self.reads = 0
        self.now = 0.0
        self.is_down = False

    def read(self) -> str:
        """What a key set's reader gives."""
        self.reads += 1
        if self.is_down:
            raise KeysUnavailable("down")
        return json.dumps({"keys": self.entries})

    def check(self) -> TokenCheck:
        """A check with these keys and this clock."""
        source = JsonWebKeySet(self.read, lambda: self.now)
        return TokenCheck(source, audience="crm-sync", issuer="morket")


def key_pair(algorithm: str, key_id: str) -> tuple[Any, dict[str, Any]]:
    private: Any = {
        "RS256": lambda: rsa.generate_private_key(65537, 2048),
        "ES256": lambda: ec.generate_private_key(ec.SECP256R1()),
        "EdDSA": ed25519.Ed25519PrivateKey.generate,
    }[algorithm]()
    public = jwt.get_algorithm_by_name(algorithm).to_jwk(private.public_key(), as_dict=True)
    return private, {**public, "kid": key_id, "alg": algorithm, "use": "sig"}


@pytest.mark.parametrize("algorithm", ["RS256", "ES256", "EdDSA"])
def test_keys_of_a_key_set_are_found_by_their_id(algorithm: str) -> None:
    """RS256, ES256 and EdDSA tokens are checked with the key that `kid` names; the set is read once."""
    # Given
    private, public = key_pair(algorithm, "k1")
    keys = KeySet(key_pair("RS256", "k0")[1], public)
    checker = keys.check()
    token = jwt.encode(claims(), private, algorithm, headers={"kid": "k1"})
    # When
    callers = [checker.caller(f"Bearer {token}") for _ in range(3)]
    # Then
    assert {caller.subject for caller in callers} == {"ada"}
    assert keys.reads == 1


def test_a_key_set_excludes_shared_secrets() -> None:
    """A public key is no HMAC secret, and symmetric entries of a key set are ignored (RFC 8725 section 2.1)."""
    # Given
    _, public = key_pair("RS256", "k1")
    secret_entry = {"kty": "oct", "kid": "k2", "alg": "HS256", "k": "YSB2aXNpYmx5IGZha2Ugc2VjcmV0IG9mIDMyIGJ5dGVz"}
    checker = KeySet(public, secret_entry).check()
    token = jwt.encode(claims(), "a visibly fake secret of 32 bytes", "HS256", headers={"kid": "k2"})
    # When
    refused = refusal(token, checker)
    # Then
    assert "algorithm" in refused.detail


def test_an_unknown_key_id_is_looked_up_again_but_not_for_every_token() -> None:
    """A rotated key is found at once after the cool-down; a flood of unknown ids causes no flood of reads."""
    # Given
    private, public = key_pair("ES256", "new")
    keys = KeySet(key_pair("ES256", "old")[1])
    checker = keys.check()
    token = jwt.encode(claims(), private, "ES256", headers={"kid": "new"})
    # When
    for _ in range(20):
        assert "not known" in refusal(token, checker).detail
    keys.entries.append(public)
    keys.now += COOL_DOWN_S + 1
    caller = checker.caller(f"Bearer {token}")
    # Then
    assert caller.subject == "ada"
    assert keys.reads == 2


def test_withdrawn_keys_are_forgotten_after_an_hour() -> None:
    """The set is read again when it is old, so that a key that was taken out stops working."""
    # Given
    private, public = key_pair("ES256", "k1")
    keys = KeySet(public)
    checker = keys.check()
    token = jwt.encode(claims(), private, "ES256", headers={"kid": "k1"})
    assert checker.caller(f"Bearer {token}").subject == "ada"
    # When
    keys.entries = [key_pair("ES256", "k2")[1]]
    keys.now += MAX_AGE_S + 1
    # Then
    assert "not known" in refusal(token, checker).detail


def test_a_key_set_that_goes_away_keeps_its_keys_and_is_not_asked_for_every_token() -> None:
    """The issuer's outage locks nobody out whose key is known, and does not turn every request into a slow read."""
    # Given
    private, public = key_pair("ES256", "k1")
    keys = KeySet(public)
    checker = keys.check()
    token = jwt.encode(claims(), private, "ES256", headers={"kid": "k1"})
    assert checker.caller(f"Bearer {token}").subject == "ada"
    # When
    keys.is_down = True
    keys.now += MAX_AGE_S + 1
    callers = [checker.caller(f"Bearer {token}") for _ in range(5)]
    # Then
    assert len(callers) == 5
    assert keys.reads == 2


def test_a_key_set_that_was_never_there_is_503() -> None:
    """Without any key nobody can be checked: that is our fault to report, not the caller's."""
    # Given
    keys = KeySet()
    token = jwt.encode(claims(), key_pair("ES256", "k1")[0], "ES256", headers={"kid": "k1"})
    # When
    refused = refusal(token, keys.check())
    # Then
    assert (refused.status, refused.code) == (503, "keys_unavailable")


def test_a_key_set_may_be_a_file(tmp_path: Any) -> None:
    """The setting takes a path as well as a URL."""
    # Given
    private, public = key_pair("RS256", "k1")
    path = tmp_path / "keys.json"
    path.write_text(json.dumps({"keys": [public]}), encoding="utf-8")
    checker = TokenCheck(key_source(None, str(path)), audience="crm-sync", issuer="morket")
    token = jwt.encode(claims(), private, "RS256", headers={"kid": "k1"})
    # When
    caller = checker.caller(f"Bearer {token}")
    # Then
    assert caller.workspaces == {WORKSPACE}
