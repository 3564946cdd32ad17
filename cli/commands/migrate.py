"""`crm-sync migrate`: the database schema to the newest revision."""

import click

from cli.database import migrate as upgrade
from cli.database import schema_version
from cli.output import Output, takes_output
from cli.problems import ExitCode
from cli.settings import DatabaseAccess
from crm.settings import load


@click.command()
@click.option("--check", is_flag=True, help="Change nothing; exit code 1 when something is left to migrate.")
@takes_output
def migrate(out: Output, *, check: bool) -> int:
    """Bring the database schema up to date (DATABASE_URL)."""
    url = load(DatabaseAccess).database_url.get_secret_value()
    before = schema_version(url) if check else upgrade(url)
    done = not check and not before.is_current
    out.document({"revision": before.head if done else before.current, "before": before.current, "head": before.head})
    if done:
        out.show(f"migrated from {before.current or 'an empty database'} to {before.head}")
    elif before.is_current:
        out.show(f"the schema is up to date ({before.head})")
    else:
        out.show(
            f"the schema is at {before.current or 'nothing'}, this release brings {before.head}: run crm-sync migrate"
        )
    return ExitCode.ATTENTION if check and not before.is_current else ExitCode.DONE
