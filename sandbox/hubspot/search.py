"""CRM search: filter groups, one sort, 200 a page, a wall at 10,000, and an index that lags (search guide)."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from aiohttp import web

from sandbox.hubspot.errors import vague_problem, validation
from sandbox.hubspot.filters import Filter, matches, read_groups, sortable_value
from sandbox.hubspot.gate import Call
from sandbox.hubspot.rendering import property_value, render
from sandbox.hubspot.schema import ObjectType
from sandbox.hubspot.store import HubspotRecord, now_ms
from sandbox.replies import read_json_object
from sandbox.state import JOURNAL_RECORDS

DEFAULT_LIMIT = 10
MOST_LIMIT = 200
WALL = 10_000
MOST_QUERY_CHARS = 3000
_SEARCHED = ("email", "firstname", "lastname", "phone", "company", "name", "domain", "website", "dealname")


@dataclass(frozen=True, slots=True)
class Sort:
    """What results are ordered by."""

    property_name: str
    is_descending: bool


async def search(call: Call) -> web.Response:
    """``POST .../{type}/search``."""
    body_size = len(await call.request.text())
    most = call.switches.search_max_body_chars
    if most and body_size > most:
        raise vague_problem()
    body = await read_json_object(call.request)
    kind = call.kind
    groups = read_groups(kind, body.get("filterGroups"), call.switches)
    limit, after = _paging(body)
    query, sort = _query(body), _sort(kind, body.get("sorts"))
    rows = [
        record
        for record in _visible(call, kind, groups)
        if (not groups or any(all(matches(kind, record, one) for one in group) for group in groups))
        and _mentions(record, query)
    ]
    rows.sort(key=lambda record: int(record.id))
    if sort is not None:
        rows.sort(key=partial(_sort_key, kind, sort), reverse=sort.is_descending)
    page = rows[after : after + limit]
    call.request[JOURNAL_RECORDS] = len(page)
    wanted = [str(name) for name in body.get("properties") or ()]
    reply: dict[str, Any] = {"total": len(rows), "results": [render(kind, record, wanted) for record in page]}
    if after + limit < len(rows):
        reply["paging"] = {"next": {"after": str(after + limit)}}
    return web.json_response(reply)


def _paging(body: dict[str, Any]) -> tuple[int, int]:
    limit, after = body.get("limit", DEFAULT_LIMIT), body.get("after") or "0"
    if isinstance(limit, bool) or not isinstance(limit, int) or not 1 <= limit <= MOST_LIMIT:
        raise validation(f"limit must be between 1 and {MOST_LIMIT}").refusal()
    if not str(after).isdecimal():
        raise vague_problem()
    if int(after) + limit > WALL:
        raise validation(f"Paging through more than {WALL} results of a search is not supported").refusal()
    return limit, int(after)


def _query(body: dict[str, Any]) -> str:
    query = body.get("query") or ""
    if not isinstance(query, str) or len(query) > MOST_QUERY_CHARS:
        raise vague_problem()
    return query.casefold()


def _mentions(record: HubspotRecord, query: str) -> bool:
    return not query or any(query in record.properties.get(name, "").casefold() for name in _SEARCHED)


def _sort(kind: ObjectType, raw: Any) -> Sort | None:
    if not raw:
        return None
    if not isinstance(raw, list) or len(raw) > 1:
        raise validation("Only one sort is supported").refusal()
    only = raw[0]
    if isinstance(only, str):
        sort = Sort(only.removeprefix("-"), only.startswith("-"))
    elif isinstance(only, dict):
        sort = Sort(str(only.get("propertyName")), only.get("direction") == "DESCENDING")
    else:
        raise vague_problem()
    if sort.property_name not in kind.properties:
        raise vague_problem()
    return sort


def _sort_key(kind: ObjectType, sort: Sort, record: HubspotRecord) -> tuple[bool, Any]:
    text = property_value(kind, record, sort.property_name)
    if text is None:
        return False, 0
    return True, sortable_value(kind.properties[sort.property_name], text)


def _visible(call: Call, kind: ObjectType, groups: Sequence[Sequence[Filter]]) -> Iterator[HubspotRecord]:
    """Yield what the lagging index holds of each record that can match at all."""
    horizon = now_ms() - call.switches.search_delay_ms
    for record in _candidates(call, kind, groups):
        if record.updated_ms <= horizon:
            yield record
        elif record.settled is not None:
            yield record.settled


def _candidates(call: Call, kind: ObjectType, groups: Sequence[Sequence[Filter]]) -> list[HubspotRecord]:
    """Narrow the search by an indexed EQ or IN when every group has one and nothing is waiting to be indexed."""
    found: dict[str, HubspotRecord] = {}
    for group in groups:
        keyed = next((one for one in group if one.property_name in kind.indexed and one.operator in {"EQ", "IN"}), None)
        if keyed is None or call.switches.search_delay_ms:
            break
        for value in keyed.values:
            found |= {record.id: record for record in call.portal.find(kind.name, keyed.property_name, value)}
    else:
        if groups:
            return list(found.values())
    return [record for record in call.portal.objects[kind.name].values() if not record.is_archived]
