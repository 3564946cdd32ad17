"""A process that refreshes: ``python -m services.refresh_process <connection id> <version> <threads>``.

It prints ``ready``, waits for a line, lets all its threads ask at once, and prints what each got as one JSON list.
"""

import json
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from uuid import UUID

from crm.errors import CrmError
from crm.store import connections
from services.authorization_bench import bench_from_environment


def main(connection_id: UUID, version: int, threads: int) -> None:
    """Ask for newer tokens than `version` with so many threads."""
    bench = bench_from_environment()
    source = bench.source(lease_s=3.0)
    with bench.engine.begin() as transaction:
        connection = connections.by_id(transaction, connection_id)
    assert connection is not None
    barrier = threading.Barrier(threads)

    def ask(_number: int) -> int | str:
        barrier.wait()
        try:
            return source.after_rejection(connection, version).version
        except CrmError as error:
            return type(error).__name__

    with ThreadPoolExecutor(threads) as pool:
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        sys.stdin.readline()
        sys.stdout.write(json.dumps(list(pool.map(ask, range(threads)))) + "\n")


if __name__ == "__main__":
    main(UUID(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
