"""How every process of this service logs: JSON lines on standard error, constant event names, ids in fields."""

import logging
import sys
import traceback
from collections.abc import Mapping, MutableMapping
from typing import Any

import structlog

#: Characters of an exception's text that a log line holds.
MAX_MESSAGE = 300


def _exception_without_data(_logger: object, _method: str, event: MutableMapping[str, Any]) -> Mapping[str, Any]:
    """The trace and the first line of an exception's text.

    PostgreSQL's further lines (DETAIL, CONTEXT) show the row that it refused: people's data.
    """
    if event.pop("exc_info", None) is None:
        return event
    kind, problem, trace = sys.exc_info()
    if kind is not None:
        first_line = str(problem).partition("\n")[0][:MAX_MESSAGE]
        event["exception"] = f"{kind.__name__}: {first_line}"
        event["trace"] = "".join(traceback.format_tb(trace))
    return event


def configure(level: str) -> None:
    """Log JSON lines at `level` (INFO, WARNING, …) and above; an unknown level counts as INFO."""
    number = logging.getLevelNamesMapping().get(level.upper(), logging.INFO)
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            _exception_without_data,
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=False,
    )
