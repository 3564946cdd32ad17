"""Starting, watching and stopping the demo's own programs."""

import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cli.problems import Unreachable

_READY_WITHIN_S: Final = 60.0
_STOP_WITHIN_S: Final = 20.0
_LOOK_S: Final = 0.05
_LOG_LINES: Final = 15


@dataclass(frozen=True, slots=True)
class ChildSpec:
    """One program: its name in messages and log files, its `crm-sync` arguments, and whether it answers yet."""

    name: str
    arguments: tuple[str, ...]
    is_ready: Callable[[], bool]


class Child:
    """A running program of the demo."""

    def __init__(self, spec: ChildSpec, home: Path, logs: Path, environment: Mapping[str, str]) -> None:
        self.name = spec.name
        self._is_ready = spec.is_ready
        self._log = logs / f"{spec.name}.log"
        with self._log.open("wb") as log:
            # In a session of its own: Ctrl-C in the terminal reaches the demo, which then stops its children in order.
            self._process = subprocess.Popen(  # noqa: S603 - our own program and arguments, no shell
                [sys.executable, "-m", "cli.demo.child", str(home), *spec.arguments],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=dict(environment),
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def wait_until_ready(self) -> None:
        """Return when it answers.

        Raises:
            Unreachable: It ended, or did not answer in time; the text holds the end of its log.
        """
        deadline = time.monotonic() + _READY_WITHIN_S
        while not self._is_ready():
            self.check()
            if time.monotonic() > deadline:
                raise Unreachable(f"the {self.name} was not ready within {_READY_WITHIN_S:g} s; {self._log_end()}")
            time.sleep(_LOOK_S)

    def check(self) -> None:
        """Raise Unreachable, with the end of its log, when it has ended."""
        code = self._process.poll()
        if code is not None:
            raise Unreachable(f"the {self.name} ended with exit code {code}; {self._log_end()}")

    def ask_to_stop(self) -> None:
        """Send SIGTERM; harmless when it has ended."""
        if self._process.poll() is None:
            self._process.terminate()

    def wait_until_stopped(self) -> None:
        """Wait for its end; kill it when that takes too long."""
        try:
            self._process.wait(_STOP_WITHIN_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if self._process.stdin is not None:
            self._process.stdin.close()

    def _log_end(self) -> str:
        lines = self._log.read_text(encoding="utf-8", errors="replace").splitlines()[-_LOG_LINES:]
        return f"the end of {self._log}:\n" + "\n".join(lines)


def stop_all(children: Sequence[Child]) -> None:
    """Stop children: all are asked first, then waited for, so that the slowest alone counts."""
    for child in children:
        child.ask_to_stop()
    for child in children:
        child.wait_until_stopped()
