"""sObject Collections: up to 200 records a call, results in the order of the request, partial success by default.

REST guide "sObject Collections": create, update, upsert, read, delete.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from aiohttp import web

from sandbox.replies import RefusedError, read_json_object
from sandbox.salesforce.binding import WRONG_TYPE, bind
from sandbox.salesforce.errors import RecordError, WriteResult, refuse
from sandbox.salesforce.gate import Call
from sandbox.salesforce.ids import to_18
from sandbox.salesforce.rendering import render_record
from sandbox.salesforce.schema import Field, ObjectType
from sandbox.salesforce.writing import Writer
from sandbox.state import JOURNAL_RECORDS

MOST_RECORDS = 200
MOST_READ_BY_POST = 2000
MOST_CHUNKS = 10
_TOO_MANY = "record limit reached. cannot submit more than {} records in this call"
_ROLLED_BACK = RecordError(
    "ALL_OR_NONE_OPERATION_ROLLED_BACK",
    "Record rolled back because not all records were valid and the request was using AllOrNone header",
)
Write = Callable[[ObjectType, dict[str, Any]], WriteResult]


async def create(call: Call) -> web.Response:
    """``POST composite/sobjects``."""
    body = await read_json_object(call.request)
    return _write(call, body, call.writer().create)


async def update(call: Call) -> web.Response:
    """``PATCH composite/sobjects``; an id that comes twice is refused the second time."""
    body = await read_json_object(call.request)
    writer = call.writer()
    seen: set[str | None] = set()

    def update_once(kind: ObjectType, raw: dict[str, Any]) -> WriteResult:
        record_id = to_18(str(raw.get("id") or raw.get("Id") or ""))
        if record_id is not None and record_id in seen:
            return WriteResult(
                record_id, errors=(RecordError(call.switches.duplicate_id_code, f"duplicate id: {record_id}"),)
            )
        seen.add(record_id)
        return writer.update(kind, raw)

    return _write(call, body, update_once)


async def upsert(call: Call) -> web.Response:
    """``PATCH composite/sobjects/{object}/{key field}``; a key that comes twice is refused the second time."""
    body = await read_json_object(call.request)
    kind = call.object_type(call.request.match_info["object"])
    key = _collection_key(call, kind, call.request.match_info["key"])
    writer = call.writer()
    seen: set[str] = set()

    def upsert_once(record_kind: ObjectType, raw: dict[str, Any]) -> WriteResult:
        if record_kind.name != kind.name:
            message = f"sObject type {record_kind.name} does not match {kind.name} of the path"
            return WriteResult(errors=(RecordError("INVALID_TYPE", message),))
        if key.name == "Id":
            return writer.update(kind, raw)
        value = str(bind(kind, raw).values.get(key.name)).casefold()
        if value in seen and value != "none":
            message = f"Duplicate external id specified: {value}"
            return WriteResult(errors=(RecordError("DUPLICATE_VALUE", message, (key.name,)),))
        seen.add(value)
        return writer.upsert(kind, key, raw)

    return _write(call, body, upsert_once, is_upsert=True)


def _collection_key(call: Call, kind: ObjectType, name: str) -> Field:
    key = kind.find(name)
    is_lookup = key is not None and key.is_id_lookup and call.switches.collections_email_upsert
    if key is None or not (key.is_external_id or key.name == "Id" or is_lookup):
        message = f"Provided external ID field does not exist or is not accessible: {name}"
        raise refuse(404, "NOT_FOUND", message)
    return key


def _write(call: Call, body: dict[str, Any], write: Write, *, is_upsert: bool = False) -> web.Response:
    records = _records(call, body)
    call.request[JOURNAL_RECORDS] = len(records)
    kinds = _kinds(call, records)
    if call.switches.unknown_field == "call":
        _check_bound(kinds, records)
    results = [_named(write(kind, raw)) for kind, raw in zip(kinds, records, strict=True)]
    if body.get("allOrNone") is True and not all(result.is_success for result in results):
        call.org.roll_back()
        results = [WriteResult(errors=result.errors or (_ROLLED_BACK,)) for result in results]
    return web.json_response([_render(result, is_upsert=is_upsert) for result in results])


def _records(call: Call, body: dict[str, Any]) -> list[dict[str, Any]]:
    unknown = set(body) - {"allOrNone", "records"}
    if unknown:
        raise refuse(400, "JSON_PARSER_ERROR", f'Unrecognized field "{min(unknown)}"')
    if not isinstance(body.get("allOrNone", False), bool):
        raise refuse(400, "JSON_PARSER_ERROR", "Cannot deserialize instance of boolean: allOrNone")
    records = body.get("records")
    if not isinstance(records, list) or not all(isinstance(record, dict) for record in records):
        raise refuse(400, "JSON_PARSER_ERROR", "Cannot deserialize instance of list: records")
    if not records:
        raise refuse(400, "REQUIRED_FIELD_MISSING", "records must not be empty")
    if len(records) > MOST_RECORDS:
        raise refuse(400, call.switches.over_limit_code, _TOO_MANY.format(MOST_RECORDS))
    return records


def _kinds(call: Call, records: list[dict[str, Any]]) -> list[ObjectType]:
    kinds: list[ObjectType] = []
    chunks = 0
    for record in records:
        attributes = record.get("attributes")
        name = attributes.get("type") if isinstance(attributes, dict) else None
        if not isinstance(name, str):
            raise refuse(400, "INVALID_FIELD", "Required attribute missing: attributes.type")
        kinds.append(_writable_kind(call, name))
        chunks += len(kinds) == 1 or kinds[-1].name != kinds[-2].name
    if chunks > MOST_CHUNKS:
        message = "Cannot have more than 10 chunks in a single operation. Please rearrange the data to reduce chunking."
        raise refuse(400, "LIMIT_EXCEEDED", message)
    return kinds


def _writable_kind(call: Call, name: str) -> ObjectType:
    try:
        kind = call.object_type(name)
    except RefusedError as error:
        raise refuse(400, "INVALID_TYPE", f"sObject type '{name}' is not supported.") from error
    if not kind.is_writable:
        raise refuse(400, "CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY", f"entity type {kind.name} does not support this call")
    return kind


def _check_bound(kinds: list[ObjectType], records: list[dict[str, Any]]) -> None:
    for kind, raw in zip(kinds, records, strict=True):
        errors = bind(kind, raw).errors
        if errors:
            raise refuse(400, errors[0].status_code, errors[0].message)


def _named(result: WriteResult) -> WriteResult:
    """Call a wrong JSON type by its per-record name; as the refusal of a whole call it is a parser error."""
    renamed = (
        replace(error, status_code="INVALID_TYPE_ON_FIELD_IN_RECORD") if error.status_code == WRONG_TYPE else error
        for error in result.errors
    )
    return replace(result, errors=tuple(renamed))


def _render(result: WriteResult, *, is_upsert: bool) -> dict[str, Any]:
    rendered: dict[str, Any] = {"id": result.record_id} if result.record_id else {}
    rendered |= {"success": result.is_success, "errors": [error.in_collection() for error in result.errors]}
    return rendered | ({"created": result.is_created} if is_upsert and result.is_success else {})


async def delete(call: Call) -> web.Response:
    """``DELETE composite/sobjects?ids=a,b&allOrNone=false``."""
    ids = [part.strip() for part in call.request.query.get("ids", "").split(",") if part.strip()]
    if not ids:
        raise refuse(400, "MALFORMED_ID", "ids must not be empty")
    if len(ids) > MOST_RECORDS:
        raise refuse(400, call.switches.over_limit_code, _TOO_MANY.format(MOST_RECORDS))
    call.request[JOURNAL_RECORDS] = len(ids)
    writer = call.writer()
    results = [_delete_one(call, writer, given) for given in ids]
    if call.request.query.get("allOrNone") == "true" and not all(result.is_success for result in results):
        call.org.roll_back()
        results = [WriteResult(errors=result.errors or (_ROLLED_BACK,)) for result in results]
    return web.json_response([_render(result, is_upsert=False) for result in results])


def _delete_one(call: Call, writer: Writer, given: str) -> WriteResult:
    for name in ("Lead", "Contact", "Account"):
        kind = call.object_type(name)
        if given.startswith(kind.prefix):
            return writer.delete(kind, given)
    return WriteResult(errors=(RecordError("MALFORMED_ID", f"malformed id {given}"),))


async def read(call: Call) -> web.Response:
    """``POST`` (ids and fields in the body) or ``GET`` (in the query) ``composite/sobjects/{object}``."""
    kind = call.object_type(call.request.match_info["object"])
    if call.request.method == "POST":
        body = await read_json_object(call.request)
        ids, fields, most = body.get("ids"), body.get("fields"), MOST_READ_BY_POST
    else:
        query = call.request.query
        ids, fields, most = query.get("ids", "").split(","), query.get("fields", "").split(","), MOST_RECORDS
    if not isinstance(ids, list) or not isinstance(fields, list) or not ids or not fields:
        raise refuse(400, "JSON_PARSER_ERROR", "ids and fields must be lists that are not empty")
    if len(ids) > most:
        raise refuse(400, call.switches.over_limit_code, _TOO_MANY.format(most))
    names = [_known_name(kind, str(name)) for name in fields]
    call.request[JOURNAL_RECORDS] = len(ids)
    return web.json_response([_read_one(call, kind, str(given), names) for given in ids])


def _known_name(kind: ObjectType, name: str) -> str:
    known = kind.find(name)
    if known is None:
        raise refuse(400, "INVALID_FIELD", f"No such column '{name}' on sobject of type {kind.name}")
    return known.name


def _read_one(call: Call, kind: ObjectType, given: str, names: list[str]) -> dict[str, Any] | None:
    record = call.writer().locate(kind, given)
    return None if isinstance(record, RecordError) else render_record(kind, record, names, call.version)
