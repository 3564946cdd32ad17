"""One server process that owns one folder: start, readiness, stop, kill, restart, and what a crash left behind."""

import fcntl
import os
import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from cli.embedded.account import Account, argv_as
from cli.embedded.errors import ServerInUseError, ServerStartError
from cli.embedded.processes import POLL_INTERVAL_S, kill_tree

LOG_TAIL_LINES = 25


@dataclass(frozen=True, slots=True)
class ServerSpec:
    """How one server is run.

    Attributes:
        name: The server's name in messages.
        home: Folder of the lock, the pid file and the log; the command line must name it or a path below it.
        argv: Program and arguments; the same for a restart, so the port stays.
        account: The account to run as; ``None`` is our own.
        environment: Variables added to our own environment.
        stop_signal: The signal that asks for a clean stop.
        ready_within_s: Longest wait for readiness, in seconds.
        stop_within_s: Longest wait for a clean stop, in seconds; then the process is killed.
    """

    name: str
    home: Path
    argv: tuple[str, ...]
    account: Account | None = None
    environment: tuple[tuple[str, str], ...] = ()
    stop_signal: signal.Signals = signal.SIGTERM
    ready_within_s: float = 30.0
    stop_within_s: float = 15.0

    @property
    def log_path(self) -> Path:
        """The file that collects what the server prints."""
        return self.home / "server.log"

    @property
    def pid_path(self) -> Path:
        """The file that holds the pid of the last server started here."""
        return self.home / "server.pid"


class HomeLock:
    """An advisory lock on a server's folder, held by the process that started the server.

    The kernel drops it when that process ends, however it ends: a free lock beside a living server means a leftover.
    """

    def __init__(self, home: Path, name: str) -> None:
        home.mkdir(parents=True, exist_ok=True)
        self._file = (home / "lock").open("a")
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._file.close()
            raise ServerInUseError(
                f"{name} in {home} is in use by another running process; stop that one first"
            ) from None

    def release(self) -> None:
        """Let the folder go; releasing twice is harmless."""
        self._file.close()


def log_tail(path: Path, lines: int = LOG_TAIL_LINES) -> str:
    """Return the last lines of a log, or a note that there are none."""
    if not path.exists():
        return "(no log was written)"
    tail = path.read_text(encoding="utf-8", errors="replace").splitlines()[-lines:]
    return "\n".join(tail) or "(the log is empty)"


class ServerProcess:
    """The process of one server.

    Args:
        spec: How it is run.
        is_ready: Whether the server with this pid answers; asked again and again until ``ready_within_s``.
        lock: The held lock of the server's folder; released by ``stop``.
    """

    def __init__(self, spec: ServerSpec, is_ready: Callable[[int], bool], lock: HomeLock) -> None:
        self.spec = spec
        self._is_ready = is_ready
        self._lock = lock
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """The pid of the running server.

        Raises:
            ServerStartError: It is not running.
        """
        if self._process is None or self._process.poll() is not None:
            raise ServerStartError(f"{self.spec.name} is not running")
        return self._process.pid

    @property
    def is_running(self) -> bool:
        """Whether the process is alive."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Start the server and wait until it is ready.

        Raises:
            ServerStartError: It ended, or was not ready in time; it no longer runs then.
        """
        spec = self.spec
        with spec.log_path.open("ab") as log:
            self._process = _spawn(spec, log.fileno())
        spec.pid_path.write_text(f"{self._process.pid}\n")
        try:
            self._wait_until_ready(self._process)
        except BaseException:
            self.kill()
            raise

    def _wait_until_ready(self, process: "subprocess.Popen[bytes]") -> None:
        deadline = time.monotonic() + self.spec.ready_within_s
        while not self._is_ready(process.pid):
            code = process.poll()
            if code is not None:
                raise self._failure(f"ended with exit code {code} before it was ready")
            if time.monotonic() > deadline:
                raise self._failure(f"was not ready within {self.spec.ready_within_s:g} s")
            time.sleep(POLL_INTERVAL_S)

    def _failure(self, what: str) -> ServerStartError:
        log = self.spec.log_path
        return ServerStartError(f"{self.spec.name} {what}; the end of {log}:\n{log_tail(log)}")

    def stop(self) -> None:
        """Stop cleanly, or by SIGKILL when that takes too long, and let the folder go; stopping twice is harmless."""
        self._end()
        self._lock.release()

    def kill(self) -> None:
        """Take the server down with SIGKILL, children included, as a crash would; the folder stays locked."""
        if self._process is not None and self._process.poll() is None:
            kill_tree(self._process.pid)
            self._process.wait()
        self._forget()

    def restart(self) -> None:
        """Start the server again on the same port and data; a server that still runs is stopped cleanly first."""
        self._end()
        self.start()

    def _end(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(self.spec.stop_signal)
            try:
                self._process.wait(self.spec.stop_within_s)
            except subprocess.TimeoutExpired:
                self.kill()
        self._forget()

    def _forget(self) -> None:
        self._process = None
        self.spec.pid_path.unlink(missing_ok=True)


def _spawn(spec: ServerSpec, log_fd: int) -> "subprocess.Popen[bytes]":
    """Start the program in a session of its own, so that Ctrl-C in the terminal reaches us and not the server."""
    run = argv_as(spec.account, spec.argv, spec.home)
    return subprocess.Popen(  # noqa: S603 - our own binary and arguments, no shell
        run.argv,
        stdin=subprocess.DEVNULL,
        stdout=log_fd,
        stderr=subprocess.STDOUT,
        cwd=spec.home,
        env={**os.environ, **dict(spec.environment)},
        start_new_session=True,
        user=run.uid,
        group=run.gid,
        extra_groups=run.extra_groups,
    )
