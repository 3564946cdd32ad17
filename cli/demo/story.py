"""The demo's account of what happened, for the person in front of it."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.markup import escape
from rich.padding import Padding
from rich.panel import Panel
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from cli.demo.checks import Check, code_of
from cli.demo.evidence import Evidence
from cli.demo.person import ConnectedCrm
from cli.demo.stack import Stack
from cli.demo.syncs import SLUGS, OnResult, Pull, Push
from cli.outcome_table import counts_table, outcome_reason
from schemas.result import SyncResult

_NAMES: Final = {"salesforce": "Salesforce", "hubspot": "HubSpot"}
_SPACE: Final = (0, 0, 1, 3)


class Story:
    """Prints the chapters of the demo.

    Args:
        console: Where to.
        progress: Where progress bars are drawn.
    """

    def __init__(self, console: Console, progress: Console) -> None:
        self._console = console
        self._progress = progress

    def begin(self, home: Path) -> None:
        """The title."""
        text = "Contacts and companies, from Kafka commands into a Salesforce and a HubSpot, and back.\n"
        text += f"Every part is real and runs on this machine; the two CRMs are sandboxes. Files: {home}"
        self._console.print(Panel(Text(text), title="[bold]Morket CRM Integrations[/bold]", expand=False))

    @contextmanager
    def starting(self) -> Iterator[Callable[[str], None]]:
        """A line that names the part that is being started."""
        with self._progress.status("starting") as status:
            yield lambda part: status.update(f"starting {part} …")

    def chapter(self, number: int, title: str) -> None:
        """A heading."""
        self._console.print(f"[bold]{number}. {title}[/bold]")

    def connected(self, crm: ConnectedCrm) -> None:
        """A CRM was connected."""
        account = f"“{escape(crm.account_name)}” ({escape(crm.account_id)})"
        self._console.print(f"   [green]✓[/green] {crm.name}: account {account} as {escape(crm.user)}")

    def blank(self) -> None:
        """An empty line."""
        self._console.print()

    @contextmanager
    def working(self, title: str, totals: Mapping[str, int] | None) -> Iterator[OnResult]:
        """A bar for each CRM, moved by results; without totals it shows how many records came so far."""
        columns = (
            SpinnerColumn(),
            TextColumn("{task.description}"),
            *((BarColumn(), MofNCompleteColumn()) if totals else (TextColumn("{task.completed:g} records"),)),
            TimeElapsedColumn(),
        )
        idle = not self._progress.is_terminal
        with Progress(*columns, console=self._progress, transient=True, disable=idle) as progress:
            bars = {
                slug: progress.add_task(f"{title} {_NAMES[slug]}", total=(totals or {}).get(slug)) for slug in SLUGS
            }
            yield lambda result: progress.advance(bars[str(result.integration)], result.record_count)

    def pushed(self, pushes: Mapping[str, Push]) -> None:
        """The counts of a round of pushes."""
        rows = []
        for slug, push in pushes.items():
            for entity in dict.fromkeys(command.entity for command in push.commands):
                results = _of_entity(push, entity)
                rows.append((f"{_NAMES[slug]} {results[0].crm_object or entity}", results))
        self._console.print(Padding(counts_table(rows), _SPACE, expand=False))

    def reasons(self, pushes: Mapping[str, Push]) -> None:
        """An example of every kind of reason with which a row did not simply go in."""
        for slug, push in pushes.items():
            outcomes = [(outcome, result) for result in push.results for outcome in result.outcomes]
            kinds = Counter(code for code in (code_of(outcome) for outcome, _ in outcomes) if code)
            table = Table(show_header=False, box=None, pad_edge=False)
            table.add_column(justify="right")
            for code, count in kinds.most_common():
                outcome, result = next(pair for pair in outcomes if code_of(pair[0]) == code)
                colour = "yellow" if code == "merged" else "red"
                example = Text(f"{outcome.ref} {outcome_reason(outcome, result)}".replace(f" [{code}]", ""))
                table.add_row(Text(str(count), style=colour), Text(code, style=colour), example)
            left_out = sorted({str(one.field) for outcome, _ in outcomes for one in outcome.warnings if one.field})
            if left_out:
                table.add_row("", "left out", Text(f"no mapping in {_NAMES[slug]}: {', '.join(left_out)}"))
            self._console.print(f"   What {_NAMES[slug]} did not simply take, with an example of each:")
            self._console.print(Padding(table, _SPACE, expand=False))

    def pulled(self, pulls: Mapping[str, Pull]) -> None:
        """What the pulls brought."""
        for slug, pull in pulls.items():
            brought: Counter[str] = Counter()
            for result in pull.results:
                brought[str(result.crm_object)] += result.record_count
            listed = ", ".join(f"{count} {crm_object}" for crm_object, count in sorted(brought.items()))
            self._console.print(f"   [green]✓[/green] {_NAMES[slug]}: {listed}, in {len(pull.commands)} commands")
        self.blank()

    def checked(self, checks: Sequence[Check], evidence: Evidence) -> None:
        """The claims, and what speaks against them."""
        for check in checks:
            mark = "[green]✓[/green]" if check.holds else "[bold red]✗[/bold red]"
            self._console.print(f"   {mark} {check.claim}")
            for reason in check.against:
                self._console.print(Text(f"     {reason}", style="red"))
        counted = f"{len(evidence.results)} result events, {evidence.duplicate_results} twice; "
        self._console.print(f"     ({counted}{len(evidence.history_commands)} history rows)")
        self.blank()

    def ended(self, seconds: float, *, is_good: bool) -> None:
        """The last line of the account."""
        verdict = (
            "[bold green]Everything holds.[/bold green]" if is_good else "[bold red]Not everything holds.[/bold red]"
        )
        self._console.print(f"{verdict} {seconds:.1f} s from nothing.")

    def stopping(self) -> None:
        """Ctrl-C was pressed."""
        self._console.print("\nstopping everything …")

    def what_to_try(self, stack: Stack, settings: Path) -> None:
        """What a person can do while the demo stays up."""
        integrations = f"{stack.api_url}/api/v1/workspaces/{stack.workspace_id}/integrations"
        rows = (
            ("settings for another terminal", f"source {settings}"),
            ("past syncs", "crm-sync history"),
            ("one of them, record by record", "crm-sync history SYNC_ID"),
            ("your own file", "crm-sync publish FILE.csv --to hubspot --entity person --wait"),
            ("read from a CRM", "crm-sync publish --pull --to salesforce --entity company --limit 10 --wait"),
            ("connect in a real browser", "crm-sync connect salesforce --open"),
            ("is all well?", "crm-sync doctor"),
            ("an access token for the API", "crm-sync token"),
            ("over HTTP", f'curl -H "Authorization: Bearer $CRM_SYNC_API_TOKEN" {integrations}'),
            ("the sandbox's records", f"{stack.sandbox_url}/_sandbox/accounts/salesforce"),
            ("logs", str(stack.logs)),
        )  # fmt: skip
        self._console.print("\n[bold]Try it[/bold] (everything stays up until Ctrl-C):")
        for what, how in rows:
            # One line each, never wrapped: they are pasted.
            self._console.print(f"   {what}:", Text(how, style="cyan"), soft_wrap=True)


def _of_entity(push: Push, entity: str) -> list[SyncResult]:
    return [result for command, result in zip(push.commands, push.results, strict=True) if command.entity == entity]
