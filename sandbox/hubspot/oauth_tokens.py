"""HubSpot's token, introspection and revocation endpoints: every parameter in the form body, none in the query.

Developer documentation "OAuth tokens" (dated versions), changelog "New OAuth v3 API endpoints and standardized error
responses".
"""

import secrets
import uuid
from typing import Any

from aiohttp import web

from sandbox.config import OAuthClient
from sandbox.grants import AccessToken, Approval, Grant
from sandbox.hubspot.errors import not_found, oauth_problem
from sandbox.hubspot.gate import live_token
from sandbox.pkce import matches_challenge
from sandbox.replies import read_form
from sandbox.state import JOURNAL_ACCOUNT, SandboxState, state_of

APP_ID = 9_100_001
_NO_STORE = {"Cache-Control": "no-store"}


async def token(request: web.Request) -> web.Response:
    """``POST /oauth/{version}/token``: exchange a code or a refresh token."""
    state, client, form = await _authenticated(request)
    grant_type = form.get("grant_type")
    if grant_type == "authorization_code":
        grant = _exchange(state, client, form)
    elif grant_type == "refresh_token":
        grant = _refresh(state, client, form)
    else:
        raise oauth_problem("unsupported_grant_type", "BAD_GRANT_TYPE", "unknown or missing grant_type")
    request[JOURNAL_ACCOUNT] = grant.approval.account_id
    return web.json_response(token_reply(state, grant), headers=_NO_STORE)


async def _authenticated(request: web.Request) -> tuple[SandboxState, OAuthClient, dict[str, str]]:
    state, version = state_of(request), request.match_info["version"]
    switches = state.switches.hubspot
    is_served = not switches.oauth_v1_gone if version == "v1" else version in switches.api_versions
    if not is_served:
        raise not_found("Unable to find a resource for this path").refusal()
    if request.query and version != "v1":
        message = "parameters belong into the request body, not into the query string"
        raise oauth_problem("invalid_request", "BAD_REQUEST", message)
    form = await read_form(request)
    client = state.config.client("hubspot", form.get("client_id", ""))
    if client is None:
        raise oauth_problem("invalid_client", "BAD_CLIENT_ID", "missing or invalid client id")
    if not secrets.compare_digest(form.get("client_secret", "").encode(), client.client_secret.encode()):
        raise oauth_problem("invalid_client", "BAD_CLIENT_SECRET", "missing or invalid client secret")
    return state, client, form


def _exchange(state: SandboxState, client: OAuthClient, form: dict[str, str]) -> Grant:
    code = state.grants["hubspot"].take_code(form.get("code", ""))
    if code is None or code.approval.client_id != client.client_id:
        raise oauth_problem("invalid_grant", "BAD_AUTH_CODE", "missing or unknown auth code")
    if form.get("redirect_uri") != code.redirect_uri:
        raise oauth_problem("invalid_grant", "BAD_REDIRECT_URI", "missing or invalid redirect URI")
    if code.code_challenge is not None and not matches_challenge(form.get("code_verifier", ""), code.code_challenge):
        raise oauth_problem("invalid_grant", "BAD_CODE_VERIFIER", "missing or invalid code verifier")
    return open_grant(state, code.approval)


def open_grant(state: SandboxState, approval: Approval) -> Grant:
    """Start a grant for an approval, with its refresh token."""
    book = state.grants["hubspot"]
    grant = book.open_grant(approval)
    book.set_refresh_token(grant, _new_refresh_token())
    return grant


def _refresh(state: SandboxState, client: OAuthClient, form: dict[str, str]) -> Grant:
    book, switches = state.grants["hubspot"], state.switches.hubspot
    presented = form.get("refresh_token", "")
    used = book.by_used_refresh_token(presented)
    if used is not None and switches.reuse_detection:
        book.revoke(used)
    grant = book.by_refresh_token(presented)
    if grant is None or grant.approval.client_id != client.client_id:
        raise oauth_problem("invalid_grant", "BAD_REFRESH_TOKEN", "missing or invalid refresh token")
    if switches.refresh_rotation:
        book.set_refresh_token(grant, _new_refresh_token())
    return grant


def _new_refresh_token() -> str:
    return f"na1-{secrets.token_hex(2)}-{uuid.uuid4()}"


def token_reply(state: SandboxState, grant: Grant) -> dict[str, Any]:
    """Issue an access token and return the token endpoint's reply."""
    approval, life_s = grant.approval, state.switches.hubspot.access_token_life_s
    access = state.grants["hubspot"].add_access_token(grant, f"C{secrets.token_urlsafe(240)}", life_s)
    reply = {
        "access_token": access.value,
        "refresh_token": grant.refresh_token,
        "expires_in": life_s,
        "token_type": "bearer",
        "token_use": "access_token",
    }
    if not state.switches.hubspot.token_reply_extras:
        return reply
    extras = {"hub_id": int(approval.account_id), "user_id": int(approval.user_id), "scopes": list(approval.scopes)}
    return reply | extras


async def revoke(request: web.Request) -> web.Response:
    """``POST /oauth/{version}/token/revoke``: the refresh token dies, access tokens run on to their end."""
    state, _, form = await _authenticated(request)
    book = state.grants["hubspot"]
    grant = book.by_refresh_token(form.get("token", ""))
    if grant is not None:
        request[JOURNAL_ACCOUNT] = grant.approval.account_id
        book.revoke(grant, with_access_tokens=False)
    return web.Response()


async def introspect(request: web.Request) -> web.Response:
    """``POST /oauth/{version}/token/introspect``: a dead token answers 200 ``{"active": false}``."""
    state, _, form = await _authenticated(request)
    book = state.grants["hubspot"]
    presented = form.get("token", "")
    access, grant = book.access_token(presented), book.by_refresh_token(presented)
    if access is not None and not access.is_revoked and not access.is_expired(book.clock()):
        return web.json_response(_introspection(state, presented, access.grant, access))
    if grant is not None:
        return web.json_response(_introspection(state, presented, grant, None))
    return web.json_response({"active": False})


def _introspection(state: SandboxState, presented: str, grant: Grant, access: AccessToken | None) -> dict[str, Any]:
    portal = state.accounts.portals[grant.approval.account_id]
    shared: dict[str, Any] = {
        "active": True,
        "token": presented,
        "hub_id": portal.hub_id,
        "user_id": portal.user_id,
        "client_id": grant.approval.client_id,
        "app_id": APP_ID,
        "user": portal.user_email,
        "hub_domain": portal.domain,
        "scopes": list(grant.approval.scopes),
        "token_type": "bearer",
        "token_use": "access_token" if access else "refresh_token",
    }
    if access is None:
        return shared
    left = max(0, int(access.expires_at - state.grants["hubspot"].clock()))
    return shared | {"expires_in": left, "is_private_distribution": False}


async def uninstall(request: web.Request) -> web.Response:
    """``DELETE /appinstalls/{version}/external-install``: the app leaves the portal, every token dies."""
    grant = live_token(request).grant
    request[JOURNAL_ACCOUNT] = grant.approval.account_id
    state_of(request).grants["hubspot"].revoke_account(grant.approval.account_id)
    return web.Response(status=204)
