"""Replies that end a request early, and small readers of request bodies shared by both CRMs."""

import json
from collections.abc import Mapping
from typing import Any

from aiohttp import web


class RefusedError(Exception):
    """A request is refused with this HTTP status, JSON body and headers.

    Raised anywhere below a handler; the outermost middleware turns it into the reply. It is not
    ``aiohttp.web.HTTPException``, because the two vendors' error bodies differ and are built where the rule is known.
    """

    def __init__(self, status: int, body: Any, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(f"{status}: {body}")
        self.status = status
        self.body = body
        self.headers = dict(headers or {})

    def to_response(self) -> web.Response:
        """Build the reply."""
        return web.json_response(self.body, status=self.status, headers=self.headers)


class NotJsonError(Exception):
    """The request body is not the JSON object that the endpoint takes."""

    def __init__(self, message: str, line: int = 1, column: int = 1) -> None:
        super().__init__(message)
        self.line = line
        self.column = column


async def read_json_object(request: web.Request) -> dict[str, Any]:
    """Read the request body as one JSON object.

    Raises:
        NotJsonError: The body is not UTF-8, not JSON, or not an object.
    """
    try:
        body = json.loads((await request.read()).decode("utf-8"))
    except UnicodeDecodeError as error:
        raise NotJsonError("invalid UTF-8") from error
    except json.JSONDecodeError as error:
        raise NotJsonError(error.msg, error.lineno, error.colno) from error
    if not isinstance(body, dict):
        raise NotJsonError("an object was expected")
    return body


async def read_form(request: web.Request) -> dict[str, str]:
    """Read an ``application/x-www-form-urlencoded`` body; a repeated parameter keeps its first value."""
    form = await request.post()
    return {name: value for name in form if isinstance(value := form[name], str)}
