"""What worker and relay share as processes: exit codes, signals, the line that says what is missing."""

import os
import signal
import sys
import threading
from types import FrameType

#: Exit codes for a supervisor: asked to stop; a fault, restart me; what I need is not there.
STOPPED, FAULT, NOT_STARTED = 0, 1, 3
#: A second signal exits at once with the shell's code for it.
SECOND_SIGNAL = 130


def not_started(what: str, setting: str, reason: str) -> int:
    """Say in one line what is not there and which setting to check."""
    print(f"{what} did not answer in time: {reason}; check {setting} and that it runs", file=sys.stderr)  # noqa: T201
    return NOT_STARTED


def stop_on_signals(stopping: threading.Event) -> None:
    """SIGTERM and SIGINT set the flag; a second one exits now."""

    def handle(_signal: int, _frame: FrameType | None) -> None:
        if stopping.is_set():
            os._exit(SECOND_SIGNAL)
        stopping.set()

    signal.signal(signal.SIGTERM, handle)
    signal.signal(signal.SIGINT, handle)
