"""Sync history: what every finished command came to, newest first."""

import base64
import binascii
from datetime import datetime
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

import falcon

from crm.store import history
from producer_api.parts import Parts
from producer_api.problems import FieldProblem, Problem
from producer_api.scopes import Scope

DEFAULT_LIMIT, MAX_LIMIT = 50, 200


class SyncHistory:
    """`…/sync-history`: pages by key, so that rows that arrive meanwhile move nothing."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    def on_get(self, req: falcon.Request, resp: falcon.Response, workspace_id: str) -> None:
        """One page, without outcomes. `next` is the address of the following page, or null."""
        _, workspace = self._parts.enter(req.get_header("Authorization"), workspace_id, Scope.INTEGRATIONS_READ)
        limit = _limit(req.get_param("limit"))
        slug = req.get_param("integration")
        before = _read_cursor(req.get_param("before"))
        if slug:
            self._parts.listed(slug)
        with self._parts.engine.connect() as connection:
            rows = history.list_page(connection, workspace, slug=slug, limit=limit + 1, before=before)
        shown = rows[:limit]
        following = None
        if len(rows) > limit:
            query = {"limit": limit, "before": _cursor(shown[-1])} | ({"integration": slug} if slug else {})
            following = f"/api/v1/workspaces/{workspace}/sync-history?{urlencode(query)}"
        resp.media = {"items": [_summary(row, workspace) for row in shown], "next": following}


class SyncHistoryDetail:
    """`…/sync-history/{sync_id}`."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    def on_get(self, req: falcon.Request, resp: falcon.Response, workspace_id: str, sync_id: str) -> None:
        """The whole result, with the outcome of each record."""
        _, workspace = self._parts.enter(req.get_header("Authorization"), workspace_id, Scope.INTEGRATIONS_READ)
        wanted = _uuid(sync_id)
        with self._parts.engine.connect() as connection:
            row = history.detail(connection, workspace, wanted) if wanted else None
        if row is None:
            raise Problem(404, "sync_not_found", "there is no sync with this id in this workspace")
        resp.media = row.as_result().model_dump(mode="json")


def _summary(row: history.HistoryRow, workspace_id: UUID) -> dict[str, Any]:
    content: dict[str, Any] = row.as_result().model_dump(mode="json", exclude={"outcomes"})
    return content | {"links": {"self": f"/api/v1/workspaces/{workspace_id}/sync-history/{row.sync_id}"}}


def _limit(text: str | None) -> int:
    if text is None:
        return DEFAULT_LIMIT
    if not (text.isascii() and text.isdigit() and 1 <= int(text[:9]) <= MAX_LIMIT):
        raise _bad_parameter("limit", f"must be a number from 1 to {MAX_LIMIT}")
    return int(text)


def _cursor(row: history.HistoryRow) -> str:
    """The place after a row, opaque to callers."""
    return base64.urlsafe_b64encode(f"{row.started_at.isoformat()} {row.sync_id}".encode()).decode().rstrip("=")


def _read_cursor(text: str | None) -> tuple[datetime, UUID] | None:
    if text is None:
        return None
    try:
        started_at, _, sync_id = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)).decode().partition(" ")
        place = datetime.fromisoformat(started_at), UUID(sync_id)
    except (ValueError, binascii.Error):
        raise _bad_parameter("before", "must be taken from the link `next` as it is") from None
    if place[0].tzinfo is None:
        raise _bad_parameter("before", "must be taken from the link `next` as it is")
    return place


def _bad_parameter(name: str, message: str) -> Problem:
    return Problem(
        422, "invalid_request", f"the query parameter {name} {message}", fields=[FieldProblem(name, message)]
    )


def _uuid(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None
