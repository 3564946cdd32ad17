"""What became of the records, for people: counts in a table, and one line for each record that needs a look."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from schemas.result import Counts, Failure, Outcome, SyncResult

ACTIONS = ("created", "updated", "unchanged", "skipped", "failed")
_COLOURS = {"created": "green", "updated": "cyan", "unchanged": "dim", "skipped": "yellow", "failed": "red"}


def counts_table(rows: Iterable[tuple[str, Sequence[SyncResult]]]) -> Table:
    """One line for each label: what became of the records of its results."""
    names = [f"[{_COLOURS[action]}]{action}[/]" for action in ACTIONS]
    look: dict[str, Any] = {"box": SIMPLE_HEAD, "show_edge": False, "pad_edge": False, "collapse_padding": True}
    table = Table("", *names, "records", "calls", **look)
    for column in table.columns[1:]:
        column.justify = "right"
    for label, results in rows:
        counts = total(results)
        numbers = [getattr(counts, action) for action in ACTIONS]
        sums = (sum(one.record_count for one in results), sum(one.api_calls for one in results))
        table.add_row(label, *(str(number) if number else "·" for number in numbers), *map(str, sums))
    return table


def total(results: Sequence[SyncResult]) -> Counts:
    """The counts of several results together."""
    return Counts(**{action: sum(getattr(one.counts, action) for one in results) for action in ACTIONS})


def reason(failure: Failure) -> str:
    """One failure in one line: field, what, what to do."""
    field = f"{failure.field}: " if failure.field else ""
    hint = f" → {failure.hint}" if failure.hint else ""
    return f"{field}{failure.message} [{failure.code}]{hint}"


def outcome_reason(outcome: Outcome, result: SyncResult) -> str | None:
    """Why a record needs a look: its errors, what it was merged into, its warnings; None for a plain success."""
    parts = [reason(failure) for failure in outcome.errors]
    if outcome.merged_into is not None:
        first = next((one.ref for one in result.outcomes if one.index == outcome.merged_into), None)
        parts.append(f"has the same key as {first or f'record {outcome.merged_into}'}, so it was merged into it")
    for warning in outcome.warnings:
        field = f"{warning.field}: " if warning.field else ""
        parts.append(f"{field}{warning.message or warning.code} [{warning.code}]")
    return "; ".join(parts) if parts else None


def noteworthy(results: Sequence[SyncResult], *, most: int = 200) -> Iterator[RenderableType]:
    """A line for each command that failed as a whole, and for each record with an error, a merge or a warning."""
    left = most
    for result in results:
        if result.error is not None:
            yield Text.from_markup(
                f"[red]command {escape(result.command_id)} failed[/red]: {escape(reason(result.error))}"
            )
        for outcome in result.outcomes:
            why = outcome_reason(outcome, result)
            if why is None:
                continue
            left -= 1
            if left >= 0:
                yield _line(outcome, why)
    if left < 0:
        yield Text(f"… and {-left} more; --json shows all", style="dim")


def _line(outcome: Outcome, why: str) -> Text:
    label = outcome.ref or f"record {outcome.index}"
    action = "merged" if outcome.merged_into is not None and outcome.action != "failed" else outcome.action
    return Text.assemble((f"{action:>9} ", _COLOURS.get(outcome.action, "")), (f"{label}  ", "bold"), why)


def report(results: Sequence[SyncResult]) -> RenderableType:
    """The end of `publish --wait` and the body of `watch`: what needs a look, then the table of counts."""
    rows: list[tuple[str, Sequence[SyncResult]]] = [(_label(result), [result]) for result in results]
    if len(results) > 1:
        rows.append(("total", results))
    return Group(*noteworthy(results), counts_table(rows))


def _label(result: SyncResult) -> str:
    what = f"{result.direction or '?'} {result.entity or '?'} → {result.integration or '?'}"
    return f"{what} ({result.status})" if result.direction != "pull" else f"{what.replace('→', '←')} ({result.status})"
