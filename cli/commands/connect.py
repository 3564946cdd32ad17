"""`crm-sync connect`: the link with which a person connects a CRM."""

import time
import webbrowser
from typing import Any
from uuid import UUID

import click

from cli.output import Output, takes_output
from cli.problems import NoAnswer
from cli.settings import ApiAccess, workspace_or_default
from cli.web import ApiClient
from crm.settings import load

_POLL_S = 1.0


@click.command()
@click.argument("crm")
@click.option("--workspace", type=click.UUID, help="Workspace id; default: CRM_SYNC_WORKSPACE.")
@click.option("--login-host", help="Name or origin of the login host, for CRMs with several (production, sandbox).")
@click.option("--open", "open_browser", is_flag=True, help="Open the link in a browser.")
@click.option("--wait", is_flag=True, help="Wait until the person is done.")
@click.option("--timeout", type=click.FloatRange(1), default=600.0, show_default=True, help="Seconds to wait.")
@takes_output
def connect(
    out: Output,
    *,
    crm: str,
    workspace: UUID | None,
    login_host: str | None,
    open_browser: bool,
    wait: bool,
    timeout: float,
) -> None:
    """Ask the API for a link to connect CRM, and print it; it is good once, for 10 minutes.

    Needs CRM_SYNC_API_URL and CRM_SYNC_API_TOKEN.
    """
    api = ApiClient(load(ApiAccess))
    address = f"/api/v1/workspaces/{workspace_or_default(workspace)}/integrations/{crm}"
    before = _connected_at(api, address)
    link = api.post(f"{address}/connect", {"login_host": login_host} if login_host else {})
    if not out.as_json:
        click.echo(link["connect_url"])
    if open_browser and not webbrowser.open(str(link["connect_url"])):
        out.note("no browser could be opened here; open the link yourself")
    connection = _wait(api, address, before, timeout) if wait else None
    if connection:
        account = connection["crm_account"]
        out.show(f"connected to {account['name'] or account['id']} as {account['user'] or 'an unnamed user'}")
    out.document({**link, **({"connection": connection} if wait else {})})


def _connected_at(api: ApiClient, address: str) -> str | None:
    found = api.get(address) or {}
    connection = found.get("connection") or {}
    return str(connection.get("connected_at")) if found.get("status") == "connected" else None


def _wait(api: ApiClient, address: str, before: str | None, timeout_s: float) -> dict[str, Any]:
    deadline = time.monotonic() + timeout_s
    while _connected_at(api, address) in (None, before):
        if time.monotonic() > deadline:
            raise NoAnswer(f"nobody connected within {timeout_s:g} s; ask for a new link with: crm-sync connect")
        time.sleep(_POLL_S)
    connection: dict[str, Any] = (api.get(address) or {})["connection"]
    return connection
