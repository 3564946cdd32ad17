"""Every URL of the simulated Salesforce."""

from aiohttp import web

from sandbox.faults import oauth_call, token_call
from sandbox.salesforce import describe, identity, oauth, oauth_tokens, query, single_records, sobject_collections
from sandbox.salesforce.gate import DataHandler, data_call

_OAUTH = "/salesforce/services/oauth2"
_DATA = "/salesforce/services/data"


def routes() -> list[web.RouteDef]:
    """Return the routes; fixed segments stand before variable ones."""
    return [
        web.get(f"{_OAUTH}/authorize", oauth_call(oauth.authorize), allow_head=False),
        web.post(f"{_OAUTH}/authorize", oauth_call(oauth.decide)),
        web.post(f"{_OAUTH}/token", token_call(oauth_tokens.token)),
        web.post(f"{_OAUTH}/revoke", oauth_call(oauth_tokens.revoke)),
        web.post(f"{_OAUTH}/introspect", oauth_call(oauth_tokens.introspect)),
        web.get(f"{_OAUTH}/userinfo", oauth_call(identity.userinfo)),
        web.post(f"{_OAUTH}/userinfo", oauth_call(identity.userinfo)),
        web.get("/salesforce/id/{org}/{user}", oauth_call(identity.identity)),
        web.get(_DATA, describe.versions),
        web.get(f"{_DATA}/", describe.versions),
        *(
            web.route(method, f"{_DATA}/{{version}}{path}", data_call(handler))
            for method, path, handler in _data_handlers()
        ),
    ]


def _data_handlers() -> list[tuple[str, str, DataHandler]]:
    collections, record = "/composite/sobjects", "/sobjects/{object}/{id}"
    by_key = "/sobjects/{object}/{key}/{value:.+}"
    return [
        ("GET", "", describe.resources),
        ("GET", "/", describe.resources),
        ("GET", "/limits", describe.limits),
        ("GET", "/query", query.query),
        ("GET", "/query/", query.query),
        ("GET", "/queryAll", query.query_all),
        ("GET", "/query/{locator}", query.next_page),
        ("GET", "/sobjects", describe.describe_global),
        ("GET", "/sobjects/{object}/describe", describe.describe),
        ("POST", collections, sobject_collections.create),
        ("PATCH", collections, sobject_collections.update),
        ("DELETE", collections, sobject_collections.delete),
        ("PATCH", f"{collections}/{{object}}/{{key}}", sobject_collections.upsert),
        ("POST", f"{collections}/{{object}}", sobject_collections.read),
        ("GET", f"{collections}/{{object}}", sobject_collections.read),
        ("POST", "/sobjects/{object}", single_records.create),
        ("GET", record, single_records.read),
        ("PATCH", record, single_records.update),
        ("DELETE", record, single_records.delete),
        ("GET", by_key, single_records.read_by_key),
        ("PATCH", by_key, single_records.upsert),
    ]
