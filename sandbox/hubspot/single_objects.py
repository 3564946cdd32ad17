"""Single-object endpoints: POST, GET, PATCH, DELETE (developer documentation of the objects APIs)."""

from aiohttp import web

from sandbox.hubspot.associations import with_associations
from sandbox.hubspot.errors import Problem, validation
from sandbox.hubspot.gate import Call
from sandbox.hubspot.inputs import read_associations, read_properties
from sandbox.hubspot.reading import asked_properties, refuse_history
from sandbox.hubspot.rendering import render, render_written
from sandbox.hubspot.store import HubspotRecord
from sandbox.hubspot.writing import Written
from sandbox.replies import read_json_object
from sandbox.state import JOURNAL_RECORDS


async def create(call: Call) -> web.Response:
    """``POST .../{type}`` answers 201; an e-mail that exists answers 409."""
    body = await read_json_object(call.request)
    written = call.writer().create(read_properties(body, call.switches), read_associations(body))
    return _answer(call, written, 201)


async def read(call: Call) -> web.Response:
    """``GET .../{type}/{id}[?idProperty=][?associations=]``."""
    refuse_history(call)
    kind, record = call.kind, _located(call)
    rendered = [render(kind, record, asked_properties(call.request))]
    return web.json_response(with_associations(call, kind, [record], rendered)[0])


async def update(call: Call) -> web.Response:
    """``PATCH .../{type}/{id}[?idProperty=]`` answers 200."""
    body = await read_json_object(call.request)
    record = _located(call)
    return _answer(call, call.writer().update(record, read_properties(body, call.switches)), 200)


async def archive(call: Call) -> web.Response:
    """``DELETE .../{type}/{id}`` answers 204."""
    call.writer().archive(_located(call))
    return web.Response(status=204)


def _located(call: Call) -> HubspotRecord:
    id_property = call.request.query.get("idProperty")
    if id_property is not None and id_property != "hs_object_id" and not call.kind.is_key(id_property):
        raise validation(f"Unable to perform read by non-unique {call.kind.type_id} property {id_property}").refusal()
    record = call.writer().locate(call.request.match_info["id"], id_property)
    if isinstance(record, Problem):
        raise record.refusal()
    return record


def _answer(call: Call, written: Written | Problem, status: int) -> web.Response:
    call.request[JOURNAL_RECORDS] = 1
    if isinstance(written, Problem):
        raise written.refusal()
    return web.json_response(render_written(call.kind, written.record), status=status)
