"""Batch endpoints: at most 100 inputs, results in no promised order, partial success with ``objectWriteTraceId``.

Developer documentation of the objects APIs (contacts, companies, deals) and "Error handling" (multi-status errors).
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from sandbox.hubspot.errors import Problem, not_found, validation
from sandbox.hubspot.gate import Call
from sandbox.hubspot.inputs import read_associations, read_properties
from sandbox.hubspot.rendering import render_written
from sandbox.hubspot.schema import ObjectType
from sandbox.hubspot.store import now_ms, wire_datetime
from sandbox.hubspot.values import NotScalarError
from sandbox.hubspot.writing import Written
from sandbox.replies import RefusedError, read_json_object
from sandbox.state import JOURNAL_RECORDS

MOST_INPUTS = 100
Write = Callable[[dict[str, Any]], Written | Problem]


@dataclass
class Reply:
    """A batch reply in the making."""

    results: list[dict[str, Any]] = field(default_factory=list)
    errors: list[dict[str, Any]] = field(default_factory=list)


async def read_inputs(call: Call, *allowed: str) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Return the ``inputs`` and the whole body of a batch request.

    Raises:
        RefusedError: 400, there are none, more than 100, or one is not an object.
    """
    body = await read_json_object(call.request)
    unknown = sorted(set(body) - {"inputs", *allowed})
    if unknown:
        raise validation(f'Invalid input JSON on line 1, column 1: Unrecognized field "{unknown[0]}"').refusal()
    inputs = body.get("inputs")
    if not isinstance(inputs, list) or not all(isinstance(one, dict) for one in inputs):
        raise validation("Invalid input JSON on line 1, column 1: inputs must be a list of objects").refusal()
    if not inputs:
        raise validation("Some required fields were not set: [inputs]").refusal()
    if len(inputs) > MOST_INPUTS:
        message = f"The number of inputs in the batch is {len(inputs)}; the maximum is {MOST_INPUTS}"
        raise validation(message).refusal()
    call.request[JOURNAL_RECORDS] = len(inputs)
    return inputs, body


async def create(call: Call) -> web.Response:
    """``POST .../batch/create`` answers 201."""
    inputs, _ = await read_inputs(call)
    if not _are_traced(inputs):
        _check_distinct_values(call, inputs)
    writer = call.writer()

    def write(one: dict[str, Any]) -> Written | Problem:
        return writer.create(read_properties(one, call.switches), read_associations(one))

    return _write(call, inputs, write, status=201)


async def update(call: Call) -> web.Response:
    """``POST .../batch/update``: by record id, or by a custom property with unique values."""
    inputs, _ = await read_inputs(call)
    for one in inputs:
        _check_key(call.kind, one, is_update=True)
    _check_distinct(inputs)
    writer = call.writer()

    def write(one: dict[str, Any]) -> Written | Problem:
        record = writer.locate(str(one["id"]), one.get("idProperty"))
        return record if isinstance(record, Problem) else writer.update(record, read_properties(one, call.switches))

    return _write(call, inputs, write, status=200, honours_traces=call.switches.trace_partial_update)


async def upsert(call: Call) -> web.Response:
    """``POST .../batch/upsert``: ``id`` is the value of ``idProperty``; results say whether they are ``new``."""
    inputs, _ = await read_inputs(call)
    for one in inputs:
        _check_key(call.kind, one, is_update=False)
    _check_distinct(inputs)
    writer = call.writer()
    is_by_email = any(one.get("idProperty") == "email" for one in inputs)

    def write(one: dict[str, Any]) -> Written | Problem:
        id_property = one.get("idProperty")
        if id_property is None or id_property == "hs_object_id":
            record = writer.locate(str(one["id"]), None)
            return record if isinstance(record, Problem) else writer.update(record, read_properties(one, call.switches))
        properties = read_properties(one, call.switches)
        if id_property == "email" and "email" not in properties and call.switches.email_upsert_needs_email:
            return validation("Partial upsert is not supported with email; set the email property too")
        return writer.upsert(id_property, str(one["id"]), properties)

    honours = call.switches.email_partial_upsert or not is_by_email
    return _write(call, inputs, write, status=200, honours_traces=honours, is_upsert=True)


async def archive(call: Call) -> web.Response:
    """``POST .../batch/archive`` answers 204; unknown ids are ignored."""
    inputs, _ = await read_inputs(call)
    writer = call.writer()
    for one in inputs:
        record = writer.locate(str(one.get("id", "")), None)
        if not isinstance(record, Problem):
            writer.archive(record)
    return web.Response(status=204)


def _check_key(kind: ObjectType, one: dict[str, Any], *, is_update: bool) -> None:
    if not isinstance(one.get("id"), str) or not one["id"].strip():
        raise validation("Some required fields were not set: [id]").refusal()
    name = one.get("idProperty")
    if name is None or name == "hs_object_id":
        return
    known = kind.properties.get(name)
    is_good = known is not None and (known.is_unique or (not is_update and kind.is_key(name)))
    if not is_good:
        action = "update" if is_update else "upsert"
        raise validation(f"Unable to perform {action} by non-unique {kind.type_id} property {name}").refusal()


def _check_distinct(inputs: list[dict[str, Any]]) -> None:
    counts = Counter(str(one["id"]).strip().casefold() for one in inputs)
    repeated = [value for value, count in counts.items() if count > 1]
    if repeated:
        message = f"Duplicate IDs found in batch input: [{', '.join(repeated)}]. IDs must be unique"
        raise validation(message, ids=repeated).refusal()


def _check_distinct_values(call: Call, inputs: list[dict[str, Any]]) -> None:
    """Refuse a create without trace ids whose own inputs clash: none of them could be named as the existing one."""
    for name in call.kind.properties:
        if call.kind.is_key(name):
            given = (str(read_properties(one, call.switches).get(name) or "").strip().casefold() for one in inputs)
            repeated = [value for value, count in Counter(given).items() if value and count > 1]
            if repeated:
                message = f"Duplicate values for unique property {name} found in batch input: [{', '.join(repeated)}]"
                raise validation(message, ids=repeated).refusal()


def _are_traced(inputs: list[dict[str, Any]]) -> bool:
    traces = [one.get("objectWriteTraceId") for one in inputs]
    return all(traces) and len(set(traces)) == len(traces)


def _write(
    call: Call,
    inputs: list[dict[str, Any]],
    write: Write,
    *,
    status: int,
    honours_traces: bool = True,
    is_upsert: bool = False,
) -> web.Response:
    if call.switches.take("silent_failure_next"):
        return _respond(call, Reply(), status)
    traces = [one.get("objectWriteTraceId") for one in inputs]
    is_partial = honours_traces and _are_traced(inputs)
    reply = Reply()
    for one, trace_id in zip(inputs, traces, strict=True):
        try:
            written = write(one)
        except (RefusedError, NotScalarError):  # the body cannot be read: nothing of the call may stay
            call.portal.roll_back()
            raise
        if isinstance(written, Problem):
            _fail(call, reply, written, trace_id if is_partial else None)
            continue
        result = render_written(call.kind, written.record)
        result |= {"objectWriteTraceId": trace_id} if trace_id is not None else {}
        reply.results.append(result | ({"new": written.is_new} if is_upsert else {}))
    _drop_some(call, reply)
    return _respond(call, reply, status)


def _fail(call: Call, reply: Reply, problem: Problem, trace_id: str | None) -> None:
    if problem.category == "OBJECT_NOT_FOUND":
        if call.switches.missing_update_ids == "error":
            reply.errors.append(problem.entry(trace_id))
        return
    if trace_id is None:
        call.portal.roll_back()
        raise problem.refusal()
    reply.errors.append(problem.entry(trace_id))


def _drop_some(call: Call, reply: Reply) -> None:
    every = call.switches.silent_drop_every
    kept: list[dict[str, Any]] = []
    for result in reply.results:
        call.portal.results_sent += 1
        if not every or call.portal.results_sent % every:
            kept.append(result)
    reply.results = kept


def _respond(call: Call, reply: Reply, status: int) -> web.Response:
    if call.switches.shuffle_results:
        call.state.choices("order of results").shuffle(reply.results)
    now = wire_datetime(now_ms())
    body: dict[str, Any] = {"status": "COMPLETE", "results": reply.results, "startedAt": now, "completedAt": now}
    if reply.errors:
        body |= {"numErrors": len(reply.errors), "errors": reply.errors}
        status = 207 if call.switches.trace_partial_status == 207 else status  # noqa: PLR2004  the switch's own values
    return web.json_response(body, status=status)


def respond_read(call: Call, results: list[dict[str, Any]], missing: Sequence[str]) -> web.Response:
    """Answer a batch read; ids that were not found become one entry of ``errors``."""
    reply = Reply(results)
    if missing:
        message = (
            f"Could not get some {call.kind.singular.upper()} objects, they may be deleted or not exist. "
            "Check that ids are valid."
        )
        entry = not_found(message).entry()
        reply.errors.append({**entry, "context": {"ids": list(missing)}})
    return _respond(call, reply, 200)
