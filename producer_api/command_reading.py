"""A sync command out of a request: its body, completed by path and header. Pure."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID, uuid4

from pydantic import TypeAdapter, ValidationError

from producer_api.problems import FieldProblem, Problem
from schemas.command import SYNC_COMMAND, PullCommand, PushCommand
from schemas.problems import explain
from schemas.values import CommandId

_COMMAND_ID: TypeAdapter[str] = TypeAdapter(CommandId)


def read_command(
    body: dict[str, Any], workspace_id: UUID, slug: str, idempotency_key: str | None
) -> PushCommand | PullCommand:
    """A valid command from a request's body; workspace and integration come from the path, the id from anywhere.

    Raises:
        Problem: 422 `invalid_command`, naming each field.
    """
    given = {"workspace_id": str(workspace_id), "integration": slug}
    if idempotency_key is not None:
        given["command_id"] = idempotency_key
    differing = [_differs(name, value) for name, value in given.items() if not _is_same(body.get(name), value)]
    if differing:
        raise _invalid(differing)
    content = {**body, **given}
    if content.get("command_id") is None:
        content["command_id"] = str(uuid4())
    try:
        return SYNC_COMMAND.validate_python(content)
    except ValidationError as problem:
        raise _invalid([FieldProblem(found.path, found.message) for found in explain(problem)]) from None


def is_command_id(text: str) -> bool:
    """Whether `text` can be the id of a command at all."""
    try:
        _COMMAND_ID.validate_python(text)
    except ValidationError:
        return False
    return True


def _is_same(in_body: object, elsewhere: str) -> bool:
    return in_body is None or (isinstance(in_body, str) and in_body.lower() == elsewhere.lower())


def _differs(name: str, value: str) -> FieldProblem:
    where = "the header Idempotency-Key" if name == "command_id" else "the path"
    return FieldProblem(name, f"differs from {where}", f"leave it out, or send {value}")


def _invalid(fields: Sequence[FieldProblem]) -> Problem:
    named = ", ".join(field.field for field in fields if field.field) or "the body as a whole"
    return Problem(422, "invalid_command", f"the command does not follow the contract: {named[:300]}", fields=fields)
