"""Questions to and orders for processes by their pid: where they listen, whose they are, how they end."""

import signal
import time
from collections.abc import Sequence
from pathlib import Path

import psutil

POLL_INTERVAL_S = 0.02
KILL_WITHIN_S = 10.0


def listening_addresses(pid: int) -> frozenset[tuple[str, int]]:
    """Return the (address, port) pairs on which a process accepts TCP connections."""
    try:
        connections = psutil.Process(pid).net_connections(kind="tcp")
    except psutil.NoSuchProcess:
        return frozenset()
    return frozenset((c.laddr.ip, c.laddr.port) for c in connections if c.status == psutil.CONN_LISTEN)


def is_server_of(pid: int, home: Path) -> bool:
    """Tell whether a pid is a server of this folder; a pid that another program was given since is not.

    A server's command line names its folder or a path below it.
    """
    try:
        command = psutil.Process(pid).cmdline()
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return False
    return any(str(home) in argument for argument in command[1:])


def read_pid(path: Path) -> int | None:
    """Return the pid on the first line of a file, or None where there is none or it cannot be read as a number."""
    try:
        return int(path.read_text(encoding="utf-8").split("\n", 1)[0])
    except (FileNotFoundError, ValueError):
        return None


def end_leftovers(home: Path, pid_files: Sequence[Path], stop_signal: signal.Signals, within_s: float) -> None:
    """Stop what runs under the pids in these files and belongs to this folder, then remove the files.

    The caller holds the folder's lock or knows that its starter is dead: every one of these files is stale.

    Args:
        home: The servers' folder.
        pid_files: Files whose first line is a pid; missing ones are skipped.
        stop_signal: The signal that asks for a clean stop.
        within_s: Longest wait for a clean stop, in seconds; then the process is killed.
    """
    for path in pid_files:
        pid = read_pid(path)
        if pid is not None and is_server_of(pid, home):
            process = psutil.Process(pid)
            process.send_signal(stop_signal)
            if not wait_until_gone([process], within_s):
                kill_tree(pid)
        path.unlink(missing_ok=True)


def kill_tree(pid: int) -> None:
    """Send SIGKILL to a process and its descendants, and wait until all are gone.

    The process is stopped first, so that it starts no new child while the list is read. PostgreSQL needs this: its
    children live on for a moment after the postmaster died, and a restart is refused until the last has gone.
    """
    try:
        process = psutil.Process(pid)
        process.suspend()
        family = [process, *process.children(recursive=True)]
    except psutil.NoSuchProcess:
        return
    for member in family:
        try:
            member.kill()
        except psutil.NoSuchProcess:
            continue
    wait_until_gone(family, KILL_WITHIN_S)


def wait_until_gone(family: Sequence[psutil.Process], within_s: float) -> bool:
    """Wait until no process of the family runs any more.

    Returns:
        False when one still ran after ``within_s`` seconds.
    """
    deadline = time.monotonic() + within_s
    while any(_is_alive(member) for member in family):
        if time.monotonic() > deadline:
            return False
        time.sleep(POLL_INTERVAL_S)
    return True


def _is_alive(process: psutil.Process) -> bool:
    """Tell whether a process still runs; a zombie holds no port, file or memory, it only waits to be counted."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
