"""Whether the process lives (`/healthz`) and whether it can serve (`/readyz`)."""

from functools import lru_cache
from pathlib import Path

import falcon
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util.exc import CommandError

from crm.store.engine import DatabaseUnavailable, Engine


class Health:
    """`/healthz`: answers as long as the process does; looks at nothing else."""

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """200."""
        del req
        resp.media = {"status": "ok"}


class Readiness:
    """`/readyz`: the database answers and holds the schema that this version needs."""

    def __init__(self, engine: Engine, migrations: Path) -> None:
        self._engine = engine
        self._migrations = migrations

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """200, or 503 with what is missing."""
        del req
        checks = {"database": "ok", "migrations": "ok"}
        try:
            with self._engine.connect() as connection:
                found = MigrationContext.configure(connection).get_current_revision()
        except DatabaseUnavailable:
            checks = {"database": "does not answer", "migrations": "unknown"}
        else:
            checks["migrations"] = _compared(found, self._migrations)
        is_ready = set(checks.values()) == {"ok"}
        resp.status = 200 if is_ready else 503
        resp.media = {"status": "ready" if is_ready else "not ready", "checks": checks}


def _compared(found: str | None, migrations: Path) -> str:
    try:
        needed = newest_revision(migrations)
    except CommandError:
        return "unknown: set CRM_SYNC_MIGRATIONS to the folder `migrations` of this release"
    return "ok" if found == needed else f"at {found or 'none'}, this version needs {needed}: run crm-sync migrate"


@lru_cache(maxsize=1)
def newest_revision(migrations: Path) -> str | None:
    """The newest migration of this version."""
    return ScriptDirectory(str(migrations)).get_current_head()
