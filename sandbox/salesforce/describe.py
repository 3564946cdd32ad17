"""Describe, global and per object, API versions and limits (REST guide)."""

from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Any

from aiohttp import web

from sandbox.salesforce.catalog import COUNTRIES, OBJECTS, STATES
from sandbox.salesforce.errors import refuse
from sandbox.salesforce.gate import OLDEST_VERSION, Call
from sandbox.salesforce.schema import Field, ObjectType
from sandbox.state import state_of

_SEASONS = ("Spring", "Summer", "Winter")
_SPRING_2020_NUMBER = 48  # v48.0 is Spring '20; three releases a year follow


async def versions(request: web.Request) -> web.Response:
    """``GET /services/data``, the one call that needs no session."""
    listed = []
    for number in range(OLDEST_VERSION, state_of(request).switches.salesforce.newest_version + 1):
        years, season = divmod(number - _SPRING_2020_NUMBER, len(_SEASONS))
        year = 20 + years + (season == len(_SEASONS) - 1)
        listed.append(
            {"label": f"{_SEASONS[season]} '{year}", "url": f"/services/data/v{number}.0", "version": f"{number}.0"}
        )
    return web.json_response(listed)


async def resources(call: Call) -> web.Response:
    """``GET /services/data/vNN.0``: the resources of this version."""
    names = ("limits", "query", "queryAll", "sobjects", "composite")
    return web.json_response({name: f"/services/data/{call.version}/{name}" for name in names})


async def limits(call: Call) -> web.Response:
    """``GET limits``."""
    quota = call.switches.daily_quota
    return web.json_response(
        {
            "DailyApiRequests": {"Max": quota, "Remaining": max(0, quota - call.org.api_calls)},
            "DataStorageMB": {"Max": 1024, "Remaining": 1000},
        }
    )


async def describe_global(call: Call) -> web.Response:
    """``GET sobjects``."""
    listed = [_summary(call.object_type(name), call.version) for name in OBJECTS]
    return web.json_response({"encoding": "UTF-8", "maxBatchSize": 200, "sobjects": listed})


async def describe(call: Call) -> web.Response:
    """``GET sobjects/{object}/describe``; 304 without a body when nothing changed since ``If-Modified-Since``.

    REST guide "Get Object Metadata Changes", "Conditional Request Headers"; HTTP dates are whole seconds.
    """
    kind = call.object_type(call.request.match_info["object"])
    changed_at = datetime.fromtimestamp(int(call.state.schema_changed_at), UTC)
    headers = {"Last-Modified": format_datetime(changed_at, usegmt=True)}
    since, until = call.request.if_modified_since, call.request.if_unmodified_since
    if since is not None and changed_at <= since:
        return web.Response(status=304, headers=headers)
    if until is not None and changed_at > until:
        raise refuse(412, "PRECONDITION_FAILED", "The metadata has changed since the date in If-Unmodified-Since")
    fields = [_describe_field(entry) for entry in kind.field_list]
    return web.json_response({**_summary(kind, call.version), "fields": fields}, headers=headers)


async def basic_information(call: Call) -> web.Response:
    """``GET sobjects/{object}``: the object's summary and the records that the user looked at last, here none."""
    kind = call.object_type(call.request.match_info["object"])
    return web.json_response({"objectDescribe": _summary(kind, call.version), "recentItems": []})


def _summary(kind: ObjectType, version: str) -> dict[str, Any]:
    base = f"/services/data/{version}/sobjects/{kind.name}"
    writable = kind.is_writable
    return {
        "name": kind.name,
        "label": kind.label,
        "labelPlural": kind.label_plural,
        "keyPrefix": kind.prefix,
        "custom": False,
        "queryable": True,
        "createable": writable,
        "updateable": writable,
        "deletable": writable,
        "undeletable": writable,
        "searchable": writable,
        "urls": {"sobject": base, "describe": f"{base}/describe", "rowTemplate": f"{base}/{{ID}}"},
    }


def _describe_field(known: Field) -> dict[str, Any]:
    labels = _code_names(known.name)
    values = [
        {"active": True, "defaultValue": value == known.default, "label": labels.get(value, value), "value": value}
        for value in known.picklist
    ]
    return {
        "name": known.name,
        "label": known.label,
        "type": known.type,
        "length": known.length,
        "byteLength": known.length * 3,
        "precision": known.precision,
        "scale": known.scale,
        "digits": known.digits,
        "nillable": not known.is_required,
        "createable": known.is_writable,
        "updateable": known.is_writable,
        "defaultedOnCreate": known.default is not None or known.name == "OwnerId",
        "defaultValue": known.default if known.type == "boolean" else None,
        "unique": known.is_unique,
        "caseSensitive": False,
        "externalId": known.is_external_id,
        "idLookup": known.is_upsert_key,
        "filterable": known.is_filterable,
        "sortable": known.is_filterable,
        "picklistValues": values,
        "restrictedPicklist": known.is_restricted,
        "calculated": False,
        "autoNumber": False,
        "referenceTo": list(known.reference_to),
        "relationshipName": known.relationship,
        "custom": known.is_custom,
        "deprecatedAndHidden": False,
        "inlineHelpText": None,
    }


def _code_names(field_name: str) -> dict[str, str]:
    """Return code -> name for the code fields of an org with State and Country picklists; nothing for other fields."""
    if not field_name.endswith(("StateCode", "CountryCode")):
        return {}
    names = STATES if field_name.endswith("StateCode") else COUNTRIES
    return {code: name for name, code in names.items()}
