"""What really happened, read back from the outside: the topics, the tables, the CRMs' own records."""

from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from cli.database import opened
from cli.demo.expected import FIELDS
from cli.demo.stack import Stack
from cli.demo.syncs import FILES, SLUGS
from cli.kafka import TopicReader
from cli.web import get_json
from crm.store import history
from schemas.records import PulledRecords
from schemas.result import SyncResult
from schemas.topics import EventType

_PAGE: Final = 100

Stored = Mapping[tuple[str, str], Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Evidence:
    """The facts.

    Attributes:
        results: Every result event of the workspace, as a `read_committed` reader sees them, repeats included.
        pulled: Every message of pulled records of the workspace.
        history_commands: The command ids of the workspace's history rows.
        stored: CRM -> (CRM object, CRM id) -> the record as the sandbox holds it.
    """

    results: tuple[SyncResult, ...]
    pulled: tuple[PulledRecords, ...]
    history_commands: tuple[str, ...]
    stored: Mapping[str, Stored]

    @property
    def duplicate_results(self) -> int:
        """Result events beyond the first one of a command."""
        return len(self.results) - len({result.command_id for result in self.results})

    def result_of(self, command_id: str) -> SyncResult:
        """The result event of a command; KeyError where there is none."""
        return {result.command_id: result for result in self.results}[command_id]


def read_evidence(stack: Stack, accounts: Mapping[str, str]) -> Evidence:
    """Read everything back.

    Args:
        stack: The running demo.
        accounts: CRM -> the account that was connected.
    """
    results, pulled = _read_topics(stack)
    stored = {slug: _stored_records(stack.sandbox_url, slug, accounts[slug]) for slug in SLUGS}
    return Evidence(tuple(results), tuple(pulled), _history_commands(stack.database_url, stack.workspace_id), stored)


def _read_topics(stack: Stack) -> tuple[list[SyncResult], list[PulledRecords]]:
    topics = stack.kafka.topics
    results: list[SyncResult] = []
    pulled: list[PulledRecords] = []
    with closing(
        TopicReader(stack.kafka.kafka_bootstrap_servers, [topics.results, topics.records], from_beginning=True)
    ) as reader:
        for message in reader.to_end():
            kind = message.headers.get("ce_type")
            if kind == EventType.RESULT.value:
                results.append(SyncResult.model_validate(message.value))
            elif kind == EventType.RECORDS.value:
                pulled.append(PulledRecords.model_validate(message.value))
    ours = stack.workspace_id
    return [one for one in results if one.workspace_id == ours], [one for one in pulled if one.workspace_id == ours]


def _history_commands(database_url: str, workspace_id: UUID) -> tuple[str, ...]:
    found: list[str] = []
    with opened(database_url) as engine, engine.connect() as connection:
        page: Sequence[history.HistoryRow] = history.list_page(connection, workspace_id, limit=_PAGE)
        while page:
            found += [str(row.columns["command_id"]) for row in page]
            last = page[-1]
            page = history.list_page(connection, workspace_id, limit=_PAGE, before=(last.started_at, last.sync_id))
    return tuple(found)


def _stored_records(sandbox_url: str, slug: str, account: str) -> dict[tuple[str, str], Mapping[str, Any]]:
    """The live records of every object that the demo pushes to, from the sandbox's control API."""
    found: dict[tuple[str, str], Mapping[str, Any]] = {}
    for entity in FILES:
        crm_object, _ = FIELDS[slug, entity]
        answer = get_json(f"{sandbox_url}/_sandbox/records/{slug}/{account}/{crm_object}")
        for record in answer["records"]:
            if slug == "salesforce" and not record["IsDeleted"]:
                found[crm_object, record["Id"]] = record
            elif slug == "hubspot" and not record["archived"]:
                found[crm_object, record["id"]] = record["properties"]
    return found
