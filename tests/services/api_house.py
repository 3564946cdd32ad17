"""A served API with a workspace, its database and the sandbox's CRMs: what the tests of the API live in."""

import json
import re
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from uuid import UUID

from sqlalchemy import Engine

from crm.store import workspaces
from crm.store.engine import create_engine
from sandbox.server import SandboxServer
from services import database
from services.api_server import Answer, RunningApi, start_api
from services.form_browser import FormBrowser, Page

NAME = "Analytical <Engines> & Söhne"


@dataclass
class House:
    """All that runs; `sandbox` is its origin, or None."""

    api: RunningApi
    engine: Engine
    sandbox: str | None
    workspace: UUID

    def with_new_workspace(self) -> "House":
        """The same house with an empty workspace, and a sandbox as after its start."""
        with self.engine.begin() as connection:
            workspace = workspaces.create(connection, NAME).id
        self._tell_sandbox("reset", {})
        return replace(self, workspace=workspace)

    def path(self, rest: str = "") -> str:
        """A path below the workspace's integrations."""
        return f"/api/v1/workspaces/{self.workspace}/integrations{rest}"

    def call(self, method: str, rest: str = "", *, scopes: tuple[str, ...] = (), **more: Any) -> Answer:
        """Call a path below the workspace's integrations; without scopes as admin."""
        headers = self.api.bearer(self.workspace, *scopes) | more.pop("headers", {})
        return self.api.call(method, self.path(rest), headers=headers, **more)

    def link(self, slug: str = "hubspot", **body: Any) -> str:
        """A connect link."""
        answer = self.call("POST", f"/{slug}/connect", send=body)
        assert answer.status == 201, answer.text
        url: str = answer.json["connect_url"]
        return url

    def to_consent(self, browser: FormBrowser, slug: str = "hubspot", **body: Any) -> Page:
        """Go as far as the CRM's consent page."""
        return browser.submit(browser.open(self.link(slug, **body)))

    def connect(self, slug: str = "hubspot", account: int = 0) -> Page:
        """Connect in a new browser to the account at this place of the consent page, and give the last page."""
        browser = FormBrowser()
        consent = self.to_consent(browser, slug)
        accounts = re.findall(r'name="account" value="([^"]+)"', consent.text)
        return browser.submit(consent, account=accounts[account], decision="allow")

    def switch(self, crm: str, **switches: Any) -> None:
        """Set switches of the sandbox."""
        self._tell_sandbox("switches", {crm: switches})

    def _tell_sandbox(self, what: str, content: Any) -> None:
        address = f"{self.sandbox}/_sandbox/{what}"
        request = urllib.request.Request(  # noqa: S310 - our own
            address, json.dumps(content).encode(), {"Content-Type": "application/json"}
        )
        urllib.request.urlopen(request, timeout=10).close()  # noqa: S310 - our own


@contextmanager
def opened(database_url: str, folder: Path, sandbox: str | None, **more: str) -> Iterator[House]:
    """Start an API on a migrated database, with one workspace; it must end by itself when it is told to."""
    engine = create_engine(database_url, pool_size=1)
    with engine.begin() as connection:
        workspace = workspaces.create(connection, NAME).id
    api = start_api(database_url, folder, sandbox, **more)
    try:
        yield House(api, engine, sandbox, workspace)
    finally:
        exit_code = api.stop()
        engine.dispose()
    assert exit_code == 0


@contextmanager
def served_house(database_server: str, database_template: str, folder: Path) -> Iterator[House]:
    """A house for all tests of a module, with a database of its own and the sandbox."""
    name = database.fresh_name("api")
    url = database.create_database(database_server, name, template=database_template)
    try:
        with SandboxServer() as sandbox, opened(url, folder, sandbox.origin) as house:
            yield house
    finally:
        database.drop_database(database_server, name)
