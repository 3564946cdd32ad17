"""Reading request bodies: bounded, JSON or a form, with errors that say what to change."""

import json
from typing import Any, TypeVar
from urllib.parse import parse_qsl

import falcon
from pydantic import BaseModel, ValidationError

from producer_api.contract_problems import field_problems
from producer_api.problems import Problem

#: No request is larger; a command of 200 records with long values stays well below.
MAX_BODY_BYTES = 2 * 1024 * 1024
_MAX_FORM_BYTES = 16 * 1024

AnyModel = TypeVar("AnyModel", bound=BaseModel)


def json_object(req: falcon.Request) -> dict[str, Any]:
    """The request's body, a JSON object.

    Raises:
        Problem: 400 `invalid_json`, 413 `body_too_large`, 415 `unsupported_media_type`.
    """
    body = _read(req, MAX_BODY_BYTES)
    media_type = (req.content_type or "").partition(";")[0].strip().lower()
    if media_type != "application/json":
        raise Problem(415, "unsupported_media_type", "send JSON with the header `Content-Type: application/json`")
    try:
        content = json.loads(body, parse_constant=_refuse_constant)
    except UnicodeDecodeError:
        raise Problem(400, "invalid_json", "the body is not UTF-8 (RFC 8259 section 8.1)") from None
    except json.JSONDecodeError as problem:
        where = f"line {problem.lineno}, column {problem.colno}"
        raise Problem(400, "invalid_json", f"the body is not JSON: {problem.msg} at {where}") from None
    except (ValueError, RecursionError) as problem:
        raise Problem(400, "invalid_json", f"the body is not JSON: {str(problem)[:200]}") from None
    if not isinstance(content, dict):
        raise Problem(400, "invalid_json", "the body must be a JSON object")
    return content


def optional_model(req: falcon.Request, model: type[AnyModel]) -> AnyModel:
    """The body as `model`; an empty body stands for all defaults.

    Raises:
        Problem: as `json_object`, and 422 `invalid_request` naming the fields.
    """
    content = json_object(req) if req.content_length or req.get_header("Transfer-Encoding") else {}
    try:
        return model.model_validate(content)
    except ValidationError as problem:
        fields = field_problems(problem)
        raise Problem(422, "invalid_request", "the body does not follow the contract", fields=fields) from None


def form(req: falcon.Request) -> dict[str, str]:
    """The fields of a form that one of our own pages sent.

    Raises:
        Problem: 413 or 415.
    """
    media_type = (req.content_type or "").partition(";")[0].strip().lower()
    if media_type != "application/x-www-form-urlencoded":
        raise Problem(415, "unsupported_media_type", "this address takes the form of its own page only")
    body = _read(req, _MAX_FORM_BYTES)
    return dict(parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True, max_num_fields=20))


def _read(req: falcon.Request, limit: int) -> bytes:
    if (req.content_length or 0) > limit:
        raise _too_large(limit)
    # A chunked body has no length; the server marks where it ends.
    stream = req.stream if req.env.get("wsgi.input_terminated") else req.bounded_stream
    body: bytes = stream.read(limit + 1)
    if len(body) > limit:
        raise _too_large(limit)
    return body


def _too_large(limit: int) -> Problem:
    return Problem(413, "body_too_large", f"the body is larger than {limit:,} bytes; send fewer records a command")


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON (RFC 8259 section 6)")
