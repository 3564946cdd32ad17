"""Salesforce's token, revocation and introspection endpoints under ``/salesforce/services/oauth2``.

Salesforce help "OAuth 2.0 Web Server Flow", "OAuth 2.0 Refresh Token Flow", "Refresh Token Rotation", "Revoke OAuth
Tokens"; RFC 6749, 7009, 7662.
"""

import base64
import hmac
import secrets

from aiohttp import BasicAuth, web

from sandbox.config import OAuthClient
from sandbox.grants import AccessToken, Approval, Grant
from sandbox.pkce import matches_challenge
from sandbox.replies import RefusedError, read_form
from sandbox.state import JOURNAL_ACCOUNT, SandboxState, state_of

_REFRESH_SCOPES = frozenset({"refresh_token", "offline_access"})


def oauth_error(error: str, description: str, status: int = 400) -> RefusedError:
    """Build an error reply of the token, revoke or introspect endpoint (RFC 6749 section 5.2)."""
    return RefusedError(status, {"error": error, "error_description": description}, {"Cache-Control": "no-store"})


async def token(request: web.Request) -> web.Response:
    """Exchange a code or a refresh token."""
    state = state_of(request)
    form = await read_form(request)
    client = _authenticated_client(request, state, form)
    grant_type = form.get("grant_type")
    if grant_type == "authorization_code":
        grant, refresh_token = _exchange(state, client, form)
    elif grant_type == "refresh_token":
        grant, refresh_token = _refresh(state, client, form)
    else:
        raise oauth_error("unsupported_grant_type", "grant type not supported")
    request[JOURNAL_ACCOUNT] = grant.approval.account_id
    return web.json_response(
        token_reply(state, client, grant, refresh_token), headers={"Cache-Control": "no-store", "Pragma": "no-cache"}
    )


def _authenticated_client(request: web.Request, state: SandboxState, form: dict[str, str]) -> OAuthClient:
    client_id, client_secret = form.get("client_id", ""), form.get("client_secret", "")
    header = request.headers.get("Authorization")
    if header is not None:
        try:
            basic = BasicAuth.decode(header, encoding="utf-8")
        except ValueError as error:
            raise oauth_error("invalid_client", "invalid client credentials", 401) from error
        client_id, client_secret = basic.login, basic.password
    client = state.config.client("salesforce", client_id)
    if client is None:
        raise oauth_error("invalid_client_id", "client identifier invalid")
    if not secrets.compare_digest(client_secret.encode(), client.client_secret.encode()):
        raise oauth_error("invalid_client", "invalid client credentials")
    return client


def _exchange(state: SandboxState, client: OAuthClient, form: dict[str, str]) -> tuple[Grant, str | None]:
    code = state.grants["salesforce"].take_code(form.get("code", ""))
    if code is None or code.approval.client_id != client.client_id:
        raise oauth_error("invalid_grant", "expired authorization code")
    if form.get("redirect_uri") != code.redirect_uri:
        raise oauth_error("redirect_uri_mismatch", "redirect_uri must match configuration")
    if code.code_challenge is not None and not matches_challenge(form.get("code_verifier", ""), code.code_challenge):
        raise oauth_error("invalid_grant", "invalid code verifier")
    return open_grant(state, code.approval)


def open_grant(state: SandboxState, approval: Approval) -> tuple[Grant, str | None]:
    """Start a grant for an approval; the second value is its refresh token, if its scopes include one."""
    book = state.grants["salesforce"]
    grant = book.open_grant(approval, state.switches.salesforce.max_approvals)
    if not _REFRESH_SCOPES & set(approval.scopes):
        return grant, None
    book.set_refresh_token(grant, _new_refresh_token())
    return grant, grant.refresh_token


def _refresh(state: SandboxState, client: OAuthClient, form: dict[str, str]) -> tuple[Grant, str | None]:
    book, switches = state.grants["salesforce"], state.switches.salesforce
    presented = form.get("refresh_token", "")
    used = book.by_used_refresh_token(presented)
    if used is not None and switches.reuse_detection:
        book.revoke(used)
    grant = book.by_refresh_token(presented)
    if grant is None or grant.approval.client_id != client.client_id:
        raise oauth_error("invalid_grant", "expired access/refresh token")
    if not switches.refresh_rotation:
        return grant, None
    book.set_refresh_token(grant, _new_refresh_token())
    return grant, grant.refresh_token


def _new_refresh_token() -> str:
    return f"5Aep861{secrets.token_urlsafe(48)}"


def token_reply(state: SandboxState, client: OAuthClient, grant: Grant, refresh_token: str | None) -> dict[str, str]:
    """Issue an access token and return the token endpoint's reply: text values, no ``expires_in``, a true signature."""
    switches, approval = state.switches.salesforce, grant.approval
    value = f"{approval.account_id[:15]}!AQ4A{secrets.token_urlsafe(60)}"
    access = state.grants["salesforce"].add_access_token(grant, value, switches.access_token_life_s)
    identity = f"{state.base_url('salesforce')}/id/{approval.account_id}/{approval.user_id}"
    issued_at = str(int(access.issued_at * 1000))
    digest = hmac.digest(client.client_secret.encode(), (identity + issued_at).encode(), "sha256")
    reply = {
        "access_token": access.value,
        "signature": base64.b64encode(digest).decode(),
        "scope": " ".join(approval.scopes),
        "instance_url": switches.instance_url_override or state.base_url("salesforce"),
        "id": identity,
        "token_type": "Bearer",
        "issued_at": issued_at,
    }
    return reply | ({"refresh_token": refresh_token} if refresh_token else {})


async def revoke(request: web.Request) -> web.Response:
    """End a refresh token with its access tokens, or one access token."""
    state = state_of(request)
    form = await read_form(request)
    presented = form.get("token") or request.query.get("token", "")
    book = state.grants["salesforce"]
    grant = book.by_refresh_token(presented)
    access = book.access_token(presented)
    if grant is not None:
        request[JOURNAL_ACCOUNT] = grant.approval.account_id
        book.revoke(grant)
    elif access is not None and not access.is_revoked:
        request[JOURNAL_ACCOUNT] = access.grant.approval.account_id
        access.is_revoked = True
    else:
        raise oauth_error("invalid_token", "the token is invalid or was revoked before")
    return web.Response()


async def introspect(request: web.Request) -> web.Response:
    """Tell whether a token is alive, and until when (RFC 7662); instants are epoch seconds."""
    state = state_of(request)
    form = await read_form(request)
    client = _authenticated_client(request, state, form)
    book = state.grants["salesforce"]
    access, grant = book.access_token(form.get("token", "")), book.by_refresh_token(form.get("token", ""))
    if access is not None and not access.is_revoked and not access.is_expired(book.clock()):
        return web.json_response(_introspection(state, client, access.grant, access))
    if grant is not None:
        return web.json_response(_introspection(state, client, grant, None))
    return web.json_response({"active": False})


def _introspection(
    state: SandboxState, client: OAuthClient, grant: Grant, access: AccessToken | None
) -> dict[str, str | int | bool]:
    approval = grant.approval
    identity = f"{state.base_url('salesforce')}/id/{approval.account_id}/{approval.user_id}"
    reply: dict[str, str | int | bool] = {
        "active": True,
        "scope": " ".join(approval.scopes),
        "client_id": client.client_id,
        "username": state.accounts.orgs[approval.account_id].username,
        "sub": identity,
        "token_type": "access_token" if access else "refresh_token",
    }
    if access is not None:
        issued = int(access.issued_at)
        reply |= {"iat": issued, "nbf": issued, "exp": int(access.expires_at)}
    return reply
