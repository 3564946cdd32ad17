"""Two audiences: people read text, programs read JSON on standard output; progress always goes to standard error."""

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import wraps
from typing import Any, Final, TextIO

import click
from pydantic import BaseModel
from rich.console import Console, RenderableType

_WIDTH_OF_FILES: Final = 120


def _stdout() -> Console:
    return _console(sys.stdout)


def _stderr() -> Console:
    return _console(sys.stderr)


def _console(stream: TextIO) -> Console:
    # Into a file or a pipe there is no width to keep to, and rich would assume 80 columns.
    return Console(file=stream, highlight=False, width=None if stream.isatty() else _WIDTH_OF_FILES)


@dataclass(frozen=True, slots=True)
class Output:
    """Where a command writes.

    Attributes:
        as_json: Machine output was asked for: text for people is left out.
        console: Standard output, for people.
        progress: Standard error: progress bars and notes, also beside JSON.
    """

    as_json: bool
    console: Console = field(default_factory=_stdout)
    progress: Console = field(default_factory=_stderr)

    def show(self, text: RenderableType = "") -> None:
        """Print for people only."""
        if not self.as_json:
            self.console.print(text)

    def note(self, text: RenderableType) -> None:
        """Print on standard error, in both modes."""
        self.progress.print(text)

    def document(self, value: Any) -> None:
        """Print one JSON document (one line) for programs only."""
        if self.as_json:
            sys.stdout.write(to_json(value) + "\n")
            sys.stdout.flush()


def to_json(value: Any) -> str:
    """One line of JSON; contract models and their parts write themselves."""
    return json.dumps(value, ensure_ascii=False, default=_plain)


def _plain(value: Any) -> Any:
    return value.model_dump(mode="json") if isinstance(value, BaseModel) else str(value)


def takes_output(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a click command the option `--json` and an `Output` as its first argument."""

    @click.option("--json", "as_json", is_flag=True, help="Machine-readable output on standard output.")
    @wraps(command)
    def with_output(*args: Any, as_json: bool, **options: Any) -> Any:
        return command(Output(as_json), *args, **options)

    return with_output
