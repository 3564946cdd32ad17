"""`crm-sync watch`: the result of one command, from history when it is there, else as it arrives."""

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from uuid import UUID

import click

from cli.answers import Answers, answers
from cli.outcome_table import report
from cli.output import Output, takes_output
from cli.problems import ExitCode, NoAnswer
from cli.sending import ResultWaiter, waiting
from cli.settings import API_URL, BOOTSTRAP_SERVERS, DATABASE_URL, KafkaAccess, is_set, workspace_or_default
from crm.settings import SettingsProblem, load
from schemas.result import SyncResult

_LOOK_AGAIN_S = 1.0


@click.command()
@click.argument("command_id")
@click.option("--workspace", type=click.UUID, help="Workspace id; default: CRM_SYNC_WORKSPACE.")
@click.option("--timeout", type=click.FloatRange(0), default=300.0, show_default=True, help="Seconds to wait.")
@takes_output
def watch(out: Output, *, command_id: str, workspace: UUID | None, timeout: float) -> int:
    """Show the result of COMMAND_ID; wait for it when it is not there yet.

    Looks into history (the API when CRM_SYNC_API_URL is set, else DATABASE_URL) and follows the results topic
    (KAFKA_BOOTSTRAP_SERVERS): what is set is used.
    """
    with _sources(workspace_or_default(workspace)) as sources:
        result = sources.wait(out, command_id, timeout)
    out.show(report([result]))
    out.document(result)
    return ExitCode.RECORDS_FAILED if result.failure_count or result.error else ExitCode.DONE


class _Sources:
    """History and the results topic; either may be missing."""

    def __init__(self, past: Answers | None, coming: ResultWaiter | None, workspace_id: UUID) -> None:
        self._past = past
        self._coming = coming
        self._workspace_id = workspace_id

    def wait(self, out: Output, command_id: str, timeout_s: float) -> SyncResult:
        """The result of a command.

        Raises:
            NoAnswer: There was none in time.
        """
        deadline, told, look_at = time.monotonic() + timeout_s, "", 0.0
        while True:
            if self._past is not None and time.monotonic() >= look_at:
                found = self._past.of_command(command_id)
                if found is not None:
                    return found
                told = _tell(out, self._past.waits_for(command_id) or "not there yet", told)
                look_at = time.monotonic() + _LOOK_AGAIN_S
            if time.monotonic() >= deadline:
                raise NoAnswer(f"no result of {command_id} within {timeout_s:g} s; is it an id of this workspace?")
            arrived = self._next(min(_LOOK_AGAIN_S, max(0.0, deadline - time.monotonic())))
            if arrived is not None and (arrived.command_id, arrived.workspace_id) == (command_id, self._workspace_id):
                return arrived

    def _next(self, timeout_s: float) -> SyncResult | None:
        if self._coming is not None:
            return self._coming.next_result(timeout_s)
        time.sleep(timeout_s)
        return None


def _tell(out: Output, state: str, told: str) -> str:
    if state != told:
        out.note(f"… {state}")
    return state


@contextmanager
def _sources(workspace_id: UUID) -> Iterator[_Sources]:
    """Open what the environment offers; the topic first, so that no result falls between the two."""
    with ExitStack() as stack:
        coming = stack.enter_context(waiting(load(KafkaAccess))) if is_set(BOOTSTRAP_SERVERS) else None
        has_past = is_set(API_URL) or is_set(DATABASE_URL)
        past = stack.enter_context(answers(workspace_id)) if has_past else None
        if past is None and coming is None:
            raise SettingsProblem(
                "these settings need attention:\n  CRM_SYNC_API_URL (with CRM_SYNC_API_TOKEN), DATABASE_URL or "
                "KAFKA_BOOTSTRAP_SERVERS: set one of them"
            )
        yield _Sources(past, coming, workspace_id)
