"""The handle that starting a server returns."""

from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from cli.embedded.process import ServerProcess


@dataclass(frozen=True, slots=True)
class RunningServer:
    """A started server; as a context manager it stops the server at the end."""

    process: ServerProcess

    @property
    def pid(self) -> int:
        """The pid of the server's main process."""
        return self.process.pid

    @property
    def is_running(self) -> bool:
        """Whether the main process is alive."""
        return self.process.is_running

    @property
    def log_path(self) -> Path:
        """The file that collects what the server prints."""
        return self.process.spec.log_path

    def stop(self) -> None:
        """Stop cleanly and let the folder go; harmless when already stopped."""
        self.process.stop()

    def kill(self) -> None:
        """Take it down with SIGKILL, as a crash would; ``restart`` brings it back on the same port and data."""
        self.process.kill()

    def restart(self) -> None:
        """Start again on the same port and data, after a clean stop when it still runs."""
        self.process.restart()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()
