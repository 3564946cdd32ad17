"""The door for commands over real sockets and a real database: accepted once durable, refused with the reason."""

import base64
import json
import uuid
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest
from sqlalchemy import text

from services.api_house import House, served_house
from services.api_server import Answer

PUSH: dict[str, Any] = {
    "direction": "push",
    "entity": "person",
    "records": [{"ref": "ctc_81", "fields": {"email": "ada@example.com", "last_name": "Łukasiewicz 🚀"}}],
}


@pytest.fixture(scope="module")
def served(database_server: str, database_template: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with served_house(database_server, database_template, tmp_path_factory.mktemp("api")) as house:
        yield house


@pytest.fixture
def house(served: House) -> House:
    return served.with_new_workspace()


@pytest.fixture
def connected(house: House) -> House:
    assert house.connect("hubspot").status == 200
    return house


def send(house: House, body: Any = PUSH, slug: str = "hubspot", **more: Any) -> Answer:
    return house.call("POST", f"/{slug}/sync-commands", send=body, **more)


def test_a_command_is_accepted_once_it_is_durable(connected: House) -> None:
    """202 with a Location that tells its status; the message waits in the outbox under its connection's key."""
    # Given a connected CRM
    # When
    answer = send(connected)
    # Then
    assert answer.status == 202, answer.text
    status = connected.api.call(
        "GET", answer.headers["location"], headers=connected.api.bearer(connected.workspace, "integrations:read")
    )
    assert (status.status, status.json["status"]) == (200, "queued")
    with connected.engine.connect() as connection:
        query = text(
            "SELECT message_key, payload FROM outbox WHERE dedupe_key LIKE :key AND topic = 'crm.sync.commands'"
        )
        row = connection.execute(query, {"key": f"{connected.workspace}/%"}).one()
    assert bytes(row.message_key).decode() == f"{connected.workspace}:hubspot"
    sent = json.loads(bytes(row.payload))
    assert sent["command_id"] == answer.json["command_id"]
    assert sent["records"][0]["fields"] == PUSH["records"][0]["fields"]


def test_the_same_command_again_is_accepted_and_stored_once(connected: House) -> None:
    """A caller that lost the answer sends again with its Idempotency-Key: one command, the same answer."""
    # Given
    key = {"Idempotency-Key": "retry me/é?".encode("ascii", "ignore").decode()}
    # When
    answers = [send(connected, headers=key) for _ in range(3)]
    # Then
    assert [answer.status for answer in answers] == [202, 202, 202]
    assert [answer.json["already_known"] for answer in answers] == [False, True, True]
    assert {answer.headers["location"] for answer in answers} == {
        connected.path(f"/hubspot/sync-commands/{quote('retry me/?', safe='')}")
    }
    status = connected.call("GET", f"/hubspot/sync-commands/{quote('retry me/?', safe='')}")
    assert status.json["command_id"] == "retry me/?"


def test_the_same_id_with_another_body_is_a_conflict(connected: House) -> None:
    """409 command_id_reused, and the first command stays as it was."""
    # Given
    send(connected, {**PUSH, "command_id": "c-1"})
    # When
    answer = send(connected, {**PUSH, "command_id": "c-1", "entity": "company"})
    # Then
    assert (answer.status, answer.json["code"]) == (409, "command_id_reused")
    assert answer.json["type"] == "urn:morket:crm-sync:problem:command_id_reused"


def test_a_retry_is_accepted_after_the_crm_was_disconnected(connected: House) -> None:
    """What was accepted stays accepted: only a new command is refused."""
    # Given
    send(connected, {**PUSH, "command_id": "c-1"})
    connected.call("DELETE", "/hubspot")
    # When
    again, new = send(connected, {**PUSH, "command_id": "c-1"}), send(connected, {**PUSH, "command_id": "c-2"})
    # Then
    assert (again.status, again.json["already_known"]) == (202, True)
    assert (new.status, new.json["code"]) == (409, "not_connected")
    assert new.json["hint"]


def test_a_command_for_a_connection_that_must_be_reconnected_is_accepted(connected: House) -> None:
    """A dead grant refuses no command at the door: it waits for the person, as one from Kafka does."""
    # Given
    with connected.engine.begin() as connection:
        connection.execute(
            text("UPDATE integrations SET status = 'reauth_required' WHERE workspace_id = :id"),
            {"id": connected.workspace},
        )
    # When
    answer = send(connected)
    # Then
    assert (answer.status, answer.json["status"]) == (202, "queued"), answer.text


@pytest.mark.parametrize(
    ("slug", "body", "status", "code"),
    [
        ("pipedrive", PUSH, 404, "unknown_integration"),
        ("salesforce", PUSH, 409, "not_connected"),
        ("hubspot", {**PUSH, "records": []}, 422, "invalid_command"),
        ("hubspot", {**PUSH, "records": PUSH["records"] * 201}, 422, "invalid_command"),
        ("hubspot", {**PUSH, "workspace_id": str(uuid.UUID(int=1))}, 422, "invalid_command"),
        ("hubspot", {**PUSH, "dry_run": True}, 422, "not_supported_yet"),
        ("hubspot", {**PUSH, "mode": "delete"}, 409, "delete_not_allowed"),
        ("hubspot", {**PUSH, "entity": "spaceships"}, 422, "no_mapping_for_entity"),
    ],
)
def test_what_could_only_fail_later_is_refused_at_the_door(
    connected: House, slug: str, body: dict[str, Any], status: int, code: str
) -> None:
    """The same codes as in a failed result, as problem+json; nothing is queued."""
    # Given a command that cannot run
    # When
    answer = send(connected, body, slug)
    # Then
    assert (answer.status, answer.json["code"]) == (status, code), answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json["request_id"] == answer.headers["x-request-id"]
    with connected.engine.connect() as connection:
        query = text("SELECT count(*) FROM outbox WHERE dedupe_key LIKE :key AND topic = 'crm.sync.commands'")
        assert connection.scalar(query, {"key": f"{connected.workspace}/%"}) == 0


def test_an_unsupported_option_is_named_as_a_field(connected: House) -> None:
    """A caller sees which fields to leave out."""
    # Given
    body = {**PUSH, "dry_run": True}
    # When
    answer = send(connected, body)
    # Then
    assert {error["field"] for error in answer.json["errors"]} == {"dry_run"}


def test_a_delete_needs_its_scope_and_a_connection_that_allows_it(connected: House) -> None:
    """Deleting is allowed twice: by the caller's token, and by the workspace for the connection."""
    # Given
    body = {**PUSH, "mode": "delete"}
    assert connected.call("PATCH", "/hubspot", send={"allow_delete": True}).json["connection"]["settings"] == {
        "allow_delete": True
    }
    # When
    without = send(connected, body, scopes=("sync:write",))
    allowed = send(connected, body, scopes=("sync:write", "sync:delete"))
    # Then
    assert (without.status, allowed.status) == (403, 202), (without.text, allowed.text)


@pytest.mark.parametrize(
    ("slug", "settings", "status"),
    [
        ("hubspot", {"allow_delete": "yes"}, 422),
        ("hubspot", {"surprise": 1}, 422),
        ("salesforce", {"write_policy": "create_only"}, 409),
        ("hubspot", {"write_policy": "create_only", "person_object": "Contact"}, 200),
    ],
)
def test_connection_settings_are_checked(connected: House, slug: str, settings: dict[str, Any], status: int) -> None:
    """Settings outside the list, of another type, or of a CRM that was never connected are refused."""
    # Given a connected HubSpot
    # When
    answer = connected.call("PATCH", f"/{slug}", send=settings)
    # Then
    assert answer.status == status, answer.text


@pytest.mark.parametrize(
    ("body", "headers", "status", "code"),
    [
        (b"", {"Content-Type": "application/json"}, 400, "invalid_json"),
        (b"{", {"Content-Type": "application/json"}, 400, "invalid_json"),
        (b"[]", {"Content-Type": "application/json"}, 400, "invalid_json"),
        (b'{"a": NaN}', {"Content-Type": "application/json"}, 400, "invalid_json"),
        (b"\xff\xfe", {"Content-Type": "application/json"}, 400, "invalid_json"),
        (b"[" * 100_000, {"Content-Type": "application/json"}, 400, "invalid_json"),
        (b"{}", {"Content-Type": "text/plain"}, 415, "unsupported_media_type"),
        (b"{}", {}, 415, "unsupported_media_type"),
        (b" " * (2 * 1024 * 1024 + 1), {"Content-Type": "application/json"}, 413, "body_too_large"),
    ],
)
def test_a_body_that_cannot_be_read_is_told_why(
    connected: House, body: bytes, headers: dict[str, str], status: int, code: str
) -> None:
    """Not JSON, not an object, not UTF-8, nested without end, of another type, too large: 4xx with clear text."""
    # Given such a body
    # When
    answer = connected.call("POST", "/hubspot/sync-commands", body=body, headers=headers)
    # Then
    assert (answer.status, answer.json["code"]) == (status, code), answer.text
    assert answer.json["detail"]


def test_a_command_that_fits_into_no_message_is_refused(connected: House) -> None:
    """Within the limit of a request, but larger than a Kafka message: 413 before anything is stored."""
    # Given
    records = [{"fields": {"email": f"p{n}@example.com", "last_name": "x" * 9_000}} for n in range(200)]
    # When
    answer = send(connected, {**PUSH, "records": records})
    # Then
    assert (answer.status, answer.json["code"]) == (413, "command_too_large")


@pytest.mark.parametrize("command_id", ["never-seen", "%00", "%ff", "a%2Fb/", "%20", "x" * 129])
def test_an_unknown_command_is_404(house: House, command_id: str) -> None:
    """A command that was never seen has no status, whatever stands in its place in the path."""
    # Given an empty workspace
    # When
    answer = house.call("GET", f"/hubspot/sync-commands/{command_id}")
    # Then
    assert (answer.status, answer.json["code"]) == (404, "command_not_found")


def test_trace_context_travels_along_when_it_is_one(connected: House) -> None:
    """A W3C traceparent goes with the message; anything else is left out."""
    # Given
    good = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    # When
    ids = [send(connected, headers={"traceparent": given}).json["command_id"] for given in (good, "made up")]
    # Then
    with connected.engine.connect() as connection:
        query = text("SELECT headers FROM outbox WHERE dedupe_key = :key")
        stored = [dict(connection.scalar(query, {"key": f"{connected.workspace}/{one}"})) for one in ids]
    assert base64.b64decode(stored[0]["traceparent"]).decode() == good
    assert "traceparent" not in stored[1]
