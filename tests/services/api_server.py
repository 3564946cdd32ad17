"""The API as production runs it: gunicorn in a process of its own, on a free port, with a token issuer for tests."""

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

from producer_api.development_tokens import issue
from services.workspace import REPOSITORY

SECRET = "a visibly fake secret of 32 bytes or more"
MASTER_KEY = "k1:dmlzaWJseSBmYWtlIG1hc3RlciBrZXkgMzIgYnl0ZXM="
READY_WITHIN_S = 30
CALLBACK = "/api/v1/integrations/callback"
_START = """
import sys
from crm.settings import load
from producer_api.serve import run
from producer_api.settings import ApiSettings
sys.exit(run(load(ApiSettings)))
"""


@dataclass(frozen=True)
class Answer:
    """An HTTP response, read whole; headers by lower-case name, cookies as they were set."""

    status: int
    headers: Mapping[str, str]
    cookies: tuple[str, ...]
    body: bytes

    @property
    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)

    @property
    def text(self) -> str:
        """The body as text."""
        return self.body.decode()


@dataclass
class RunningApi:
    """A served API. `log` is the file with what it printed."""

    origin: str
    process: subprocess.Popen[bytes]
    log: Path
    jar: dict[str, str] = field(default_factory=dict)

    def call(
        self,
        method: str,
        address: str,
        *,
        body: bytes | None = None,
        send: Any = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """One request; `address` is a path or URL of this API, `send` goes as JSON."""
        parts = urlsplit(address)
        path = parts.path + (f"?{parts.query}" if parts.query else "")
        sent = dict(headers or {})
        if send is not None:
            body, sent = json.dumps(send).encode(), {"Content-Type": "application/json", **sent}
        connection = http.client.HTTPConnection(urlsplit(self.origin).netloc, timeout=30)
        try:
            connection.request(method, path, body=body, headers=sent)
            reply = connection.getresponse()
            content = reply.read()
        finally:
            connection.close()
        cookies = tuple(value for name, value in reply.getheaders() if name.lower() == "set-cookie")
        named = {name.lower(): value for name, value in reply.getheaders()}
        return Answer(reply.status, named, cookies, content)

    def bearer(self, workspace_id: UUID, *scopes: str, **claims: Any) -> dict[str, str]:
        """Headers with an access token for a workspace; without scopes: `admin`."""
        token = issue(SECRET, workspace_id=workspace_id, scopes=scopes or ("admin",), **claims)
        return {"Authorization": f"Bearer {token}"}

    def stop(self) -> int:
        """SIGTERM, and the exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(30)

    def log_lines(self) -> list[dict[str, Any]]:
        """What was logged as JSON."""
        lines = self.log.read_text(encoding="utf-8").splitlines()
        return [json.loads(line) for line in lines if line.startswith("{")]


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def environment(port: int, database_url: str, sandbox_origin: str | None = None, **more: str) -> dict[str, str]:
    """The variables of an API on 127.0.0.1, with the sandbox's clients."""
    named = {
        "DATABASE_URL": database_url,
        "CRM_SYNC_MASTER_KEYS": MASTER_KEY,
        "CRM_SYNC_JWT_SECRET": SECRET,
        "CRM_SYNC_API_PORT": str(port),
        "CRM_SYNC_DATABASE_WAIT_S": "2",
        "INTEGRATION_OAUTH_REDIRECT_BASE": f"http://127.0.0.1:{port}{CALLBACK}",
        "SALESFORCE_CLIENT_ID": "sandbox-salesforce-client",
        "SALESFORCE_CLIENT_SECRET": "sandbox-salesforce-secret-not-real",
        "HUBSPOT_CLIENT_ID": "sandbox-hubspot-client",
        "HUBSPOT_CLIENT_SECRET": "sandbox-hubspot-secret-not-real",
    }
    if sandbox_origin:
        named["CRM_SANDBOX_ORIGIN"] = sandbox_origin
    kept = {name: value for name, value in os.environ.items() if name in {"PATH", "HOME", "LANG", "VIRTUAL_ENV"}}
    return {**kept, "PYTHONPATH": str(REPOSITORY), **named, **more}


def launch(env: Mapping[str, str], log: Path) -> subprocess.Popen[bytes]:
    """Start an API; it may still be starting, or failing."""
    with log.open("wb") as output:
        return subprocess.Popen(
            (sys.executable, "-c", _START), cwd=REPOSITORY, env=dict(env), stdout=output, stderr=subprocess.STDOUT
        )


def start_api(
    database_url: str, folder: Path, sandbox_origin: str | None = None, *, without: Iterable[str] = (), **more: str
) -> RunningApi:
    """Start an API and wait until it answers.

    Raises:
        AssertionError: It ended, or did not answer in time; the text is what it printed.
    """
    port, log = free_port(), folder / "api.log"
    env = environment(port, database_url, sandbox_origin, **more)
    process = launch({name: value for name, value in env.items() if name not in set(without)}, log)
    running = RunningApi(f"http://127.0.0.1:{port}", process, log)
    deadline = time.monotonic() + READY_WITHIN_S
    while not _answers(port):
        if process.poll() is not None or time.monotonic() > deadline:
            running.stop()
            raise AssertionError(f"the API did not start:\n{log.read_text(encoding='utf-8')}")
        time.sleep(0.05)
    return running


def _answers(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
    try:
        connection.request("GET", "/healthz")
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()
