"""`crm-sync workspaces`: the tenants of this installation."""

from uuid import UUID

import click
from rich.table import Table

from cli.database import opened
from cli.output import Output, takes_output
from cli.problems import WrongInput
from cli.settings import DatabaseAccess
from crm.settings import load
from crm.store import workspaces as store


@click.group()
def workspaces() -> None:
    """Create and list workspaces (DATABASE_URL)."""


@workspaces.command()
@click.argument("name")
@click.option("--id", "workspace_id", type=click.UUID, help="Default: a new one.")
@takes_output
def create(out: Output, *, name: str, workspace_id: UUID | None) -> None:
    """Add a workspace and print its id."""
    with opened(load(DatabaseAccess).database_url.get_secret_value()) as engine, engine.begin() as connection:
        if workspace_id is not None and store.exists(connection, workspace_id):
            raise WrongInput(f"there is a workspace {workspace_id} already")
        made = store.create(connection, name, workspace_id)
    out.show(str(made.id))
    out.document({"id": made.id, "name": made.name})


@workspaces.command("list")
@takes_output
def list_all(out: Output) -> None:
    """List the workspaces, the oldest first."""
    with opened(load(DatabaseAccess).database_url.get_secret_value()) as engine, engine.connect() as connection:
        found = store.list_all(connection)
    table = Table("id", "name", "created")
    for one in found:
        table.add_row(str(one.id), one.name, f"{one.created_at:%Y-%m-%d %H:%M}")
    out.show(table if found else "there are no workspaces yet; make one with: crm-sync workspaces create NAME")
    out.document([{"id": one.id, "name": one.name, "created_at": one.created_at.isoformat()} for one in found])
