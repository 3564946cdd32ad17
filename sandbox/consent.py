"""The consent page of both CRMs: shows who asks for what, lets a person choose an account, allows or denies.

RFC 6749 sections 4.1.1 and 4.1.2. A request with an unknown client or redirect URI never redirects: it ends on an error
page of the CRM, as at both vendors.
"""

from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlencode, urlsplit, urlunsplit

import jinja2
from aiohttp import web

from sandbox.config import Crm, OAuthClient
from sandbox.consent_requests import ConsentRequest
from sandbox.grants import Approval
from sandbox.replies import read_form
from sandbox.state import JOURNAL_ACCOUNT, SandboxState, state_of

CRM_NAMES: dict[Crm, str] = {"salesforce": "Salesforce", "hubspot": "HubSpot"}
Approver = Callable[[SandboxState, ConsentRequest, Approval], str]
"""Keeps an approval and returns the authorization code for it."""

_PAGE_HEADERS = {"Cache-Control": "no-store", "X-Frame-Options": "DENY", "Referrer-Policy": "no-referrer"}
_DENIED = {"salesforce": "end-user denied authorization", "hubspot": "The user denied access to the app"}
_TEMPLATES = jinja2.Environment(
    loader=jinja2.FileSystemLoader(Path(__file__).parent / "templates"),
    autoescape=True,
    undefined=jinja2.StrictUndefined,
)


class StrandedError(Exception):
    """An authorization request that ends on the CRM's own error page instead of a redirect."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message


def requesting_client(state: SandboxState, crm: Crm, client_id: str, redirect_uri: str) -> OAuthClient:
    """Return the registered client of an authorization request.

    Raises:
        StrandedError: The client is unknown, or the redirect URI is not one of its own.
    """
    client = state.config.client(crm, client_id)
    if client is None:
        raise StrandedError("invalid_client_id", "client identifier invalid")
    if not client.allows_redirect_uri(redirect_uri):
        raise StrandedError("redirect_uri_mismatch", "redirect_uri must match configuration")
    return client


def error_page(crm: Crm, error: StrandedError) -> web.Response:
    """Return the CRM's own error page."""
    page = _TEMPLATES.get_template("stranded.html").render(
        crm=crm, crm_name=CRM_NAMES[crm], code=error.code, message=error.message
    )
    return web.Response(text=page, status=400, content_type="text/html", headers=_PAGE_HEADERS)


def redirect(redirect_uri: str, **parameters: str | None) -> web.Response:
    """Send the browser back to the client with these parameters (``None`` ones are left out)."""
    parts = urlsplit(redirect_uri)
    query = urlencode({name: value for name, value in parameters.items() if value is not None})
    location = urlunsplit(parts._replace(query="&".join(filter(None, (parts.query, query)))))
    return web.Response(status=302, headers={"Location": location, **_PAGE_HEADERS})


def consent_page(state: SandboxState, request: ConsentRequest, action: str) -> web.Response:
    """Return the page that asks for a decision; its form posts to ``action``."""
    cards = [card for card in state.accounts.cards(request.crm) if request.account_id in {None, card.account_id}]
    if not cards:
        return error_page(request.crm, StrandedError("unknown_account", "there is no such account"))
    hinted = next((card for card in cards if card.user == request.login_hint), cards[0])
    page = _TEMPLATES.get_template("consent.html").render(
        crm=request.crm,
        crm_name=CRM_NAMES[request.crm],
        account_word="org" if request.crm == "salesforce" else "portal",
        app_name=request.client.app_name,
        redirect_host=urlsplit(request.redirect_uri).netloc,
        scopes=request.scopes,
        cards=cards,
        chosen=hinted.account_id,
        consent_id=state.consents.add(request),
        action=action,
    )
    return web.Response(text=page, content_type="text/html", headers=_PAGE_HEADERS)


async def decide(request: web.Request, crm: Crm, approve: Approver) -> web.Response:
    """Answer the consent form: ``consent_id``, ``account`` and ``decision`` (``allow`` or ``deny``)."""
    state = state_of(request)
    form = await read_form(request)
    pending = state.consents.take(form.get("consent_id", ""))
    if pending is None or pending.crm != crm:
        return error_page(crm, StrandedError("invalid_request", "this request was answered already or is too old"))
    if form.get("decision") != "allow":
        return redirect(
            pending.redirect_uri, error="access_denied", error_description=_DENIED[crm], state=pending.state
        )
    card = state.accounts.card(crm, pending.account_id or form.get("account", ""))
    if card is None:
        return error_page(crm, StrandedError("unknown_account", "there is no such account"))
    request[JOURNAL_ACCOUNT] = card.account_id
    approval = Approval(pending.client.client_id, card.account_id, card.user_id, pending.scopes)
    return redirect(pending.redirect_uri, code=approve(state, pending, approval), state=pending.state)
