"""The folder in which one test run keeps its servers' files, and the sweeping of what crashed runs left behind."""

import os
import shutil
import signal
from pathlib import Path

import psutil

from cli.embedded.processes import end_leftovers

REPOSITORY = Path(__file__).resolve().parents[2]
DEVSTACK = REPOSITORY / ".devstack"
KAFKA_LIBS = DEVSTACK / "kafka-libs"
TEST_RUNS = DEVSTACK / "tests"


def run_home(root: Path = TEST_RUNS) -> Path:
    """Return this run's folder, named by our pid; what runs that are no more left behind is swept first."""
    sweep(root)
    home = root / str(os.getpid())
    home.mkdir(parents=True, exist_ok=True)
    return home


def sweep(root: Path) -> list[Path]:
    """End the servers of runs whose process has ended, and delete their folders.

    Returns:
        The folders that were deleted.
    """
    ended = [home for home in root.glob("[0-9]*") if not psutil.pid_exists(int(home.name))]
    for home in ended:
        end_leftovers(home, list(home.glob("**/server.pid")), signal.SIGKILL, within_s=5)
        shutil.rmtree(home, ignore_errors=True)  # another run may sweep the same folder at this moment
    return ended
