"""What the demo asks for: pushes of the sample files to both CRMs, and pulls until nothing more comes."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from uuid import UUID, uuid4

import cli
from cli.batches import PushOrder, push_commands
from cli.columns import to_records
from cli.record_files import read_records
from cli.sending import publish_commands, waiting
from cli.settings import KafkaAccess
from schemas.command import PullCommand, PushCommand, PushRecord
from schemas.result import SyncResult

SLUGS: Final = ("salesforce", "hubspot")
SAMPLES: Final = Path(str(cli.__file__)).resolve().parent / "samples"
#: Entity -> the checked-in file of it.
FILES: Final[Mapping[str, Path]] = {"person": SAMPLES / "contacts.csv", "company": SAMPLES / "companies.csv"}
_SILENCE_S: Final = 120.0

OnResult = Callable[[SyncResult], None]


@dataclass(frozen=True, slots=True)
class Push:
    """The commands of one push of all files to one CRM, and their results in the same order."""

    slug: str
    commands: tuple[PushCommand, ...]
    results: tuple[SyncResult, ...]


@dataclass(frozen=True, slots=True)
class Pull:
    """The commands of the pulls from one CRM, and their results in the same order."""

    slug: str
    commands: tuple[PullCommand, ...]
    results: tuple[SyncResult, ...]


def sample_records() -> dict[str, list[PushRecord]]:
    """Entity -> the records of its sample file; the columns are Morket's field names."""
    found = {}
    for entity, path in FILES.items():
        source = read_records(path)
        found[entity] = to_records(source, known=source.columns, maps={}, ignored=())
    return found


def push_samples(
    access: KafkaAccess, workspace_id: UUID, records: Mapping[str, Sequence[PushRecord]], on_result: OnResult
) -> dict[str, Push]:
    """Push all files to both CRMs at once.

    Returns:
        CRM -> its push.

    Raises:
        NoAnswer: A result did not come.
    """
    commands = {
        slug: [
            command
            for entity in records
            for command in push_commands(PushOrder(workspace_id, slug, entity), records[entity])
        ]
        for slug in SLUGS
    }
    results = _run(access, [command for slug in SLUGS for command in commands[slug]], on_result)
    return {
        slug: Push(slug, tuple(commands[slug]), tuple(results[str(command.command_id)] for command in commands[slug]))
        for slug in SLUGS
    }


def pull_everything(access: KafkaAccess, workspace_id: UUID, on_result: OnResult) -> dict[str, Pull]:
    """Pull persons and companies from both CRMs, page after page, until each says that there is nothing more.

    Raises:
        NoAnswer: A result did not come.
    """
    done: dict[str, list[tuple[PullCommand, SyncResult]]] = {slug: [] for slug in SLUGS}
    ready = [_pull(workspace_id, slug, entity, None) for slug in SLUGS for entity in FILES]
    while ready:
        results = _run(access, ready, on_result)
        following = []
        for command in ready:
            result = results[str(command.command_id)]
            done[command.integration].append((command, result))
            if result.pull is not None and result.pull.has_more:
                following.append(_pull(workspace_id, command.integration, command.entity, result.pull.cursor))
        ready = following
    return {
        slug: Pull(slug, tuple(command for command, _ in pairs), tuple(result for _, result in pairs))
        for slug, pairs in done.items()
    }


def _pull(workspace_id: UUID, slug: str, entity: str, cursor: str | None) -> PullCommand:
    return PullCommand(
        command_id=str(uuid4()),
        workspace_id=workspace_id,
        integration=slug,
        entity=entity,
        direction="pull",
        cursor=cursor,
    )


def _run(
    access: KafkaAccess, commands: Sequence[PushCommand | PullCommand], on_result: OnResult
) -> dict[str, SyncResult]:
    ids = [str(command.command_id) for command in commands]
    with waiting(access) as waiter:
        publish_commands(access, commands)
        found = waiter.results_of(ids, timeout_s=_SILENCE_S, on_result=on_result)
    return {result.command_id: result for result in found}
