"""The control API under ``/_sandbox``, for tests and for whoever runs the demo. It has no authentication.

============================================== =====================================================================
``GET  switches``                              every switch of both CRMs (the table stands in ``sandbox.switches``)
``POST switches``                              change some: ``{"salesforce": {"latency_ms": 100}}``; replies with all
``POST reset``                                 default accounts, no records, no grants, configured switches
``GET  accounts/{crm}``                        orgs or portals: account_id, name, user_id, user
``POST accounts/{crm}``                        make one more: ``{"name": "Initech"}``
``GET  records/{crm}/{account}/{object}``      stored records, archived ones too; ``?limit=&offset=``
``POST records/{crm}/{account}/{object}``      store records under the CRM's own rules: ``{"records": [{...}]}``
``POST tokens/{crm}/{account}``                a token reply without the consent page: ``{"scopes": [...]}``
``POST tokens/{crm}/{account}/expire``         every access token of the account expires now
``POST tokens/{crm}/{account}/revoke``         the customer uninstalls the app: every grant of the account ends
``GET  journal``                               latest requests, oldest first; ``?since=`` epoch seconds
``GET  stats``                                 counts by route and status, requests in flight now and at most, the seed
============================================== =====================================================================
"""

from aiohttp import web
from pydantic import ValidationError

from sandbox.config import Crm
from sandbox.control_records import list_records, store_records
from sandbox.grants import Approval
from sandbox.hubspot import oauth as hubspot_oauth
from sandbox.hubspot import oauth_tokens
from sandbox.replies import NotJsonError, RefusedError, read_json_object
from sandbox.salesforce import oauth as salesforce_oauth
from sandbox.salesforce import oauth_tokens as salesforce_tokens
from sandbox.state import SandboxState, crm_of, state_of

PREFIX = "/_sandbox"


def routes() -> list[web.RouteDef]:
    """Return the control API's routes."""
    crm = "{crm:salesforce|hubspot}"
    records, tokens = f"{PREFIX}/records/{crm}/{{account}}/{{object}}", f"{PREFIX}/tokens/{crm}/{{account}}"
    return [
        web.get(f"{PREFIX}/switches", show_switches),
        web.post(f"{PREFIX}/switches", change_switches),
        web.post(f"{PREFIX}/reset", reset),
        web.get(f"{PREFIX}/accounts/{crm}", list_accounts),
        web.post(f"{PREFIX}/accounts/{crm}", add_account),
        web.get(records, list_records),
        web.post(records, store_records),
        web.post(tokens, issue_tokens),
        web.post(f"{tokens}/{{action:expire|revoke}}", end_tokens),
        web.get(f"{PREFIX}/journal", show_journal),
        web.get(f"{PREFIX}/stats", show_stats),
    ]


async def show_switches(request: web.Request) -> web.Response:
    """``GET switches``."""
    return web.json_response(state_of(request).switches.model_dump())


async def change_switches(request: web.Request) -> web.Response:
    """``POST switches``; an unknown switch or a wrong value changes nothing."""
    state = state_of(request)
    try:
        state.change_switches(await read_json_object(request))
    except ValidationError as error:
        problems = [{"switch": ".".join(map(str, one["loc"])), "problem": one["msg"]} for one in error.errors()]
        raise RefusedError(400, {"problems": problems}) from error
    except NotJsonError as error:
        raise RefusedError(400, {"problems": [{"switch": "", "problem": str(error)}]}) from error
    return web.json_response(state.switches.model_dump())


async def reset(request: web.Request) -> web.Response:
    """``POST reset``."""
    state_of(request).reset()
    return web.json_response({"reset": True})


async def list_accounts(request: web.Request) -> web.Response:
    """``GET accounts/{crm}``."""
    cards = state_of(request).accounts.cards(_crm(request))
    return web.json_response([card.to_json() for card in cards])


async def add_account(request: web.Request) -> web.Response:
    """``POST accounts/{crm}``."""
    name = (await read_json_object(request)).get("name")
    if not isinstance(name, str) or not name.strip():
        raise RefusedError(400, {"problem": "name must be a text that is not empty"})
    card = state_of(request).accounts.add(_crm(request), name.strip())
    return web.json_response(card.to_json(), status=201)


async def issue_tokens(request: web.Request) -> web.Response:
    """``POST tokens/{crm}/{account}``: what a person's consent would have led to."""
    state, crm = state_of(request), _crm(request)
    body = await read_json_object(request) if request.can_read_body else {}
    account = _account_id(request, state, crm)
    card = state.accounts.card(crm, account)
    user_id = card.user_id if card else ""
    if crm == "salesforce":
        client = state.config.salesforce_clients[0]
        scopes = tuple(body.get("scopes") or salesforce_oauth.DEFAULT_SCOPES)
        grant, refresh_token = salesforce_tokens.open_grant(state, Approval(client.client_id, account, user_id, scopes))
        return web.json_response(salesforce_tokens.token_reply(state, client, grant, refresh_token), status=201)
    client = state.config.hubspot_clients[0]
    scopes = tuple(body.get("scopes") or hubspot_oauth.KNOWN_SCOPES)
    hubspot_grant = oauth_tokens.open_grant(state, Approval(client.client_id, account, user_id, scopes))
    return web.json_response(oauth_tokens.token_reply(state, hubspot_grant), status=201)


async def end_tokens(request: web.Request) -> web.Response:
    """``POST tokens/{crm}/{account}/expire`` and ``.../revoke``."""
    state, crm = state_of(request), _crm(request)
    account = _account_id(request, state, crm)
    book = state.grants[crm]
    is_expire = request.match_info["action"] == "expire"
    count = book.expire_access_tokens(account) if is_expire else book.revoke_account(account)
    return web.json_response({"ended": count})


async def show_journal(request: web.Request) -> web.Response:
    """``GET journal``."""
    try:
        since = float(request.query.get("since", "0"))
    except ValueError as error:
        raise RefusedError(400, {"problem": "since must be epoch seconds"}) from error
    return web.json_response(state_of(request).journal.entries(since))


async def show_stats(request: web.Request) -> web.Response:
    """``GET stats``."""
    state = state_of(request)
    return web.json_response({"seed": state.seed, **state.journal.stats()})


def _crm(request: web.Request) -> Crm:
    crm = crm_of(request.match_info["crm"])
    if crm is None:
        raise web.HTTPNotFound
    return crm


def _account_id(request: web.Request, state: SandboxState, crm: Crm) -> str:
    account_id = request.match_info["account"]
    if state.accounts.card(crm, account_id) is None:
        raise RefusedError(404, {"problem": f"there is no {crm} account {account_id}"})
    return account_id
