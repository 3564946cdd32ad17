"""Commands, their status, sync history and field mappings over real sockets and a real database."""

import json
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

import pytest
from sqlalchemy import text

from schemas.result import Counts, Outcome, SyncResult
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


@pytest.mark.parametrize(
    ("slug", "body", "status", "code"),
    [
        ("pipedrive", PUSH, 404, "unknown_integration"),
        ("salesforce", PUSH, 409, "not_connected"),
        ("hubspot", {**PUSH, "records": []}, 422, "invalid_command"),
        ("hubspot", {**PUSH, "records": PUSH["records"] * 201}, 422, "invalid_command"),
        ("hubspot", {**PUSH, "workspace_id": str(uuid.UUID(int=1))}, 422, "invalid_command"),
        ("hubspot", {**PUSH, "dry_run": True}, 422, "not_supported_yet"),
        ("hubspot", {**PUSH, "mode": "delete"}, 422, "not_supported_yet"),
        ("hubspot", {**PUSH, "write_policy": "fill_if_empty"}, 422, "not_supported_yet"),
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
    body = {**PUSH, "dry_run": True, "mode": "delete"}
    # When
    answer = send(connected, body)
    # Then
    assert {error["field"] for error in answer.json["errors"]} == {"dry_run", "mode"}


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


def test_an_unknown_command_is_404(house: House) -> None:
    """A command that was never seen has no status."""
    # Given an empty workspace
    # When
    answer = house.call("GET", "/hubspot/sync-commands/never-seen")
    # Then
    assert (answer.status, answer.json["code"]) == (404, "command_not_found")


def test_a_scope_is_needed_for_each_verb(connected: House) -> None:
    """Reading does not allow sending, sending does not allow disconnecting."""
    # Given
    reader, sender = ("integrations:read",), ("sync:write",)
    # When
    answers = [
        send(connected, scopes=reader),
        send(connected, scopes=sender),
        connected.call("DELETE", "/hubspot", scopes=sender),
        connected.call("POST", "/hubspot/connect", scopes=reader),
        connected.call("GET", "", scopes=reader),
        connected.call("GET", "", scopes=sender),
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


def finished(house: House, number: int, slug: str = "hubspot") -> str:
    """A finished sync, as the worker stores it."""
    at = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(minutes=number // 2)  # two share each instant
    result = SyncResult(
        command_id=f"c-{number}",
        sync_id=uuid.uuid4(),
        workspace_id=house.workspace,
        integration=slug,
        direction="push",
        entity="person",
        status="partial",
        record_count=2,
        success_count=1,
        failure_count=1,
        skipped_count=0,
        counts=Counts(created=1, failed=1),
        outcomes=[Outcome(index=0, action="created", crm_id="7"), Outcome(index=1, action="failed")],
        started_at=at,
        completed_at=at,
    )
    content = result.model_dump(mode="json")
    row = {
        name: content[name] for name in ("workspace_id", "direction", "record_count", "success_count", "failure_count")
    }
    row |= {name: content[name] for name in ("status", "started_at", "completed_at", "entity", "skipped_count")}
    row |= {"id": content["sync_id"], "slug": slug, "command_id": result.command_id}
    row |= {name: json.dumps(content[name]) for name in ("counts", "outcomes")}
    row["details"] = json.dumps({"command_id": result.command_id, "api_calls": 1})
    with house.engine.begin() as connection:
        connection.execute(text(_INSERT), row)
    return str(result.sync_id)


_INSERT = """
INSERT INTO sync_history (id, workspace_id, integration_slug, direction, record_count, success_count, failure_count, status,
  started_at, completed_at, command_id, entity, skipped_count, counts, outcomes, details)
VALUES (:id, :workspace_id, :slug, :direction, :record_count, :success_count, :failure_count, :status,
  :started_at, :completed_at, :command_id, :entity, :skipped_count, CAST(:counts AS jsonb), CAST(:outcomes AS jsonb),
  CAST(:details AS jsonb))
"""


def history(house: House, rest: str = "") -> Answer:
    address = rest if rest.startswith("/api/") else f"/api/v1/workspaces/{house.workspace}/sync-history{rest}"
    return house.api.call("GET", address, headers=house.api.bearer(house.workspace, "integrations:read"))


def test_history_is_read_page_by_page_without_gap_or_double(house: House) -> None:
    """The newest first; rows that share an instant, and rows that arrive meanwhile, move nothing."""
    # Given
    ids = [finished(house, number) for number in range(7)]
    # When
    pages = [history(house, "?limit=3")]
    finished(house, 99)
    while pages[-1].json["next"]:
        pages.append(history(house, pages[-1].json["next"]))
    # Then
    items = [item for page in pages for item in page.json["items"]]
    assert [len(page.json["items"]) for page in pages] == [3, 3, 1]
    assert sorted(item["sync_id"] for item in items) == sorted(ids)
    assert [item["started_at"] for item in items] == sorted((item["started_at"] for item in items), reverse=True)
    assert all("outcomes" not in item for item in items)


def test_history_detail_and_command_status_show_the_outcomes(house: House) -> None:
    """A finished command's status links to its history entry, which holds every outcome."""
    # Given
    sync_id = finished(house, 1)
    # When
    status = house.call("GET", "/hubspot/sync-commands/c-1").json
    detail = history(house, status["links"]["sync_history"])
    # Then
    assert (status["status"], status["sync_id"]) == ("partial", sync_id)
    assert [outcome["action"] for outcome in detail.json["outcomes"]] == ["created", "failed"]
    assert detail.json["counts"]["created"] == 1


def test_history_of_one_integration_and_of_nobody_else(house: House) -> None:
    """The filter holds, and another workspace sees nothing of it."""
    # Given
    mine = finished(house, 1, "salesforce")
    finished(house, 2, "hubspot")
    other = house.with_new_workspace()
    # When
    filtered, foreign_list, foreign_detail = (
        history(house, "?integration=salesforce"),
        history(other),
        history(other, f"/{mine}"),
    )
    # Then
    assert [item["sync_id"] for item in filtered.json["items"]] == [mine]
    assert foreign_list.json == {"items": [], "next": None}
    assert (foreign_detail.status, foreign_detail.json["code"]) == (404, "sync_not_found")


@pytest.mark.parametrize(
    "query", ["limit=0", "limit=201", "limit=x", "limit=-1", "limit=%D9%A3", "before=x", "before=AAAA", "before=%00"]
)
def test_a_wrong_query_parameter_is_named(house: House, query: str) -> None:
    """422 with the parameter's name and what it must be."""
    # Given a wrong parameter
    # When
    answer = history(house, f"?{query}")
    # Then
    assert (answer.status, answer.json["errors"][0]["field"]) == (422, query.partition("=")[0])


def test_mappings_tell_defaults_from_the_workspaces_own(house: House) -> None:
    """An override replaces the default of its Morket field for that entity alone; an empty list goes back to the defaults."""
    # Given
    before = house.call("GET", "/hubspot/mappings?entity=person").json["mappings"]
    override = {"morket_field": "job_title", "crm_field": "role_title", "direction": "push"}
    # When
    put = house.call("PUT", "/hubspot/mappings?entity=person", send={"overrides": [override]})
    house.call("PUT", "/hubspot/mappings?entity=company", send={"overrides": []})
    after = house.call("GET", "/hubspot/mappings?entity=person").json["mappings"]
    # Then
    assert put.status == 200, put.text
    own = [row for row in after if row["source"] == "workspace"]
    assert [(row["morket_field"], row["crm_field"], row["direction"]) for row in own] == [
        ("job_title", "role_title", "push")
    ]
    assert len([row for row in after if row["morket_field"] == "job_title"]) == 1
    assert {row["source"] for row in before} == {"default"}
    house.call("PUT", "/hubspot/mappings?entity=person", send={"overrides": []})
    assert house.call("GET", "/hubspot/mappings?entity=person").json["mappings"] == before


@pytest.mark.parametrize(
    ("overrides", "field"),
    [
        ([{"morket_field": "email"}], "overrides[0].crm_field"),
        ([{"morket_field": "e mail", "crm_field": "x"}], "overrides[0].morket_field"),
        ([{"morket_field": "email", "crm_field": "x", "direction": "sideways"}], "overrides[0].direction"),
        ([{"morket_field": "email", "crm_field": "x", "write_policy": "fill_if_empty"}], "overrides[0].write_policy"),
        (
            [{"morket_field": "email", "crm_field": "x"}, {"morket_field": "email", "crm_field": "y"}],
            "overrides[1].morket_field",
        ),
        (
            [{"morket_field": name, "crm_field": name, "identifier": True} for name in ("email", "phone")],
            "overrides[1].identifier",
        ),
    ],
)
def test_a_wrong_mapping_is_named_and_nothing_changes(house: House, overrides: list[Any], field: str) -> None:
    """422 with the path of each wrong field."""
    # Given
    before = house.call("GET", "/hubspot/mappings").json
    # When
    answer = house.call("PUT", "/hubspot/mappings?entity=person", send={"overrides": overrides})
    # Then
    assert answer.status == 422
    assert field in [error["field"] for error in answer.json["errors"]]
    assert house.call("GET", "/hubspot/mappings").json == before
