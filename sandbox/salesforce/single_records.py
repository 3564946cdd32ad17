"""Single-record endpoints: by id and by external id (REST guide, "sObject Rows by External ID")."""

from typing import Any

from aiohttp import web

from sandbox.replies import read_json_object
from sandbox.salesforce.errors import RecordError, WriteResult, refuse
from sandbox.salesforce.gate import Call
from sandbox.salesforce.rendering import render_record
from sandbox.salesforce.schema import Field, ObjectType
from sandbox.state import JOURNAL_RECORDS


async def create(call: Call) -> web.Response:
    """``POST sobjects/{object}`` answers 201 with the id."""
    kind = _writable(call)
    raw = await read_json_object(call.request)
    result = call.writer().create(kind, raw)
    _raise_first(result)
    return web.json_response({"id": result.record_id, "success": True, "errors": []}, status=201)


async def read(call: Call) -> web.Response:
    """``GET sobjects/{object}/{id}[?fields=A,B]``; without ``fields`` all of them."""
    kind = call.object_type(call.request.match_info["object"])
    record = call.writer().locate(kind, call.request.match_info["id"])
    if isinstance(record, RecordError):
        raise refuse(404, "NOT_FOUND", "The requested resource does not exist")
    return web.json_response(render_record(kind, record, _wanted(call, kind), call.version))


def _wanted(call: Call, kind: ObjectType) -> list[str]:
    listed = [name for name in call.request.query.get("fields", "").split(",") if name]
    unknown = [name for name in listed if kind.find(name) is None]
    if unknown:
        raise refuse(400, "INVALID_FIELD", f"No such column '{unknown[0]}' on sobject of type {kind.name}")
    return [known.name for name in listed if (known := kind.find(name))] or list(kind.fields)


async def update(call: Call) -> web.Response:
    """``PATCH sobjects/{object}/{id}`` answers 204."""
    kind = _writable(call)
    raw = await read_json_object(call.request)
    if raw.get("id") or raw.get("Id"):
        raise refuse(400, "INVALID_FIELD", "The Id field should not be specified in the sobject data.")
    result = call.writer().update(kind, {**raw, "id": call.request.match_info["id"]})
    _raise_first(result)
    return web.Response(status=204)


async def delete(call: Call) -> web.Response:
    """``DELETE sobjects/{object}/{id}`` answers 204."""
    result = call.writer().delete(_writable(call), call.request.match_info["id"])
    _raise_first(result)
    return web.Response(status=204)


async def upsert(call: Call) -> web.Response:
    """``PATCH sobjects/{object}/{key}/{value}``: 201 created, 200 updated, 300 with URLs when several match."""
    kind = _writable(call)
    key, value = _key(call, kind), call.request.match_info["value"]
    raw: dict[str, Any] = await read_json_object(call.request)
    if any(name.lower() == key.name.lower() for name in raw):
        message = f"The {key.name} field should not be specified in the sobject data."
        raise refuse(400, "INVALID_FIELD", message)
    writer = call.writer()
    if key.name != "Id" and len(matches := writer.matches(kind, key, value)) > 1:
        urls = [f"/services/data/{call.version}/sobjects/{kind.name}/{match['Id']}" for match in matches]
        return web.json_response(urls, status=300)
    result = (
        writer.update(kind, {**raw, "id": value})
        if key.name == "Id"
        else writer.upsert(kind, key, {**raw, key.name: value})
    )
    _raise_first(result)
    body: dict[str, Any] = {"id": result.record_id, "success": True, "errors": [], "created": result.is_created}
    return web.json_response(body, status=201 if result.is_created else 200)


async def read_by_key(call: Call) -> web.Response:
    """``GET sobjects/{object}/{key}/{value}``."""
    kind = call.object_type(call.request.match_info["object"])
    matches = call.writer().matches(kind, _key(call, kind), call.request.match_info["value"])
    if not matches:
        raise refuse(404, "NOT_FOUND", "The requested resource does not exist")
    if len(matches) > 1:
        urls = [f"/services/data/{call.version}/sobjects/{kind.name}/{match['Id']}" for match in matches]
        return web.json_response(urls, status=300)
    return web.json_response(render_record(kind, matches[0], _wanted(call, kind), call.version))


def _key(call: Call, kind: ObjectType) -> Field:
    name = call.request.match_info["key"]
    key = kind.find(name)
    if key is None or not key.is_upsert_key:
        message = f"Provided external ID field does not exist or is not accessible: {name}"
        raise refuse(404, "NOT_FOUND", message)
    return key


def _writable(call: Call) -> ObjectType:
    kind = call.object_type(call.request.match_info["object"])
    if not kind.is_writable:
        raise refuse(405, "METHOD_NOT_ALLOWED", f"HTTP Method not allowed for {kind.name}.")
    call.request[JOURNAL_RECORDS] = 1
    return kind


def _raise_first(result: WriteResult) -> None:
    if result.errors:
        raise result.errors[0].as_call_error()
