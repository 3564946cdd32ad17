"""Processes that refresh, to be let go at once and to be killed; and the moment at which a refresh is under way."""

import subprocess
import sys
import time

from crm.model import Connection
from services.authorization_bench import Bench, process_environment


def start_refresher(connection: Connection, threads: int, **environment: str) -> subprocess.Popen[str]:
    """Start a process that refreshes as soon as it is ready and reads a line."""
    arguments = (str(connection.id), str(connection.token_version), str(threads))
    return subprocess.Popen(
        (sys.executable, "-m", "services.refresh_process", *arguments),
        env=process_environment(**environment),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def let_go(process: subprocess.Popen[str]) -> None:
    """Wait until the process is ready, and let it ask."""
    assert process.stdout is not None
    assert process.stdin is not None
    assert process.stdout.readline() == "ready\n"
    process.stdin.write("go\n")
    process.stdin.flush()


def reap(process: subprocess.Popen[str]) -> None:
    """Reap a process that was killed."""
    process.communicate(timeout=30)


def wait_until_leased(bench: Bench, *, in_flight: bool = True) -> None:
    """Wait until a refresh holds the lease and, in this sandbox, its call is under way."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        leased = bench.rows("SELECT 1 FROM integrations WHERE refresh_holder IS NOT NULL")
        if leased and (not in_flight or bench.sandbox.stats()["in_flight"]):
            return
        time.sleep(0.02)
    raise AssertionError("no refresh began")
