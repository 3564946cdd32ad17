"""The person who connects a CRM: opens the link, clicks through our page and the CRM's consent page."""

from dataclasses import dataclass
from typing import Any

from cli.demo.stack import Stack
from cli.problems import CliProblem
from cli.settings import ApiAccess
from cli.web import ApiClient, Browser, Page
from crm.settings import load

_OK = 200


@dataclass(frozen=True, slots=True)
class ConnectedCrm:
    """What the API says about a connection afterwards."""

    slug: str
    name: str
    account_id: str
    account_name: str
    user: str


def connect(stack: Stack, slug: str) -> ConnectedCrm:
    """Connect one sandbox CRM the way a person does, over the real redirects.

    Raises:
        CliProblem: A page is not the one expected; the text holds its words.
    """
    api = ApiClient(load(ApiAccess, **stack.settings))
    address = f"/api/v1/workspaces/{stack.workspace_id}/integrations/{slug}"
    link = api.post(f"{address}/connect", {})
    browser = Browser()
    ticket = _shown(browser.open(str(link["connect_url"])), stack.api_url)
    consent = _shown(browser.submit(ticket, {}), stack.sandbox_url)
    _shown(browser.submit(consent, {"decision": "allow"}), stack.api_url)
    found: dict[str, Any] = api.get(address) or {}
    if found.get("status") != "connected":
        raise CliProblem(f"{slug} is {found.get('status')} after the consent, expected: connected")
    account = found["connection"]["crm_account"]
    return ConnectedCrm(slug, found["name"], account["id"], account["name"] or "?", account["user"] or "?")


def _shown(page: Page, origin: str) -> Page:
    if page.status != _OK or not page.url.startswith(origin):
        raise CliProblem(
            f"expected a page of {origin}, got {page.status} at {page.url.partition('?')[0]}: {page.words[:300]}"
        )
    return page
