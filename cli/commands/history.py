"""`crm-sync history`: past syncs."""

from collections.abc import Sequence
from uuid import UUID

import click
from rich.box import SIMPLE_HEAD
from rich.table import Column, Table

from cli.answers import answers
from cli.outcome_table import report
from cli.output import Output, takes_output
from cli.problems import CliProblem
from cli.settings import workspace_or_default
from schemas.result import SyncResult


@click.command()
@click.argument("sync_id", type=click.UUID, required=False)
@click.option("--to", "slug", metavar="CRM", help="Of one CRM only.")
@click.option("--limit", type=click.IntRange(1, 1000), default=20, show_default=True)
@click.option("--workspace", type=click.UUID, help="Workspace id; default: CRM_SYNC_WORKSPACE.")
@takes_output
def history(out: Output, *, sync_id: UUID | None, slug: str | None, limit: int, workspace: UUID | None) -> None:
    """List the newest syncs, or show the one with SYNC_ID, with the outcome of each record.

    Reads from the API when CRM_SYNC_API_URL is set, else from the database (DATABASE_URL).
    """
    with answers(workspace_or_default(workspace)) as source:
        if sync_id is None:
            found = source.newest(limit, slug)
            out.show(_table(found) if found else "no syncs yet")
            out.document(found)
            return
        one = source.of_sync(sync_id)
    if one is None:
        raise CliProblem(f"there is no sync {sync_id} in this workspace; list them with: crm-sync history")
    out.show(report([one]))
    out.document(one)


def _table(results: Sequence[SyncResult]) -> Table:
    table = Table("started", Column("sync", no_wrap=True), "what", "status", "records", "failed", box=SIMPLE_HEAD)
    for one in results:
        what = f"{one.direction} {one.entity or '?'} {one.integration}"
        counts = (one.record_count, one.failure_count)
        status = one.status + (f" ({one.error.code})" if one.error else "")
        table.add_row(f"{one.started_at:%m-%d %H:%M:%S}", str(one.sync_id), what, status, *map(str, counts))
    return table
