"""`crm-sync doctor`: is everything there that API and workers need?"""

import click
from rich.table import Table
from rich.text import Text

from cli.diagnosis import as_json, diagnose
from cli.output import Output, takes_output
from cli.problems import ExitCode

_MARKS = {"ok": ("✓", "green"), "note": ("·", "yellow"), "problem": ("✗", "bold red")}


@click.command()
@takes_output
def doctor(out: Output) -> int:
    """Check settings, database, topics, keys and CRM clients; every finding says what to do.

    Exit code 1 when there is a problem.
    """
    findings = []
    table = Table(show_header=False, box=None, padding=(0, 1))
    for one in diagnose():
        findings.append(one)
        mark, style = _MARKS[one.state]
        table.add_row(Text(mark, style=style), Text(one.what, style="bold"), Text(one.text))
    problems = sum(one.state == "problem" for one in findings)
    out.show(table)
    out.show(f"{problems} problem(s)" if problems else "all is well")
    out.document(as_json(findings))
    return ExitCode.ATTENTION if problems else ExitCode.DONE
