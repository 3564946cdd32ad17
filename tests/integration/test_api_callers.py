"""Who may call what, over real sockets: tokens, workspaces, scopes, and addresses that are not served."""

import json
import time
import uuid
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from services.api_house import House, opened, served_house

PULL = {"direction": "pull", "entity": "person"}


@pytest.fixture(scope="module")
def served(database_server: str, database_template: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with served_house(database_server, database_template, tmp_path_factory.mktemp("api")) as house:
        yield house


@pytest.fixture
def house(served: House) -> House:
    return served.with_new_workspace()


def test_a_scope_is_needed_for_each_verb(house: House) -> None:
    """Reading does not allow sending, sending does not allow disconnecting."""
    # Given a connected CRM
    assert house.connect("hubspot").status == 200
    reader, sender = ("integrations:read",), ("sync:write",)
    # When
    answers = [
        house.call("POST", "/hubspot/sync-commands", send=PULL, scopes=reader),
        house.call("POST", "/hubspot/sync-commands", send=PULL, scopes=sender),
        house.call("DELETE", "/hubspot", scopes=sender),
        house.call("POST", "/hubspot/connect", scopes=reader),
        house.call("GET", "", scopes=reader),
        house.call("GET", "", scopes=sender),
    ]
    # Then
    assert [answer.status for answer in answers] == [403, 202, 403, 403, 200, 403]
    assert answers[0].json["code"] == "insufficient_scope"


def test_a_foreign_workspace_and_an_unknown_one_get_the_same_answer(house: House) -> None:
    """Nobody can find out which workspaces exist."""
    # Given a workspace of somebody else, one that does not exist, and one that the token names but is gone
    stranger, nobody = house.with_new_workspace().workspace, uuid.uuid4()
    own = house.api.bearer(house.workspace)
    gone = house.api.bearer(nobody)
    # When
    answers = [
        house.api.call("GET", f"/api/v1/workspaces/{stranger}/integrations", headers=own),
        house.api.call("GET", f"/api/v1/workspaces/{nobody}/integrations", headers=own),
        house.api.call("GET", f"/api/v1/workspaces/{nobody}/integrations", headers=gone),
        house.api.call("GET", "/api/v1/workspaces/no-uuid/integrations", headers=own),
    ]
    # Then
    assert {answer.status for answer in answers} == {404}
    bodies = [{name: value for name, value in answer.json.items() if name != "request_id"} for answer in answers]
    assert all(body == bodies[0] for body in bodies)


def test_without_a_token_everything_but_health_and_pages_is_401(house: House) -> None:
    """No address of the API answers without a token."""
    # Given the addresses
    base = f"/api/v1/workspaces/{house.workspace}"
    addresses = [
        ("GET", f"{base}/integrations"),
        ("GET", f"{base}/integrations/hubspot"),
        ("DELETE", f"{base}/integrations/hubspot"),
        ("POST", f"{base}/integrations/hubspot/connect"),
        ("GET", f"{base}/integrations/hubspot/mappings"),
        ("PUT", f"{base}/integrations/hubspot/mappings"),
        ("POST", f"{base}/integrations/hubspot/sync-commands"),
        ("GET", f"{base}/integrations/hubspot/sync-commands/c-1"),
        ("GET", f"{base}/sync-history"),
        ("GET", f"{base}/sync-history/{uuid.uuid4()}"),
    ]
    # When
    answers = [house.api.call(method, address) for method, address in addresses]
    # Then
    assert [(answer.status, answer.json["code"]) for answer in answers] == [(401, "token_missing")] * len(addresses)


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [("GET", "/nope", 404, "not_found"), ("PATCH", "/healthz", 405, "method_not_allowed")],
)
def test_unknown_routes_and_methods_are_problems_too(
    house: House, method: str, path: str, status: int, code: str
) -> None:
    """Every error is problem+json (RFC 9457)."""
    # Given an address that is not served
    # When
    answer = house.api.call(method, path)
    # Then
    assert (answer.status, answer.json["code"]) == (status, code)
    assert answer.headers["content-type"] == "application/problem+json"


def test_tokens_of_an_issuer_with_a_key_set_are_checked_with_it(database_url: str, tmp_path: Path) -> None:
    """With CRM_SYNC_JWT_JWKS_URL the API reads the issuer's keys over HTTP, and HS256 is not accepted any more."""
    # Given an issuer
    private = ec.generate_private_key(ec.SECP256R1())
    public = jwt.get_algorithm_by_name("ES256").to_jwk(private.public_key(), as_dict=True) | {"kid": "k1"}
    (tmp_path / "keys.json").write_text(json.dumps({"keys": [public]}), encoding="utf-8")
    handler = partial(SimpleHTTPRequestHandler, directory=str(tmp_path))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as issuer:
        Thread(target=issuer.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{issuer.server_port}/keys.json"
        more = {"CRM_SYNC_JWT_JWKS_URL": url, "CRM_SYNC_JWT_SECRET": ""}
        with opened(database_url, tmp_path, None, **more) as house:
            claims = {"iss": "morket", "aud": "crm-sync", "sub": "ada", "exp": int(time.time()) + 60, "scope": "admin"}
            claims["workspace_id"] = str(house.workspace)
            token = jwt.encode(claims, private, "ES256", headers={"kid": "k1"})
            # When
            signed = house.call("GET", headers={"Authorization": f"Bearer {token}"})
            shared = house.call("GET")
        issuer.shutdown()
    # Then
    assert (signed.status, shared.status) == (200, 401)
