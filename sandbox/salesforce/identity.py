"""Who a token acts for: the identity URL and ``userinfo`` (Salesforce help, "Identity URLs", "UserInfo Endpoint")."""

from typing import Any

from aiohttp import web

from sandbox.replies import RefusedError
from sandbox.salesforce.gate import session_grant
from sandbox.salesforce.store import Org
from sandbox.state import JOURNAL_ACCOUNT, SandboxState, state_of


async def identity(request: web.Request) -> web.Response:
    """``GET /id/{org}/{user}`` with the bearer token."""
    org = _org(request)
    if request.match_info["org"] != org.org_id or request.match_info["user"] != org.user_id:
        raise RefusedError(403, {"error": "Bad_Id"})
    state = state_of(request)
    return web.json_response({"asserted_user": True, "username": org.username, **_identity(state, org)})


async def userinfo(request: web.Request) -> web.Response:
    """``GET /services/oauth2/userinfo`` with the bearer token."""
    org = _org(request)
    state = state_of(request)
    sub = f"{state.base_url('salesforce')}/id/{org.org_id}/{org.user_id}"
    return web.json_response({"sub": sub, "preferred_username": org.username, **_identity(state, org)})


def _org(request: web.Request) -> Org:
    try:
        grant = session_grant(request)
    except RefusedError as error:
        raise RefusedError(403, {"error": "Bad_OAuth_Token"}) from error
    request[JOURNAL_ACCOUNT] = grant.approval.account_id
    return state_of(request).accounts.orgs[grant.approval.account_id]


def _identity(state: SandboxState, org: Org) -> dict[str, Any]:
    base = state.base_url("salesforce")
    return {
        "user_id": org.user_id,
        "organization_id": org.org_id,
        "nick_name": f"admin{org.pod}",
        "name": f"Admin {org.name}",
        "email": org.email,
        "email_verified": True,
        "user_type": "STANDARD",
        "language": "en_US",
        "locale": "en_US",
        "utcOffset": 0,
        "active": True,
        "urls": {
            "rest": f"{base}/services/data/v{{version}}/",
            "sobjects": f"{base}/services/data/v{{version}}/sobjects/",
            "query": f"{base}/services/data/v{{version}}/query/",
            "custom_domain": base,
        },
    }
