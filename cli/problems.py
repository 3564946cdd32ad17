"""What ends a command early: one clear line for a person, and an exit code for a script."""

from enum import IntEnum
from typing import ClassVar

import click


class ExitCode(IntEnum):
    """Exit codes of every command; `docs/cli.md` prints this table."""

    #: Done.
    DONE = 0
    #: Done, and something needs attention: a finding of `doctor`, a check of `demo`, a command that is not there.
    ATTENTION = 1
    #: The command line, the input file or a setting is wrong; nothing was sent.
    USAGE = 2
    #: Sent and answered, and at least one record or command failed.
    RECORDS_FAILED = 3
    #: The broker, the database or the API cannot be reached or refused.
    UNREACHABLE = 4
    #: No answer within `--timeout`.
    TIMED_OUT = 5
    #: Ctrl-C.
    INTERRUPTED = 130


class CliProblem(click.ClickException):
    """A problem that the person at the keyboard can act on; the text says how."""

    exit_code: ClassVar[int] = ExitCode.ATTENTION


class WrongInput(CliProblem):
    """The command line or the input file is wrong; nothing was sent."""

    exit_code: ClassVar[int] = ExitCode.USAGE


class Unreachable(CliProblem):
    """The broker, the database or the API cannot be reached, or refused."""

    exit_code: ClassVar[int] = ExitCode.UNREACHABLE


class NoAnswer(CliProblem):
    """The answer did not come within the time that was asked for."""

    exit_code: ClassVar[int] = ExitCode.TIMED_OUT
