"""Telling people what became of their records."""

from datetime import UTC, datetime
from io import StringIO
from uuid import UUID

from rich.console import Console

from cli.outcome_table import report
from schemas.failure import FailureCategory
from schemas.result import Counts, Failure, Outcome, OutcomeWarning, SyncResult

NOW = datetime(2026, 11, 22, tzinfo=UTC)
TOO_LONG = Failure(
    code="value_too_long",
    category=FailureCategory.BAD_DATA,
    field="job_title",
    message="Title holds 128 characters, 163 were sent",
    hint="shorten it",
)


def _result(**changes: object) -> SyncResult:
    base = {
        "command_id": "c1",
        "sync_id": UUID(int=1),
        "workspace_id": UUID(int=2),
        "integration": "salesforce",
        "direction": "push",
        "entity": "person",
        "status": "partial",
        "record_count": 4,
        "success_count": 3,
        "failure_count": 1,
        "skipped_count": 0,
        "counts": Counts(created=3, failed=1),
        "started_at": NOW,
        "completed_at": NOW,
    }
    return SyncResult.model_validate(base | changes)


def _printed(*results: SyncResult) -> str:
    text = StringIO()
    Console(file=text, width=160).print(report(results))
    return text.getvalue()


def test_failed_merged_and_warned_records_have_a_line_each() -> None:
    """Every record that needs a look has a line with its ref, the reason and what to do; plain successes have none."""
    # Given
    outcomes = [
        Outcome(index=0, ref="ctc_1", action="created", crm_id="1"),
        Outcome(index=1, ref="ctc_2", action="failed", errors=[TOO_LONG]),
        Outcome(index=2, ref="ctc_3", action="created", crm_id="1", merged_into=0),
        Outcome(index=3, action="created", warnings=[OutcomeWarning(code="unmapped_field", field="linkedin_url")]),
    ]
    # When
    text = _printed(_result(outcomes=outcomes))
    # Then
    lines = [line.strip() for line in text.splitlines()[:3]]
    assert lines == [
        "failed ctc_2  job_title: Title holds 128 characters, 163 were sent [value_too_long] → shorten it",
        "merged ctc_3  has the same key as ctc_1, so it was merged into it",
        "created record 3  linkedin_url: unmapped_field [unmapped_field]",
    ]


def test_counts_of_several_commands_are_added_up() -> None:
    """Several results end in a line of sums."""
    # Given
    results = [_result(), _result(command_id="c2", api_calls=2)]
    # When
    last = _printed(*results).rstrip().splitlines()[-1].split()
    # Then
    assert last == ["total", "6", "·", "·", "·", "2", "8", "2"]


def test_a_command_that_failed_as_a_whole_says_why() -> None:
    """A command's own error is told, with its markup-like characters untouched."""
    # Given
    error = Failure(code="crm_refused", category=FailureCategory.BAD_DATA, message="no [bold]such[/bold] object")
    # When
    text = _printed(_result(status="failed", error=error))
    # Then
    assert "command c1 failed: no [bold]such[/bold] object [crm_refused]" in text
