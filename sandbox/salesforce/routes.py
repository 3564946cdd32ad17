"""Every URL of the simulated Salesforce."""

from aiohttp import web

from sandbox.faults import oauth_call, token_call
from sandbox.salesforce import describe, identity, oauth, oauth_tokens, query, single_records, sobject_collections
from sandbox.salesforce.gate import DataHandler, data_call

_MOUNTS = ("/salesforce", "")
"""Where the API lives: under its own path, and at the origin for clients that keep only the host of a URL."""


def routes() -> list[web.RouteDef]:
    """Return the routes; fixed segments stand before variable ones, and a slash at the end changes nothing."""
    return [route for mount in _MOUNTS for route in (*_oauth_routes(mount), *_data_routes(mount))]


def _oauth_routes(mount: str) -> list[web.RouteDef]:
    base = f"{mount}/services/oauth2"
    return [
        web.get(f"{base}/authorize", oauth_call(oauth.authorize), allow_head=False),
        web.post(f"{base}/authorize", oauth_call(oauth.decide)),
        web.post(f"{base}/token", token_call(oauth_tokens.token)),
        web.post(f"{base}/revoke", oauth_call(oauth_tokens.revoke)),
        web.post(f"{base}/introspect", oauth_call(oauth_tokens.introspect)),
        web.get(f"{base}/userinfo", oauth_call(identity.userinfo)),
        web.post(f"{base}/userinfo", oauth_call(identity.userinfo)),
        web.get(f"{mount}/id/{{org}}/{{user}}", oauth_call(identity.identity)),
    ]


def _data_routes(mount: str) -> list[web.RouteDef]:
    base = f"{mount}/services/data"
    return [
        web.get(base, describe.versions),
        web.get(f"{base}/", describe.versions),
        *(
            web.route(method, f"{base}/{{version}}{path}{slash}", data_call(handler))
            for method, path, handler in _data_handlers()
            for slash in ("", "/")
        ),
    ]


def _data_handlers() -> list[tuple[str, str, DataHandler]]:
    collections, record = "/composite/sobjects", "/sobjects/{object}/{id}"
    by_key = "/sobjects/{object}/{key}/{value:.+}"
    return [
        ("GET", "", describe.resources),
        ("GET", "/limits", describe.limits),
        ("GET", "/query", query.query),
        ("GET", "/queryAll", query.query_all),
        ("GET", "/query/{locator}", query.next_page),
        ("GET", "/queryAll/{locator}", query.next_page),
        ("GET", "/sobjects", describe.describe_global),
        ("GET", "/sobjects/{object}/describe", describe.describe),
        ("POST", collections, sobject_collections.create),
        ("PATCH", collections, sobject_collections.update),
        ("DELETE", collections, sobject_collections.delete),
        ("PATCH", f"{collections}/{{object}}/{{key}}", sobject_collections.upsert),
        ("POST", f"{collections}/{{object}}", sobject_collections.read),
        ("GET", f"{collections}/{{object}}", sobject_collections.read),
        ("GET", "/sobjects/{object}", describe.basic_information),
        ("POST", "/sobjects/{object}", single_records.create),
        ("GET", record, single_records.read),
        ("PATCH", record, single_records.update),
        ("DELETE", record, single_records.delete),
        ("GET", by_key, single_records.read_by_key),
        ("PATCH", by_key, single_records.upsert),
    ]
