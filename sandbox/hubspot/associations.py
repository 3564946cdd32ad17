"""Reading the associations of one record (developer documentation "Associate records", "Retrieve associations").

Dated and ``v4`` paths answer with type ids and labels, ``v3`` paths with ids and type names. Writing associations apart
from a create is not simulated: there is no such route, so it is answered 404 or 405.
"""

from collections.abc import Callable, Sequence
from typing import Any

from aiohttp import web

from sandbox.hubspot.catalog import object_type
from sandbox.hubspot.errors import not_found, validation
from sandbox.hubspot.gate import Call
from sandbox.hubspot.links import CATEGORY, LINK_TYPES, linked
from sandbox.hubspot.schema import ObjectType
from sandbox.hubspot.store import HubspotRecord
from sandbox.state import JOURNAL_RECORDS

MOST_LISTED = 500


async def read(call: Call) -> web.Response:
    """``GET .../{type}/{id}/associations/{to}``: ``toObjectId`` with the types of the association."""
    return _page(call, lambda to_id, type_ids: [{"toObjectId": to_id, "associationTypes": _labels(type_ids)}])


async def read_v3(call: Call) -> web.Response:
    """``GET /crm/v3/objects/{type}/{id}/associations/{to}``: one entry of id and type name for each type."""
    return _page(call, _named)


def with_associations(
    call: Call, kind: ObjectType, records: Sequence[HubspotRecord], rendered: list[dict[str, Any]]
) -> list[dict[str, Any]]:
    """Add the associations that ``?associations=`` asks for, comma-joined or repeated, to rendered records.

    Raises:
        RefusedError: 400, one of the names is no object type.
    """
    names = [name for part in call.request.query.getall("associations", []) for name in part.split(",") if name]
    for other in [_object_type(name) for name in names]:
        found = linked(call.portal, kind, other)
        for record, body in zip(records, rendered, strict=True):
            if record.id in found:
                targets = sorted(found[record.id].items(), key=lambda entry: int(entry[0]))
                entries = [entry for to_id, type_ids in targets for entry in _named(to_id, type_ids)]
                body.setdefault("associations", {})[other.name] = {"results": entries}
    return rendered


def _object_type(name: str) -> ObjectType:
    kind = object_type(name)
    if kind is None:
        raise validation(f"Unable to infer object type from: {name}").refusal()
    return kind


def _labels(type_ids: set[int]) -> list[dict[str, Any]]:
    return [
        {"category": CATEGORY, "typeId": type_id, "label": LINK_TYPES[type_id].label} for type_id in sorted(type_ids)
    ]


def _named(to_id: str, type_ids: set[int]) -> list[dict[str, Any]]:
    return [{"id": to_id, "type": LINK_TYPES[type_id].name} for type_id in sorted(type_ids)]


def _page(call: Call, entries: Callable[[str, set[int]], list[dict[str, Any]]]) -> web.Response:
    query, record_id = call.request.query, call.request.match_info["id"]
    limit, after = query.get("limit", str(MOST_LISTED)), query.get("after", "0")
    if not limit.isdecimal() or not after.isdecimal() or not 1 <= int(limit) <= MOST_LISTED:
        raise validation(f"limit must be between 1 and {MOST_LISTED}, after a whole number").refusal()
    if call.portal.get(call.kind.name, record_id) is None:
        raise not_found().refusal()
    found = linked(call.portal, call.kind, _object_type(call.request.match_info["to"])).get(record_id, {})
    targets = sorted(int(to_id) for to_id in found if int(to_id) > int(after))
    page = [str(number) for number in targets[: int(limit)]]
    call.request[JOURNAL_RECORDS] = len(page)
    body: dict[str, Any] = {"results": [entry for to_id in page for entry in entries(to_id, found[to_id])]}
    if len(targets) > len(page):
        body["paging"] = {"next": {"after": page[-1]}}
    return web.json_response(body)
