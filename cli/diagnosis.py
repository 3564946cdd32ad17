"""What `crm-sync doctor` looks at: each check ends in findings that say what to do."""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final, Literal

from cli.database import opened, schema_version
from cli.kafka import partitions_of_topics
from cli.problems import CliProblem
from cli.settings import DatabaseAccess, KafkaAccess
from cli.topic_plan import TopicChoice, topic_findings, topic_specs
from crm.errors import CrmError
from crm.registry import listed_entries
from crm.settings import Settings, SettingsProblem, load
from crm.store import connections, workspaces
from crm.vault import MasterKeys

State = Literal["ok", "note", "problem"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the diagnosis.

    Attributes:
        state: `problem` makes the exit code 1; a `note` does not.
        what: What was looked at.
        text: What was found, and what to do about it.
    """

    state: State
    what: str
    text: str


def diagnose() -> Iterator[Finding]:
    """Every check, in the order in which problems are best solved; a check that fails does not stop the next."""
    for what, check in _CHECKS:
        try:
            yield from check()
        except SettingsProblem as problem:
            yield from (Finding("problem", what, line.strip()) for line in str(problem).splitlines()[1:])
        except (CliProblem, CrmError) as problem:
            yield Finding("problem", what, problem.message if isinstance(problem, CliProblem) else problem.public)


def _settings() -> Iterator[Finding]:
    load(Settings)
    yield Finding("ok", "settings", "every setting that API and workers share is there")


def _database() -> Iterator[Finding]:
    url = load(DatabaseAccess).database_url.get_secret_value()
    version = schema_version(url)
    if not version.is_current:
        text = (
            f"the schema is at {version.current or 'nothing'}, this release brings {version.head}: run crm-sync migrate"
        )
        yield Finding("problem", "database", text)
        return
    yield Finding("ok", "database", f"reachable, schema at {version.head}")
    with opened(url) as engine, engine.connect() as connection:
        found = workspaces.list_all(connection)
        rows = [row for one in found for row in connections.list_of(connection, one.id)]
    if not found:
        yield Finding("note", "workspaces", "none yet; make one with: crm-sync workspaces create NAME")
    for row in rows:
        where = f"{row.integration_slug} of workspace {row.workspace_id}"
        if row.status == "reauth_required":
            text = f"{where} must be reconnected ({row.status_reason}): crm-sync connect {row.integration_slug}"
            yield Finding("note", "connections", text)
    if rows:
        connected = sum(row.status == "connected" for row in rows)
        yield Finding("ok", "connections", f"{connected} connected of {len(rows)}")


def _topics() -> Iterator[Finding]:
    access = load(KafkaAccess)
    present = partitions_of_topics(access.kafka_bootstrap_servers)
    specs = topic_specs(access.topics, TopicChoice())
    findings = topic_findings(specs, present, access.topics.relay_cursor)
    yield from (Finding("problem", "topics", text) for text in findings)
    if not findings:
        listed = ", ".join(f"{spec.name} ({present[spec.name]})" for spec in specs)
        yield Finding("ok", "topics", f"all there, with their partitions: {listed}")
    if present.get(access.topics.commands) == 1:
        text = f"{access.topics.commands} has one partition, so one worker does everything; add some while it is empty"
        yield Finding("note", "topics", text)


def _keys() -> Iterator[Finding]:
    text = load(Settings).master_keys.get_secret_value()
    MasterKeys.parse(text)
    count = len(text.split(","))
    yield Finding("ok", "keys", f"{count} master key(s), the first one encrypts")


def _clients() -> Iterator[Finding]:
    settings = load(Settings)
    missing = []
    entries = listed_entries()
    for entry in entries:
        prefix = entry.slug.upper().replace("-", "_")
        absent = [f"{prefix}_{part}" for part in ("CLIENT_ID", "CLIENT_SECRET") if not _has(f"{prefix}_{part}")]
        if not absent:
            callback = f"{settings.redirect_base}/{entry.slug}"
            yield Finding(
                "ok", entry.slug, f"client is set; its redirect URI in {entry.name} must be exactly {callback}"
            )
        else:
            missing.append(entry.slug)
            both = len(absent) > 1  # nothing set at all is a choice; half of it is a mistake
            text = f"{' and '.join(absent)} not set: register a client at {entry.name}, or leave this CRM out"
            yield Finding("note" if both else "problem", entry.slug, text)
    if len(missing) == len(entries):
        yield Finding("problem", "CRM clients", "no CRM is configured: set the client id and secret of at least one")
    if settings.sandbox_origin:
        yield Finding("note", "CRM clients", f"CRM calls go to the sandbox at {settings.sandbox_origin}")


def _has(name: str) -> bool:
    return bool(os.environ.get(name) or os.environ.get(f"{name}_FILE"))


_Check = Callable[[], Iterator[Finding]]
_CHECKS: Final[tuple[tuple[str, _Check], ...]] = (
    ("settings", _settings),
    ("database", _database),
    ("topics", _topics),
    ("keys", _keys),
    ("CRM clients", _clients),
)


def as_json(findings: list[Finding]) -> dict[str, Any]:
    """The document of `doctor --json`."""
    return {
        "healthy": not any(one.state == "problem" for one in findings),
        "findings": [{"state": one.state, "what": one.what, "text": one.text} for one in findings],
    }
