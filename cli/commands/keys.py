"""`crm-sync keys new`: a master key under which stored CRM tokens are encrypted."""

import click

from cli.output import Output, takes_output
from crm.vault import new_master_key


@click.group()
def keys() -> None:
    """Master keys for the stored CRM tokens."""


@keys.command()
@click.option("--id", "key_id", default="k1", show_default=True, help="The key's name; every key needs its own.")
@takes_output
def new(out: Output, *, key_id: str) -> None:
    """Print a new random master key, as CRM_SYNC_MASTER_KEYS takes it. It is stored nowhere."""
    key = new_master_key(key_id)
    if not out.as_json:
        click.echo(key)
    out.note("keep it secret; put it first in CRM_SYNC_MASTER_KEYS and leave older keys behind it, separated by commas")
    out.document({"key_id": key_id, "master_key": key})
