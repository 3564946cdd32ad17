"""A slow thread that deletes what has served its time, in small steps."""

import threading
from collections.abc import Callable

import structlog

from crm.store.engine import Connection, DatabaseUnavailable, Engine

log = structlog.get_logger()

EVERY_S = 60.0


class Housekeeping:
    """Calls `forget` each minute, again and again while it deletes something.

    Args:
        forget: Deletes a bounded number of rows and returns how many.
    """

    def __init__(self, engine: Engine, forget: Callable[[Connection], int], every_s: float = EVERY_S) -> None:
        self._engine = engine
        self._forget = forget
        self._every_s = every_s
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="housekeeping", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End after the current step."""
        self._stop.set()
        self._thread.join(timeout=5)

    def _run(self) -> None:
        while not self._stop.wait(self._every_s):
            try:
                while self._step() and not self._stop.is_set():
                    log.debug("forgotten_some")
            except DatabaseUnavailable as problem:
                log.warning("housekeeping_failed", reason=type(problem).__name__)
            except Exception:
                log.exception("housekeeping_crashed")

    def _step(self) -> int:
        with self._engine.begin() as connection:
            return self._forget(connection)
