"""`crm-sync sandbox`: a Salesforce and a HubSpot on localhost."""

import asyncio
import signal
from pathlib import Path

import click

from cli.problems import Unreachable
from sandbox.config import SandboxConfig
from sandbox.fault_file import FaultFileError, served_config
from sandbox.server import start


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="It has no authentication: keep it on loopback.")
@click.option("--port", type=click.IntRange(0, 65_535), default=0, help="0 takes a free one.")
@click.option(
    "--faults",
    type=click.Path(path_type=Path, dir_okay=False),
    help="JSON file of switches per CRM and a seed; docs/sandbox.md lists them.",
)
@click.option("--seed", type=click.IntRange(0), help="Settles every random choice; goes before the seed of --faults.")
@click.option(
    "--search-delay-ms",
    type=click.IntRange(0),
    help="How long HubSpot's search lags behind writes; 3000 unless --faults says more.",
)
def sandbox(host: str, port: int, faults: Path | None, seed: int | None, search_delay_ms: int | None) -> None:
    """Run the sandbox CRMs until SIGTERM, and print the settings with which the other programs use them."""
    try:
        config = served_config(faults=faults, seed=seed, search_delay_ms=search_delay_ms)
    except FaultFileError as problem:
        raise click.BadParameter(str(problem), param_hint="--faults") from None
    asyncio.run(_serve(host, port, config))


async def _serve(host: str, port: int, config: SandboxConfig) -> None:
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    try:
        running = await start(host, port, config)
    except OSError as problem:
        raise Unreachable(f"cannot listen on {host}:{port}: {problem.strerror}; choose another --port") from None
    for line in settings_lines(running.origin, config):
        click.echo(line)
    click.echo(f"the same choices again: --seed {running.seed}", err=True)
    await stopping.wait()
    await running.stop()


def settings_lines(origin: str, config: SandboxConfig) -> list[str]:
    """`NAME=value` lines that point the API and the workers to a sandbox."""
    clients = {"SALESFORCE": config.salesforce_clients[0], "HUBSPOT": config.hubspot_clients[0]}
    lines = [f"CRM_SANDBOX_ORIGIN={origin}"]
    for name, client in clients.items():
        lines += [f"{name}_CLIENT_ID={client.client_id}", f"{name}_CLIENT_SECRET={client.client_secret}"]
    return lines
