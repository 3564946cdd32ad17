"""Connecting a CRM: the link, its page, the way to the CRM and back (RFC 6749 section 4.1), and the last page."""

from collections.abc import Sequence
from typing import Annotated, Any
from urllib.parse import urlsplit

import falcon
from pydantic import BaseModel, ConfigDict, Field

from crm.authorization import Completed, Ticket, TicketPage, cookie_key
from crm.errors import CrmError
from crm.store import workspaces
from producer_api import pages
from producer_api.bodies import form, optional_model
from producer_api.cookies import Cookies
from producer_api.parts import Parts, problem_of
from producer_api.problems import Problem
from producer_api.scopes import Scope

_OWN_HOST = "own"
_CONFIRM = "confirm"


class ConnectBody(BaseModel):
    """What may be said about a link; all of it optional."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    return_to: Annotated[str, Field(min_length=1, max_length=2_000)] | None = None
    login_host: Annotated[str, Field(min_length=1, max_length=300)] | None = None


class Connect:
    """`…/integrations/{slug}/connect`."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    def on_post(self, req: falcon.Request, resp: falcon.Response, workspace_id: str, slug: str) -> None:
        """A link for a person: works once, in one browser, for 10 minutes."""
        caller, workspace = self._parts.enter(req.get_header("Authorization"), workspace_id, Scope.INTEGRATIONS_WRITE)
        self._parts.listed(slug)
        body = optional_model(req, ConnectBody)
        try:
            ticket: Ticket = self._parts.authorizer.begin(
                workspace, slug, requested_by=caller.name, return_to=body.return_to, login_host=body.login_host
            )
        except CrmError as error:
            raise problem_of(error) from None
        resp.status = 201
        resp.media = {
            "connect_url": f"{self._parts.settings.origin}/connect/{ticket.ticket}",
            "expires_at": ticket.expires_at.isoformat(),
        }


class TicketPages:
    """`/connect/{ticket}`: says who asks for what; the click leads to the CRM."""

    is_page = True

    def __init__(self, parts: Parts, cookies: Cookies) -> None:
        self._parts = parts
        self._cookies = cookies

    def on_get(self, req: falcon.Request, resp: falcon.Response, ticket: str) -> None:
        """The page. Looking at it changes nothing, so a mail scanner that follows the link does no harm."""
        page = self._parts.authorizer.preview(ticket)
        self._show(req, resp, ticket, page)

    def on_post(self, req: falcon.Request, resp: falcon.Response, ticket: str) -> None:
        """The click: the ticket is used up, this browser is remembered, and sent to the CRM."""
        fields = form(req)
        _require_own_form(self._cookies, req, ticket, fields)
        page = self._parts.authorizer.preview(ticket)
        chosen = fields.get("login_host") or None
        own_host = fields.get("own_host", "").strip()
        login_host = _origin(own_host) if chosen == _OWN_HOST else chosen
        try:
            redirect = self._parts.authorizer.redirect(ticket, login_host=login_host)
        except CrmError as error:
            if error.code != "untrusted_host":
                raise
            complaint = f"{own_host or 'An empty address'} is not an address of {page.crm_name} that this link may use."
            self._show(req, resp, ticket, page, status=400, chosen=chosen, own_host=own_host, complaint=complaint)
            return
        self._cookies.keep_browser_secret(resp, redirect.cookie_key, redirect.browser_secret, redirect.expires_at)
        pages.no_referrer(resp)
        resp.status = 303
        resp.set_header("Location", redirect.url)

    def _show(self, req: falcon.Request, resp: falcon.Response, ticket: str, page: TicketPage, **more: Any) -> None:
        status: int = more.pop("status", 200)
        content = {"chosen": page.login_host, "own_host": "", "complaint": None, **more}
        if page.login_host and page.login_host not in page.login_hosts.values() and not content["own_host"]:
            content |= {"chosen": _OWN_HOST, "own_host": _host(page.login_host)}
        pages.show(
            resp,
            "ticket.html",
            status=status,
            form_targets=_form_targets(self._parts.settings.sandbox_origin),
            page=page,
            action=f"/connect/{ticket}",
            form_token=self._cookies.form_token(req, resp, ticket),
            host_of=_host,
            **content,
        )


class Callback:
    """The redirect URI of each CRM: `INTEGRATION_OAUTH_REDIRECT_BASE` + `/{slug}`."""

    is_page = True

    def __init__(self, parts: Parts, cookies: Cookies) -> None:
        self._parts = parts
        self._cookies = cookies

    def on_get(self, req: falcon.Request, resp: falcon.Response, slug: str) -> None:
        """Finish what the click began, and say which account was connected."""
        # RFC 6749 section 3.1: a parameter that is sent twice is no parameter.
        params = {name: value for name, value in req.params.items() if isinstance(value, str)}
        if params.get("state"):
            self._cookies.forget_browser_secret(resp, cookie_key(params["state"]))
        done = self._parts.authorizer.complete(slug, params, lambda key: self._cookies.browser_secret(req, key))
        crm_name = self._parts.listed(slug).name
        if done.needs_confirmation:
            token = done.confirmation_token or ""
            pages.show(
                resp,
                "confirm.html",
                crm_name=crm_name,
                confirmation=token,
                previous_account=done.previous_account,
                form_token=self._cookies.form_token(req, resp, _CONFIRM + token),
                **_account(self._parts, done),
            )
            return
        pages.show(resp, "connected.html", crm_name=crm_name, return_to=done.return_to, **_account(self._parts, done))


class Confirmation:
    """`/connect/confirm`: the click that another account than before needs."""

    is_page = True

    def __init__(self, parts: Parts, cookies: Cookies) -> None:
        self._parts = parts
        self._cookies = cookies

    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Use the new account, or keep the earlier one."""
        fields = form(req)
        token = fields.get("confirmation", "")
        _require_own_form(self._cookies, req, _CONFIRM + token, fields)
        if fields.get("choice") != "new":
            self._parts.authorizer.reject(token)
            pages.show(resp, "kept.html")
            return
        done = self._parts.authorizer.confirm(token)
        assert done.connection is not None
        crm_name = self._parts.listed(done.connection.integration_slug).name
        pages.show(resp, "connected.html", crm_name=crm_name, return_to=done.return_to, **_account(self._parts, done))


def _account(parts: Parts, done: Completed) -> dict[str, Any]:
    name = None
    if done.connection is not None:
        with parts.engine.connect() as connection:
            found = workspaces.get(connection, done.connection.workspace_id)
        name = (found.name or str(found.id)) if found else None
    return {
        "workspace_name": name,
        "account_id": done.account_id,
        "account_name": done.account_name,
        "user": done.user,
    }


def _require_own_form(cookies: Cookies, req: falcon.Request, purpose: str, fields: dict[str, str]) -> None:
    if not cookies.is_own_form(req, purpose, fields.get("form_token", "")):
        raise Problem(403, "form_expired", "the click did not come from our own page in this browser")


def _form_targets(sandbox_origin: str | None) -> Sequence[str]:
    """Where the click may lead: any https host.

    Browsers apply `form-action` to every redirect after the POST, and a CRM's sign-in redirects between hosts of its
    own that nobody lists (My Domains, regions). The adapter checks the first one.
    """
    return ("'self'", "https:", *((sandbox_origin,) if sandbox_origin else ()))


def _origin(host: str) -> str:
    """`acme.my.salesforce.com`, or a URL on it, as an origin."""
    parts = urlsplit(host if "://" in host else f"https://{host}")
    return f"{parts.scheme}://{parts.netloc}"


def _host(origin: str) -> str:
    return urlsplit(origin).netloc
