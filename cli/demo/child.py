"""A child process of the demo: one command of `crm-sync` that ends when the demo ends, however that happens.

`python -m cli.demo.child HOME COMMAND [ARGUMENTS]`; standard input is a pipe that the demo holds open. HOME is named so
that a person who looks at the process list sees whose child it is.
"""

import os
import signal
import sys
import threading

from cli.main import run

_GRACE_S = 45.0


def _end_with_parent() -> None:
    """Wait for the end of standard input, which comes when the demo is gone; then stop as on SIGTERM."""
    while os.read(sys.stdin.fileno(), 1024):
        continue
    os.kill(os.getpid(), signal.SIGTERM)
    # Nobody is left who would send the SIGKILL that follows a stop that hangs.
    threading.Timer(_GRACE_S, os._exit, (1,)).start()


if __name__ == "__main__":
    threading.Thread(target=_end_with_parent, name="parent-watch", daemon=True).start()
    sys.exit(run(sys.argv[2:]))
