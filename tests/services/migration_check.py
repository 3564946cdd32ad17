"""The migrations, run up, down and up again on a database of their own: ``python -m services.migration_check``."""

import os
import shutil
import sys
from collections.abc import Mapping

from services.choice import choose_database
from services.containers import docker_answers
from services.database import MigrationFailedError, alembic, create_database, drop_database, fresh_name, start_database
from services.workspace import run_home


def one_head(printed: str) -> str:
    """Return the newest revision from what ``alembic heads`` printed.

    Raises:
        MigrationFailedError: There is none, or the history has branches.
    """
    heads = printed.split("\n")
    heads = [line.split()[0] for line in heads if line.strip()]
    if len(heads) != 1:
        raise MigrationFailedError(
            f"one newest revision was expected, found {len(heads)}: {', '.join(heads) or 'none'}"
        )
    return heads[0]


def check(url: str) -> str:
    """Run every migration up, down and up again, and return the newest revision.

    Raises:
        MigrationFailedError: One of them failed, or the history has branches.
    """
    head = one_head(alembic(url, "heads"))
    for arguments in (("upgrade", "head"), ("downgrade", "base"), ("upgrade", "head")):
        alembic(url, *arguments)
    return head


def main(environment: Mapping[str, str]) -> int:
    """Check the migrations on the database server that the tests would use, and say how it went."""
    choice = choose_database(environment, docker_answers)
    home = run_home()
    server = start_database(choice, home)
    name = fresh_name("migrations")
    try:
        url = create_database(server.admin_url, name)
        head = check(url)
        drop_database(server.admin_url, name)
    except MigrationFailedError as failure:
        sys.stderr.write(f"{failure}\n")
        return 1
    finally:
        server.stop()
        shutil.rmtree(home)
    sys.stdout.write(f"migrations: up, down and up again to {head} on {choice}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(os.environ))
