"""HubSpot's old token information, ``/oauth/v1/access-tokens`` and ``/oauth/v1/refresh-tokens``: the token is the path.

Developer documentation "OAuth tokens v1" (it stops on 2027-02-16; the dated introspection endpoint takes its place). No
client authentication: whoever knows the token may ask.
"""

from typing import Any

from aiohttp import web

from sandbox.grants import Grant
from sandbox.hubspot.errors import not_found
from sandbox.hubspot.oauth_tokens import APP_ID
from sandbox.replies import RefusedError
from sandbox.state import JOURNAL_ACCOUNT, SandboxState, state_of


async def access_token(request: web.Request) -> web.Response:
    """``GET /oauth/v1/access-tokens/{token}``."""
    state = _open_state(request)
    book = state.grants["hubspot"]
    presented = request.match_info["token"]
    access = book.access_token(presented)
    if access is None or access.is_revoked or access.is_expired(book.clock()):
        raise _unknown("access token")
    left = max(0, int(access.expires_at - book.clock()))
    told = _told(request, state, access.grant)
    return web.json_response({"token": presented, "app_id": APP_ID, "expires_in": left, **told})


async def refresh_token(request: web.Request) -> web.Response:
    """``GET /oauth/v1/refresh-tokens/{token}``."""
    state = _open_state(request)
    presented = request.match_info["token"]
    grant = state.grants["hubspot"].by_refresh_token(presented)
    if grant is None:
        raise _unknown("refresh token")
    told = _told(request, state, grant)
    return web.json_response({"token": presented, "client_id": grant.approval.client_id, **told})


async def delete_refresh_token(request: web.Request) -> web.Response:
    """``DELETE /oauth/v1/refresh-tokens/{token}`` answers 204; access tokens run on to their end."""
    state = _open_state(request)
    book = state.grants["hubspot"]
    grant = book.by_refresh_token(request.match_info["token"])
    if grant is not None:
        request[JOURNAL_ACCOUNT] = grant.approval.account_id
        book.revoke(grant, with_access_tokens=False)
    return web.Response(status=204)


def _open_state(request: web.Request) -> SandboxState:
    state = state_of(request)
    if state.switches.hubspot.oauth_v1_gone:
        raise not_found("Unable to find a resource for this path").refusal()
    return state


def _unknown(what: str) -> RefusedError:
    return not_found(f"{what} not found").refusal()


def _told(request: web.Request, state: SandboxState, grant: Grant) -> dict[str, Any]:
    request[JOURNAL_ACCOUNT] = grant.approval.account_id
    portal = state.accounts.portals[grant.approval.account_id]
    return {
        "user": portal.user_email,
        "hub_domain": portal.domain,
        "scopes": list(grant.approval.scopes),
        "hub_id": portal.hub_id,
        "user_id": portal.user_id,
        "token_type": "bearer",
    }
