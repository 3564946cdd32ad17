"""Every URL of the simulated HubSpot.

Legacy ``v3`` (associations: ``v4``) paths name the version before the resource, dated ones after it.
"""

from aiohttp import web

from sandbox.faults import oauth_call, token_call
from sandbox.hubspot import (
    account_info,
    associations,
    batch,
    oauth,
    oauth_tokens,
    oauth_v1,
    properties,
    reading,
    search,
    single_objects,
)
from sandbox.hubspot.gate import Access, DataHandler, data_call

_OAUTH = "/hubspot/oauth"
_CRM = "/hubspot/crm"
_DATED = r"{version:\d{4}-\d\d}"


def routes() -> list[web.RouteDef]:
    """Return the routes; fixed segments stand before variable ones."""
    return [
        web.get(f"{_OAUTH}/authorize", oauth_call(oauth.authorize), allow_head=False),
        web.get(f"{_OAUTH}/{{hub_id:\\d+}}/authorize", oauth_call(oauth.authorize), allow_head=False),
        web.post(f"{_OAUTH}/authorize", oauth_call(oauth.decide)),
        web.post(f"{_OAUTH}/{{version}}/token", token_call(oauth_tokens.token)),
        web.post(f"{_OAUTH}/{{version}}/token/revoke", oauth_call(oauth_tokens.revoke)),
        web.post(f"{_OAUTH}/{{version}}/token/introspect", oauth_call(oauth_tokens.introspect)),
        web.get(f"{_OAUTH}/v1/access-tokens/{{token}}", oauth_call(oauth_v1.access_token)),
        web.get(f"{_OAUTH}/v1/refresh-tokens/{{token}}", oauth_call(oauth_v1.refresh_token)),
        web.delete(f"{_OAUTH}/v1/refresh-tokens/{{token}}", oauth_call(oauth_v1.delete_refresh_token)),
        web.delete("/hubspot/appinstalls/{version}/external-install", oauth_call(oauth_tokens.uninstall)),
        web.get("/hubspot/account-info/{version}/details", data_call(account_info.details, "none")),
        *_property_routes(),
        *_association_routes(),
        *_object_routes(),
    ]


def _property_routes() -> list[web.RouteDef]:
    bases = (f"{_CRM}/properties/{_DATED}/{{type}}", f"{_CRM}/{{version:v3}}/properties/{{type}}")
    return [
        web.get(base + path, data_call(handler, "schemas"))
        for base in bases
        for path, handler in (("", properties.list_properties), ("/{name}", properties.read_property))
    ]


def _association_routes() -> list[web.RouteDef]:
    path = "objects/{type}/{id}/associations/{to}"
    dated, legacy = f"{_CRM}/objects/{_DATED}/{{type}}/{{id}}/associations/{{to}}", f"{_CRM}/{{version:v4}}/{path}"
    return [
        web.get(dated, data_call(associations.read, "read")),
        web.get(legacy, data_call(associations.read, "read")),
        web.get(f"{_CRM}/{{version:v3}}/{path}", data_call(associations.read_v3, "read")),
    ]


def _object_routes() -> list[web.RouteDef]:
    bases = (f"{_CRM}/objects/{_DATED}/{{type}}", f"{_CRM}/{{version:v3}}/objects/{{type}}")
    return [
        web.route(method, base + path, data_call(handler, access, is_search=path == "/search"))
        for base in bases
        for method, path, handler, access in _object_handlers()
    ]


def _object_handlers() -> list[tuple[str, str, DataHandler, Access]]:
    return [
        ("POST", "/batch/create", batch.create, "write"),
        ("POST", "/batch/update", batch.update, "write"),
        ("POST", "/batch/upsert", batch.upsert, "write"),
        ("POST", "/batch/archive", batch.archive, "write"),
        ("POST", "/batch/read", reading.batch_read, "read"),
        ("POST", "/search", search.search, "read"),
        ("GET", "", reading.list_records, "read"),
        ("POST", "", single_objects.create, "write"),
        ("GET", "/{id}", single_objects.read, "read"),
        ("PATCH", "/{id}", single_objects.update, "write"),
        ("DELETE", "/{id}", single_objects.archive, "write"),
    ]
