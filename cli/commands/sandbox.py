"""`crm-sync sandbox`: a Salesforce and a HubSpot on localhost."""

import asyncio
import signal

import click

from cli.problems import Unreachable
from cli.sandbox_settings import settings_lines
from sandbox.config import SandboxConfig
from sandbox.server import start


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="It has no authentication: keep it on loopback.")
@click.option("--port", type=click.IntRange(0, 65_535), default=0, help="0 takes a free one.")
def sandbox(host: str, port: int) -> None:
    """Run the sandbox CRMs until SIGTERM, and print the settings with which the other programs use them."""
    asyncio.run(_serve(host, port))


async def _serve(host: str, port: int) -> None:
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    config = SandboxConfig()
    try:
        running = await start(host, port, config)
    except OSError as problem:
        raise Unreachable(f"cannot listen on {host}:{port}: {problem.strerror}; choose another --port") from None
    for line in settings_lines(running.origin, config):
        click.echo(line)
    await stopping.wait()
    await running.stop()
