"""Run every benchmark and print its figures: `python -m benchmarks`; the exit code is 1 when a target is missed."""

import asyncio
import sys

from benchmarks import adapters, sandbox_load

_SECONDS = 8.0

if __name__ == "__main__":
    is_missed = adapters.show(adapters.measure())
    sys.exit(max(is_missed, asyncio.run(sandbox_load.run(_SECONDS))))
