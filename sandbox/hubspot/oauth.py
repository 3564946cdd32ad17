"""HubSpot's authorization endpoint under ``/hubspot/oauth`` (developer documentation "Working with OAuth")."""

import uuid

from aiohttp import web

from sandbox import consent
from sandbox.consent_requests import ConsentRequest
from sandbox.grants import Approval, AuthorizationCode
from sandbox.pkce import is_challenge
from sandbox.state import SandboxState, state_of

OBJECT_SCOPES = tuple(
    f"crm.{part}.{name}.{access}"
    for part in ("objects", "schemas")
    for name in ("contacts", "companies", "deals")
    for access in ("read", "write")
)
KNOWN_SCOPES = ("oauth", *OBJECT_SCOPES)


async def authorize(request: web.Request) -> web.Response:
    """Show the consent page; what is wrong with the request is told on HubSpot's own page, never by redirect."""
    state = state_of(request)
    query = request.query
    try:
        client = consent.requesting_client(state, "hubspot", query.get("client_id", ""), query.get("redirect_uri", ""))
        scopes = _scopes(request)
        code_challenge = _code_challenge(request, is_required=state.switches.hubspot.pkce_required)
    except consent.StrandedError as error:
        return consent.error_page("hubspot", error)
    pending = ConsentRequest(
        crm="hubspot",
        client=client,
        redirect_uri=query["redirect_uri"],
        state=query.get("state"),
        scopes=scopes,
        code_challenge=code_challenge,
        account_id=request.match_info.get("hub_id"),
    )
    return consent.consent_page(state, pending, "/hubspot/oauth/authorize")


def _scopes(request: web.Request) -> tuple[str, ...]:
    required = request.query.get("scope", "").split()
    unknown = [scope for scope in required if scope not in KNOWN_SCOPES]
    if not required or unknown:
        raise consent.StrandedError("invalid_scope", f"scopes that this app does not have: {' '.join(unknown) or '-'}")
    optional = [scope for scope in request.query.get("optional_scope", "").split() if scope in KNOWN_SCOPES]
    return tuple(dict.fromkeys((*required, *optional)))


def _code_challenge(request: web.Request, *, is_required: bool) -> str | None:
    challenge = request.query.get("code_challenge")
    if challenge is None:
        if is_required:
            raise consent.StrandedError("invalid_request", "code_challenge is required")
        return None
    if not is_challenge(challenge) or request.query.get("code_challenge_method") != "S256":
        raise consent.StrandedError("invalid_request", "code_challenge is malformed")
    return challenge


async def decide(request: web.Request) -> web.Response:
    """Answer the consent form."""
    return await consent.decide(request, "hubspot", _approve)


def _approve(state: SandboxState, pending: ConsentRequest, approval: Approval) -> str:
    book = state.grants["hubspot"]
    code = AuthorizationCode(
        value=f"na1-{uuid.uuid4()}",
        approval=approval,
        redirect_uri=pending.redirect_uri,
        code_challenge=pending.code_challenge,
        expires_at=book.clock() + state.switches.hubspot.code_life_s,
    )
    book.add_code(code)
    return code.value
