"""`crm-sync api`."""

import click

from crm.settings import load
from producer_api.serve import run
from producer_api.settings import ApiSettings


@click.command()
def api() -> int:
    """Run the HTTP API until SIGTERM: OAuth flow, connections, history, commands."""
    return run(load(ApiSettings))
