"""Looking at stored records, and storing some, past OAuth and limits but under the CRM's own rules about values."""

from typing import Any

from aiohttp import web

from sandbox.hubspot.catalog import object_type as hubspot_type
from sandbox.hubspot.errors import Problem
from sandbox.hubspot.rendering import property_value
from sandbox.hubspot.schema import ObjectType as HubspotType
from sandbox.hubspot.store import HubspotRecord, Portal
from sandbox.hubspot.writing import Writer as HubspotWriter
from sandbox.replies import RefusedError, read_json_object
from sandbox.salesforce.catalog import object_type as salesforce_type
from sandbox.salesforce.schema import ObjectType as SalesforceType
from sandbox.salesforce.store import Org
from sandbox.salesforce.writing import Writer as SalesforceWriter
from sandbox.state import SandboxState, state_of


async def list_records(request: web.Request) -> web.Response:
    """``GET records/{crm}/{account}/{object}?limit=&offset=``: ``{"total", "records"}``, in the order of creation."""
    state = state_of(request)
    if request.match_info["crm"] == "salesforce":
        org, kind = _salesforce(request, state)
        records: list[dict[str, Any]] = [dict(record) for record in org.objects[kind.name].values()]
    else:
        portal, hubspot_kind = _hubspot(request, state)
        stored = portal.objects[hubspot_kind.name].values()
        records = [_hubspot_json(hubspot_kind, record) for record in stored]
    offset = _whole(request, "offset", 0)
    limit = _whole(request, "limit", len(records))
    return web.json_response({"total": len(records), "records": records[offset : offset + limit]})


def _whole(request: web.Request, name: str, default: int) -> int:
    text = request.query.get(name, str(default))
    if not text.isdecimal():
        raise RefusedError(400, {"problem": f"{name} must be a whole number"})
    return int(text)


def _hubspot_json(kind: HubspotType, record: HubspotRecord) -> dict[str, Any]:
    values = {name: property_value(kind, record, name) for name in kind.properties}
    filled = {name: value for name, value in values.items() if value is not None}
    return {"id": record.id, "archived": record.is_archived, "properties": filled}


async def store_records(request: web.Request) -> web.Response:
    """``POST records/{crm}/{account}/{object}`` with ``{"records": [{field: value}]}``; 400 when one is refused."""
    state = state_of(request)
    records = (await read_json_object(request)).get("records")
    if not isinstance(records, list) or not all(isinstance(record, dict) for record in records):
        raise RefusedError(400, {"problem": "records must be a list of objects"})
    is_salesforce = request.match_info["crm"] == "salesforce"
    store = _store_salesforce if is_salesforce else _store_hubspot
    return web.json_response({"ids": store(request, state, records)}, status=201)


def _store_salesforce(request: web.Request, state: SandboxState, records: list[dict[str, Any]]) -> list[str]:
    org, kind = _salesforce(request, state)
    org.begin()
    writer = SalesforceWriter(org, state.switches.salesforce, may_save_duplicates=True)
    ids: list[str] = []
    for at, raw in enumerate(records):
        result = writer.create(kind, raw)
        if result.record_id is None:
            org.roll_back()
            raise RefusedError(400, {"index": at, "errors": [error.in_collection() for error in result.errors]})
        ids.append(result.record_id)
    return ids


def _store_hubspot(request: web.Request, state: SandboxState, records: list[dict[str, Any]]) -> list[str]:
    portal, kind = _hubspot(request, state)
    portal.begin()
    writer = HubspotWriter(portal, kind, state.switches.hubspot, "v3")
    ids: list[str] = []
    for at, raw in enumerate(records):
        written = writer.create(raw)
        if isinstance(written, Problem):
            portal.roll_back()
            raise RefusedError(400, {"index": at, "errors": [written.entry()]})
        ids.append(written.record.id)
    return ids


def _salesforce(request: web.Request, state: SandboxState) -> tuple[Org, SalesforceType]:
    org = state.accounts.orgs.get(request.match_info["account"])
    with_state_codes = state.switches.salesforce.state_country_picklists
    kind = salesforce_type(request.match_info["object"], with_state_codes=with_state_codes)
    if org is None or kind is None:
        raise RefusedError(404, {"problem": "there is no such org or object"})
    return org, kind


def _hubspot(request: web.Request, state: SandboxState) -> tuple[Portal, HubspotType]:
    portal = state.accounts.portals.get(request.match_info["account"])
    kind = hubspot_type(request.match_info["object"])
    if portal is None or kind is None:
        raise RefusedError(404, {"problem": "there is no such portal or object"})
    return portal, kind
