"""Sync history over real sockets and a real database."""

import json
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import text

from schemas.result import Counts, Outcome, SyncResult
from services.api_house import House, served_house
from services.api_server import Answer


@pytest.fixture(scope="module")
def served(database_server: str, database_template: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with served_house(database_server, database_template, tmp_path_factory.mktemp("api")) as house:
        yield house


@pytest.fixture
def house(served: House) -> House:
    return served.with_new_workspace()


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


_PLAIN = (
    *("workspace_id", "direction", "record_count", "success_count", "failure_count", "skipped_count"),
    *("status", "started_at", "completed_at", "entity"),
)
_INSERT = """
INSERT INTO sync_history (id, workspace_id, integration_slug, direction, record_count, success_count, failure_count,
  status, started_at, completed_at, command_id, entity, skipped_count, counts, outcomes, details)
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
    "query",
    ["limit=0", "limit=201", "limit=x", "limit=-1", "limit=%D9%A3", "before=x", "before=AAAA", "before=%00"],
)
def test_a_wrong_query_parameter_is_named(house: House, query: str) -> None:
    """422 with the parameter's name and what it must be."""
    # Given a wrong parameter
    # When
    answer = history(house, f"?{query}")
    # Then
    assert (answer.status, answer.json["errors"][0]["field"]) == (422, query.partition("=")[0])
