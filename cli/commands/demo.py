"""`crm-sync demo`."""

from pathlib import Path

import click

from cli.demo.run import run_demo
from cli.output import Output, takes_output


@click.command()
@click.option("--once", is_flag=True, help="End by itself; exit code 1 when something does not hold.")
@click.option(
    "--home",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path(".devstack"),
    show_default=True,
    help="Where servers keep their files.",
)
@takes_output
def demo(out: Output, *, once: bool, home: Path) -> int:
    """Start everything on this machine (database, broker, two sandbox CRMs, API, worker, relay) and sync through it.

    Needs nothing but this package with its extras `sandbox` and `embedded`. Stays up until Ctrl-C unless --once. With
    --once --json the last line of standard output is one JSON object.
    """
    return run_demo(out, home, once=once)
