"""Property metadata (properties API)."""

from typing import Any

from aiohttp import web

from sandbox.hubspot.errors import not_found
from sandbox.hubspot.gate import Call
from sandbox.hubspot.schema import ObjectType, Property

_CREATED_AT = "2024-01-15T09:00:00.000Z"
_GROUPS = {"contacts": "contactinformation", "companies": "companyinformation", "deals": "dealinformation"}


async def list_properties(call: Call) -> web.Response:
    """``GET /crm/properties/{version}/{type}``: all of them, on one page."""
    kind = call.kind
    return web.json_response({"results": [_describe(kind, entry, at) for at, entry in enumerate(kind.property_list)]})


async def read_property(call: Call) -> web.Response:
    """``GET /crm/properties/{version}/{type}/{name}``."""
    kind = call.kind
    name = call.request.match_info["name"]
    if name not in kind.properties:
        raise not_found(f"Property {name} does not exist").refusal()
    at = list(kind.properties).index(name)
    return web.json_response(_describe(kind, kind.properties[name], at))


def _describe(kind: ObjectType, known: Property, at: int) -> dict[str, Any]:
    options = [
        {"label": label, "value": value, "description": "", "displayOrder": order, "hidden": False}
        for order, (value, label) in enumerate(known.options)
    ]
    return {
        "name": known.name,
        "label": known.label,
        "type": known.type,
        "fieldType": known.field_type,
        "description": "",
        "groupName": _GROUPS[kind.name],
        "options": options,
        "displayOrder": at,
        "calculated": known.is_calculated,
        "externalOptions": known.name == "hubspot_owner_id",
        "archived": False,
        "hasUniqueValue": known.is_unique,
        "hidden": known.is_hidden,
        "hubspotDefined": not known.is_custom,
        "formField": known.is_writable,
        "dataSensitivity": "non_sensitive",
        "modificationMetadata": {
            "archivable": known.is_custom,
            "readOnlyDefinition": not known.is_custom,
            "readOnlyOptions": not known.is_custom,
            "readOnlyValue": not known.is_writable,
        },
        "createdAt": _CREATED_AT,
        "updatedAt": _CREATED_AT,
    }
