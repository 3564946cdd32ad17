"""`crm-sync publish`: the records of a file, or a pull, as sync commands on Kafka."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID, uuid4

import click
from pydantic import ValidationError
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from cli.batches import PushOrder, push_commands
from cli.columns import parse_maps, to_records
from cli.fields import known_fields
from cli.outcome_table import report
from cli.output import Output, takes_output
from cli.problems import ExitCode, WrongInput
from cli.record_files import read_records
from cli.sending import publish_commands, waiting
from cli.settings import KafkaAccess, workspace_or_default
from crm.settings import load
from schemas.command import MAX_RECORDS, PullCommand, PushCommand, PushMode
from schemas.result import SyncResult

Command = PushCommand | PullCommand


@dataclass(frozen=True, slots=True)
class _Request:
    """The command line of `publish`, as click gives it."""

    file: Path | None
    to: str
    entity: str
    pull: bool
    maps: tuple[str, ...]
    ignore: tuple[str, ...]
    match: str | None
    mode: PushMode
    limit: int | None
    cursor: str | None
    modified_since: datetime | None
    notes: list[str] = field(default_factory=list)


@click.command()
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False), required=False)
@click.option("--to", required=True, metavar="CRM", help="salesforce or hubspot.")
@click.option("--entity", required=True, help="person, company, or the CRM's own object name.")
@click.option("--map", "maps", multiple=True, metavar="COLUMN=FIELD", help='A column\'s Morket field: "E-mail=email".')
@click.option("--ignore", multiple=True, metavar="COLUMN", help="Leave a column out.")
@click.option("--match", metavar="FIELD", help="Morket field to match records by, or crm:<unique CRM field>.")
@click.option("--mode", type=click.Choice(["upsert", "create", "update"]), default="upsert", show_default=True)
@click.option("--pull", is_flag=True, help="Read records from the CRM instead of writing a file's.")
@click.option("--limit", type=click.IntRange(1, MAX_RECORDS), help="Of a pull.")
@click.option("--cursor", help="Of a pull: as an earlier result gave it; brings only changes.")
@click.option("--modified-since", type=click.DateTime(["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S%z"]), help="Of a pull (UTC).")
@click.option("--workspace", type=click.UUID, help="Workspace id; default: CRM_SYNC_WORKSPACE.")
@click.option("--wait", is_flag=True, help="Wait for the results and show what became of every record.")
@click.option(
    "--timeout", type=click.FloatRange(1), default=120.0, show_default=True, help="Seconds without any result."
)
@takes_output
def publish(out: Output, *, workspace: UUID | None, wait: bool, timeout: float, **options: object) -> int:
    """Publish the records of FILE (CSV, JSON or JSON Lines, UTF-8) as sync commands, 200 records each.

    A column `ref` is your own id of a record and comes back with its outcome; `crm_id` is the CRM's id, if you know it.

    \b
    crm-sync publish leads.csv --to salesforce --entity person --match email --wait
    crm-sync publish --pull --to hubspot --entity company --limit 50 --wait
    """  # noqa: D301 - click wants a real backspace before a paragraph that keeps its lines
    request = _Request(**options)  # type: ignore[arg-type]  # click has converted and named them so
    workspace_id = workspace_or_default(workspace)
    access = load(KafkaAccess)
    commands = [_pull(request, workspace_id)] if request.pull else _pushes(request, workspace_id)
    for note in request.notes:
        out.note(note)
    results = _send_and_wait(out, access, commands, timeout) if wait else _send(access, commands)
    ids = [str(command.command_id) for command in commands]
    out.document({"commands": ids, **({"results": results} if wait else {})})
    _tell(out, ids, results, waited=wait)
    return ExitCode.RECORDS_FAILED if any(result.failure_count or result.error for result in results) else ExitCode.DONE


def _pushes(request: _Request, workspace_id: UUID) -> Sequence[Command]:
    if request.file is None:
        raise WrongInput("name a FILE to push, or ask for --pull")
    if request.limit or request.cursor or request.modified_since:
        raise WrongInput("--limit, --cursor and --modified-since belong to --pull")
    source = read_records(request.file)
    known = known_fields(request.to, request.entity, workspace_id)
    if not known.mapped:
        raise WrongInput(
            f"{request.to} has no field mappings for {request.entity!r}; use person or company, or save mappings"
        )
    records = to_records(source, known=known.fields, maps=parse_maps(request.maps), ignored=request.ignore)
    unmapped = sorted({name for record in records for name in record.fields} - known.mapped)
    if unmapped:
        request.notes.append(f"no mapping to {request.to} {known.crm_object}, so left out: {', '.join(unmapped)}")
    order = PushOrder(workspace_id, request.to, request.entity, request.mode, request.match)
    try:
        return push_commands(order, records)
    except ValidationError as problem:
        raise _refused(problem) from None


def _pull(request: _Request, workspace_id: UUID) -> Command:
    if request.file is not None or request.maps or request.ignore or request.match:
        raise WrongInput("--pull reads from the CRM: it takes no FILE, --map, --ignore or --match")
    since = request.modified_since
    try:
        return PullCommand(
            command_id=str(uuid4()),
            workspace_id=workspace_id,
            integration=request.to,
            entity=request.entity,
            direction="pull",
            limit=request.limit or MAX_RECORDS,
            cursor=request.cursor,
            modified_since=since.replace(tzinfo=since.tzinfo or UTC) if since else None,
        )
    except ValidationError as problem:
        raise _refused(problem) from None


def _refused(problem: ValidationError) -> WrongInput:
    error = problem.errors(include_url=False, include_input=False)[0]
    return WrongInput(f"{'.'.join(str(part) for part in error['loc'])}: {error['msg']}")


def _send(access: KafkaAccess, commands: Sequence[Command]) -> list[SyncResult]:
    publish_commands(access, commands)
    return []


def _send_and_wait(out: Output, access: KafkaAccess, commands: Sequence[Command], timeout_s: float) -> list[SyncResult]:
    size = sum(len(command.records) if isinstance(command, PushCommand) else 1 for command in commands)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    idle = not out.progress.is_terminal
    with waiting(access) as waiter, Progress(*columns, console=out.progress, transient=True, disable=idle) as progress:
        bar = progress.add_task("records", total=size)
        publish_commands(access, commands)
        return waiter.results_of(
            [str(command.command_id) for command in commands],
            timeout_s=timeout_s,
            on_result=lambda result: progress.advance(bar, result.record_count if result.direction == "push" else 1),
        )


def _tell(out: Output, ids: Sequence[str], results: Sequence[SyncResult], *, waited: bool) -> None:
    if waited:
        out.show(report(results))
        for result in results:
            if result.pull is not None:
                more = "more is ready" if result.pull.has_more else "nothing more for now"
                out.show(f"{more}; next time: --cursor {result.pull.cursor}")
        return
    out.show(f"published {len(ids)} command(s); see what becomes of them with:")
    for command_id in ids:
        out.show(f"  crm-sync watch {command_id}")
