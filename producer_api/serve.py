"""Run the API: wait for the database, then gunicorn with threads until SIGTERM."""

import sys
from typing import Any

import structlog
from gunicorn.app.base import BaseApplication

from crm import logs
from crm.settings import SettingsProblem
from crm.store.engine import create_engine, wait_for_database
from crm.vault import MasterKeys
from producer_api.server_log import ServerLog
from producer_api.settings import ApiSettings
from producer_api.wsgi import build

_log = structlog.get_logger("producer_api")
#: Requests in flight at SIGTERM get this long: a callback may be waiting for a CRM's token endpoint.
_GRACE_S = 35


class _Server(BaseApplication):
    """gunicorn without its command line."""

    def __init__(self, settings: ApiSettings) -> None:
        self._settings = settings
        super().__init__()

    def load_config(self) -> None:
        """Take the options from our settings."""
        for name, value in _options(self._settings).items():
            self.cfg.set(name, value)

    def load(self) -> Any:
        """Build the application, in the worker process."""
        return build(self._settings)


def run(settings: ApiSettings) -> int:
    """Serve until SIGTERM; requests in flight are finished first.

    Returns:
        0 after a stop that was asked for; 1 when the master keys cannot be read, PostgreSQL does not answer within
        `database_wait_s`, or the address cannot be listened on.
    """
    logs.configure(settings.log_level)
    try:
        MasterKeys.parse(settings.master_keys.get_secret_value())
    except SettingsProblem as problem:
        print(problem, file=sys.stderr)  # noqa: T201 - for the operator
        return 1
    engine = create_engine(settings.database_url.get_secret_value(), pool_size=1, application_name="crm-sync-api")
    try:
        reason = wait_for_database(engine, settings.database_wait_s)
    finally:
        engine.dispose()
    if reason is not None:
        where = engine.url.render_as_string(hide_password=True)
        message = f"PostgreSQL at {where} did not answer within {settings.database_wait_s:g} s: {reason}"
        print(f"{message}; check DATABASE_URL and that it runs", file=sys.stderr)  # noqa: T201 - for the operator
        return 1
    try:
        _Server(settings).run()
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    return 0


def _options(settings: ApiSettings) -> dict[str, Any]:
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    return {
        "bind": f"{host}:{settings.port}",
        "worker_class": "gthread",
        "workers": 1,
        "threads": settings.threads,
        "graceful_timeout": _GRACE_S,
        "keepalive": 5,
        # Its access log would hold the query strings of callbacks; ours is `producer_api.request_log`.
        "accesslog": None,
        "logger_class": ServerLog,
        # An authorization code in a callback's query may be long.
        "limit_request_line": 8190,
        "loglevel": "warning",
        "control_socket_disable": True,
        "when_ready": lambda _server: _log.info("api_ready", host=settings.host, port=settings.port),
        "proc_name": "crm-sync-api",
    }
