"""Reading by id: batch read and the paged list (developer documentation of the objects APIs)."""

from typing import Any

from aiohttp import web

from sandbox.hubspot.associations import with_associations
from sandbox.hubspot.batch import read_inputs, respond_read
from sandbox.hubspot.errors import Problem, validation
from sandbox.hubspot.gate import Call
from sandbox.hubspot.rendering import render
from sandbox.state import JOURNAL_RECORDS

DEFAULT_LIMIT = 10
MOST_LISTED = 100
_NO_HISTORY = "propertiesWithHistory is not simulated here: ask for properties"


async def batch_read(call: Call) -> web.Response:
    """``POST .../batch/read`` by id, or by ``idProperty``."""
    inputs, body = await read_inputs(call, "idProperty", "properties", "propertiesWithHistory")
    kind, id_property = call.kind, body.get("idProperty")
    if body.get("propertiesWithHistory"):
        raise validation(_NO_HISTORY).refusal()
    if id_property is not None and id_property != "hs_object_id" and not kind.is_key(str(id_property)):
        message = f"Unable to perform read by non-unique {kind.type_id} property {id_property}"
        raise validation(message).refusal()
    writer = call.writer()
    wanted = [str(name) for name in body.get("properties") or ()]
    results: dict[str, dict[str, Any]] = {}
    missing: list[str] = []
    for one in inputs:
        given = str(one.get("id", ""))
        record = writer.locate(given, id_property)
        if isinstance(record, Problem):
            missing.append(given)
        else:
            results[record.id] = render(kind, record, wanted)
    return respond_read(call, list(results.values()), missing)


def asked_properties(request: web.Request) -> list[str]:
    """Return the ``properties`` of the query, comma-joined or repeated."""
    return [name for part in request.query.getall("properties", []) for name in part.split(",") if name]


def refuse_history(call: Call) -> None:
    """Refuse a query that asks for the history of values, which is not kept.

    Raises:
        RefusedError: 400.
    """
    if any(call.request.query.getall("propertiesWithHistory", [])):
        raise validation(_NO_HISTORY).refusal()


async def list_records(call: Call) -> web.Response:
    """``GET .../{type}?limit=&after=&properties=&associations=&archived=``: ordered by id, 100 a page at most."""
    query, kind = call.request.query, call.kind
    refuse_history(call)
    limit = _whole(query.get("limit", str(DEFAULT_LIMIT)), "limit")
    after = _whole(query.get("after", "0"), "after")
    if not 1 <= limit <= MOST_LISTED:
        raise validation(f"limit must be between 1 and {MOST_LISTED}").refusal()
    is_archived = query.get("archived") == "true"
    ids = sorted(
        int(record.id)
        for record in call.portal.objects[kind.name].values()
        if record.is_archived == is_archived and int(record.id) > after
    )
    page = [call.portal.objects[kind.name][str(number)] for number in ids[:limit]]
    call.request[JOURNAL_RECORDS] = len(page)
    wanted = asked_properties(call.request)
    rendered = [render(kind, record, wanted) for record in page]
    body: dict[str, Any] = {"results": with_associations(call, kind, page, rendered)}
    if len(ids) > limit:
        last = page[-1].id
        link = (
            f"{call.state.base_url('hubspot')}{call.request.path.removeprefix('/hubspot')}?limit={limit}&after={last}"
        )
        body["paging"] = {"next": {"after": last, "link": link}}
    return web.json_response(body)


def _whole(text: str, name: str) -> int:
    if not text.isdecimal():
        raise validation(f"{name} was not a whole number: {text}").refusal()
    return int(text)
