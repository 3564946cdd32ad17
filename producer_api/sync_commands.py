"""The door for sync commands over HTTP: accepted once they are durable, then followed by their id."""

import re
from typing import Any
from urllib.parse import quote
from uuid import UUID

import falcon

from crm.errors import CommandRefused, CrmError, ReauthRequired
from crm.resolution import unsupported
from crm.store.outbox import MessageTooLarge
from producer_api.bodies import json_object
from producer_api.command_reading import is_command_id, read_command
from producer_api.parts import Parts, problem_of
from producer_api.problems import FieldProblem, Problem
from producer_api.scopes import Scope
from schemas.command import PullCommand, PushCommand
from schemas.failure import COMMAND_FAILURES

_TRACEPARENT = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}(-.{1,200})?", re.ASCII)


class SyncCommands:
    """`…/integrations/{slug}/sync-commands`."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    def on_post(self, req: falcon.Request, resp: falcon.Response, workspace_id: str, slug: str) -> None:
        """Accept a command: 202, and the address where its status stands."""
        caller, workspace = self._parts.enter(req.get_header("Authorization"), workspace_id, Scope.SYNC_WRITE)
        self._parts.listed(slug)
        command = read_command(json_object(req), workspace, slug, req.get_header("Idempotency-Key"))
        if isinstance(command, PushCommand) and command.mode == "delete":
            caller.require(workspace, Scope.SYNC_DELETE)
        self._check(command)
        accepted = self._accept(command, _traceparent(req))
        address = _address(workspace, slug, accepted.command_id)
        status = self._parts.commands.status(workspace, accepted.command_id) if accepted.already_known else None
        resp.status = 202
        resp.set_header("Location", address)
        resp.media = {
            "command_id": accepted.command_id,
            "status": status.status if status else "queued",
            "already_known": accepted.already_known,
            "links": {"self": address},
        }

    def _check(self, command: PushCommand | PullCommand) -> None:
        """Refuse here what could only fail later. One that was accepted before is let through: its answer is known."""
        missing = unsupported(command)
        if missing:
            fields = [_unsupported_field(option) for option in missing]
            detail = "part of the contract, but not built yet: " + ", ".join(missing)
            raise Problem(422, "not_supported_yet", detail, fields=fields)
        try:
            self._parts.runner.resolve(command)
        except ReauthRequired:
            return  # accepted: it waits until a person has reconnected, or until it expires
        except CrmError as refusal:
            if self._parts.commands.status(command.workspace_id, command.command_id or "") is None:
                raise _with_hint(refusal) from None

    def _accept(self, command: PushCommand | PullCommand, traceparent: str | None) -> Any:
        try:
            return self._parts.commands.accept(command, traceparent=traceparent)
        except MessageTooLarge:
            detail = "the command does not fit into one message of 1,000,000 bytes; send fewer records a command"
            raise Problem(413, "command_too_large", detail) from None
        except CommandRefused as refusal:
            raise _with_hint(refusal) from None


class SyncCommand:
    """`…/integrations/{slug}/sync-commands/{command_id}`."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    def on_get(self, req: falcon.Request, resp: falcon.Response, workspace_id: str, slug: str, command_id: str) -> None:
        """How far a command is: `queued`, `running`, `waiting` (for what, until when), or its final status."""
        _, workspace = self._parts.enter(req.get_header("Authorization"), workspace_id, Scope.INTEGRATIONS_READ)
        self._parts.listed(slug)
        status = self._parts.commands.status(workspace, command_id) if is_command_id(command_id) else None
        if status is None:
            detail = "there is no command with this id in this workspace; finished ones are kept for 30 days"
            raise Problem(404, "command_not_found", detail)
        links = {"self": _address(workspace, slug, command_id)}
        if status.sync_id is not None:
            links["sync_history"] = f"/api/v1/workspaces/{workspace}/sync-history/{status.sync_id}"
        else:
            resp.set_header("Retry-After", "1")
        resp.media = {
            "command_id": status.command_id,
            "status": status.status,
            "waiting_for": status.waiting_for,
            "waiting_until": status.waiting_until.isoformat() if status.waiting_until else None,
            "sync_id": str(status.sync_id) if status.sync_id else None,
            "links": links,
        }


def _traceparent(req: falcon.Request) -> str | None:
    """The caller's trace context (W3C Trace Context section 3.2), when it is one."""
    given = req.get_header("traceparent") or ""
    return given if _TRACEPARENT.fullmatch(given) else None


def _unsupported_field(option: str) -> FieldProblem:
    field, _, value = option.partition(": ")
    message = f"{value} is not supported yet" if value else "is not supported yet"
    return FieldProblem(field, message, COMMAND_FAILURES["not_supported_yet"].hint)


def _with_hint(refusal: CrmError) -> Problem:
    problem = problem_of(refusal)
    failure = COMMAND_FAILURES.get(refusal.code)
    if failure:
        problem.extra |= {"hint": failure.hint, "retryable": failure.retryable}
    return problem


def _address(workspace_id: UUID, slug: str, command_id: str) -> str:
    return f"/api/v1/workspaces/{workspace_id}/integrations/{slug}/sync-commands/{quote(command_id, safe='')}"
