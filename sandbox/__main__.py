"""``python -m sandbox --port 0 --ready-file path``: the sandbox as a process of its own; SIGTERM or Ctrl-C ends it.

Its HubSpot search lags as the real one does (``sandbox.fault_file.REALISTIC``); a sandbox inside a test does not.
"""

import argparse
import asyncio
import signal
from pathlib import Path

import click

from sandbox.config import SandboxConfig
from sandbox.fault_file import FaultFileError, served_config
from sandbox.server import start


def main() -> None:
    """Parse the arguments and serve until a signal comes."""
    parser = argparse.ArgumentParser(prog="python -m sandbox", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on")
    parser.add_argument("--port", type=int, default=0, help="port to listen on; 0 takes a free one")
    parser.add_argument("--origin", help="what token replies and pages call this server, if not its own address")
    parser.add_argument("--ready-file", type=Path, help="file that gets the origin once the server listens")
    parser.add_argument("--faults", type=Path, help="JSON file of switches per CRM and a seed")
    parser.add_argument(
        "--seed", type=_whole_number, help="settles every random choice; goes before the seed of --faults"
    )
    parser.add_argument("--search-delay-ms", type=_whole_number, help="how long HubSpot's search lags; else 3000")
    arguments = parser.parse_args()
    try:
        config = served_config(
            origin=arguments.origin,
            faults=arguments.faults,
            seed=arguments.seed,
            search_delay_ms=arguments.search_delay_ms,
        )
    except FaultFileError as error:
        parser.error(str(error))
    asyncio.run(_serve(arguments.host, arguments.port, config, arguments.ready_file))


def _whole_number(text: str) -> int:
    number = int(text)
    if number < 0:
        raise ValueError(text)
    return number


async def _serve(host: str, port: int, config: SandboxConfig, ready_file: Path | None) -> None:
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    running = await start(host, port, config)
    click.echo(running.origin)
    click.echo(f"the same choices again: --seed {running.seed}", err=True)
    if ready_file is not None:
        _write_whole_number(ready_file, running.origin + "\n")
    await stopping.wait()
    await running.stop()


def _write_whole_number(path: Path, text: str) -> None:
    """Write a file so that a reader never sees half of it."""
    half = path.with_name(path.name + ".part")
    half.write_text(text, encoding="utf-8")
    half.replace(path)


if __name__ == "__main__":
    main()
