"""Salesforce's authorization endpoint (Salesforce help "OAuth 2.0 Web Server Flow", "OAuth Authorization Errors")."""

import re
import secrets

from aiohttp import web

from sandbox import consent
from sandbox.consent_requests import ConsentRequest
from sandbox.grants import Approval, AuthorizationCode
from sandbox.pkce import is_challenge
from sandbox.state import SandboxState, state_of

KNOWN_SCOPES = ("api", "refresh_token", "offline_access", "id", "profile", "email", "address", "phone", "full", "web")
DEFAULT_SCOPES = ("api", "refresh_token")
_SPACES = re.compile(r"\s+")


async def authorize(request: web.Request) -> web.Response:
    """Show the consent page, or refuse the request in the vendor's way."""
    state = state_of(request)
    query = request.query
    redirect_uri = query.get("redirect_uri", "")
    try:
        client = consent.requesting_client(state, "salesforce", query.get("client_id", ""), redirect_uri)
    except consent.StrandedError as error:
        return consent.error_page("salesforce", error)
    scopes = tuple(scope for scope in _SPACES.split(query.get("scope", "")) if scope) or DEFAULT_SCOPES
    refusal = _authorize_refusal(request, scopes, is_pkce_required=state.switches.salesforce.pkce_required)
    if refusal is not None:
        error_code, description = refusal
        return consent.redirect(redirect_uri, error=error_code, error_description=description, state=query.get("state"))
    pending = ConsentRequest(
        crm="salesforce",
        client=client,
        redirect_uri=redirect_uri,
        state=query.get("state"),
        scopes=scopes,
        code_challenge=query.get("code_challenge"),
        login_hint=query.get("login_hint"),
    )
    return consent.consent_page(state, pending, request.path)


def _authorize_refusal(
    request: web.Request, scopes: tuple[str, ...], *, is_pkce_required: bool
) -> tuple[str, str] | None:
    query = request.query
    if query.get("response_type") != "code":
        return "unsupported_response_type", "response type not supported"
    unknown = [scope for scope in scopes if scope not in KNOWN_SCOPES]
    if unknown:
        return "invalid_scope", f"the requested scope is not allowed or not simulated: {' '.join(unknown)}"
    challenge = query.get("code_challenge")
    if challenge is None:
        return ("invalid_request", "missing required code challenge") if is_pkce_required else None
    if not is_challenge(challenge) or query.get("code_challenge_method", "S256") != "S256":
        return "invalid_request", "invalid code challenge"
    return None


async def decide(request: web.Request) -> web.Response:
    """Answer the consent form."""
    return await consent.decide(request, "salesforce", _approve)


def _approve(state: SandboxState, pending: ConsentRequest, approval: Approval) -> str:
    book = state.grants["salesforce"]
    code = AuthorizationCode(
        value=f"aPrx{secrets.token_urlsafe(48)}==",
        approval=approval,
        redirect_uri=pending.redirect_uri,
        code_challenge=pending.code_challenge,
        expires_at=book.clock() + state.switches.salesforce.code_life_s,
    )
    book.add_code(code)
    return code.value
