"""Where past syncs are looked up: the API when CRM_SYNC_API_URL is set, else the database."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

from cli.database import Engine, opened
from cli.settings import API_URL, DATABASE_URL, ApiAccess, DatabaseAccess, is_set
from cli.web import ApiClient
from crm.registry import ADAPTERS
from crm.settings import SettingsProblem, load
from crm.store import history
from schemas.result import SyncResult

_PAGE = 200


class Answers(Protocol):
    """Past syncs of one workspace."""

    def newest(self, count: int, slug: str | None) -> list[SyncResult]:
        """The newest syncs, without outcomes."""
        ...

    def of_sync(self, sync_id: UUID) -> SyncResult | None:
        """One sync with its outcomes."""
        ...

    def of_command(self, command_id: str) -> SyncResult | None:
        """The result of a command, or None while there is none."""
        ...

    def waits_for(self, command_id: str) -> str | None:
        """What an unfinished command is doing, for people; None where this is not known."""
        ...


@contextmanager
def answers(workspace_id: UUID) -> Iterator[Answers]:
    """The way that the environment offers.

    Raises:
        SettingsProblem: It offers none.
        Unreachable: API or database do not answer.
    """
    if is_set(API_URL):
        yield _ApiAnswers(ApiClient(load(ApiAccess)), f"/api/v1/workspaces/{workspace_id}")
    elif is_set(DATABASE_URL):
        with opened(load(DatabaseAccess).database_url.get_secret_value()) as engine:
            yield _DatabaseAnswers(engine, workspace_id)
    else:
        raise SettingsProblem(
            "these settings need attention:\n"
            "  CRM_SYNC_API_URL (with CRM_SYNC_API_TOKEN) or DATABASE_URL: set one of them"
        )


@dataclass(frozen=True, slots=True)
class _DatabaseAnswers:
    engine: Engine
    workspace_id: UUID

    def newest(self, count: int, slug: str | None) -> list[SyncResult]:
        with self.engine.connect() as connection:
            rows = history.list_page(connection, self.workspace_id, slug=slug, limit=count)
        return [row.as_result() for row in rows]

    def of_sync(self, sync_id: UUID) -> SyncResult | None:
        with self.engine.connect() as connection:
            row = history.detail(connection, self.workspace_id, sync_id)
        return row.as_result() if row else None

    def of_command(self, command_id: str) -> SyncResult | None:
        with self.engine.connect() as connection:
            row = history.by_command(connection, self.workspace_id, command_id)
        return row.as_result() if row else None

    def waits_for(self, command_id: str) -> str | None:
        del command_id  # the history alone knows only finished commands
        return None


@dataclass(frozen=True, slots=True)
class _ApiAnswers:
    api: ApiClient
    address: str

    def newest(self, count: int, slug: str | None) -> list[SyncResult]:
        found: list[SyncResult] = []
        page = self.api.get(f"{self.address}/sync-history", limit=min(count, _PAGE), integration=slug)
        while page is not None:
            found += [SyncResult.model_validate(item) for item in page["items"]]
            page = self.api.get(page["next"]) if page["next"] and len(found) < count else None
        return found[:count]

    def of_sync(self, sync_id: UUID) -> SyncResult | None:
        answer = self.api.get(f"{self.address}/sync-history/{sync_id}")
        return SyncResult.model_validate(answer) if answer else None

    def of_command(self, command_id: str) -> SyncResult | None:
        status = self._status(command_id)
        return self.of_sync(UUID(str(status["sync_id"]))) if status and status.get("sync_id") else None

    def waits_for(self, command_id: str) -> str | None:
        status = self._status(command_id)
        if status is None:
            return None
        reason = f" for {status['waiting_for']} until {status['waiting_until']}" if status.get("waiting_for") else ""
        return f"{status['status']}{reason}"

    def _status(self, command_id: str) -> dict[str, object] | None:
        # The status stands under the command's integration, which the caller need not know: any listed one answers.
        return self.api.get(f"{self.address}/integrations/{ADAPTERS[0].slug}/sync-commands/{command_id}")
