"""The request log: one JSON line for each request, without query strings, headers, bodies or secret paths."""

import re
import secrets
import time
import traceback
from typing import Any

import falcon
import structlog

_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{8,64}")
_log = structlog.get_logger("producer_api")


class RequestLog:
    """Falcon middleware: gives each request an id and logs it when it is answered.

    A caller's `X-Request-ID` is taken over when it is a plain word of 8 to 64 characters.
    """

    def process_request(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Note when the request came, and its id."""
        given = req.get_header("X-Request-ID") or ""
        req.context.request_id = given if _REQUEST_ID.fullmatch(given) else secrets.token_hex(8)
        req.context.started = time.monotonic()
        req.context.is_page = False
        resp.set_header("X-Request-ID", req.context.request_id)
        resp.set_header("X-Content-Type-Options", "nosniff")
        resp.set_header("Cache-Control", "no-store")

    def process_resource(
        self, req: falcon.Request, resp: falcon.Response, resource: object, params: dict[str, Any]
    ) -> None:
        """Remember whether a person looks at the answer."""
        del resp, params
        req.context.is_page = getattr(resource, "is_page", False)

    def process_response(
        self,
        req: falcon.Request,
        resp: falcon.Response,
        resource: object,
        req_succeeded: bool,  # noqa: FBT001 - Falcon's own signature
    ) -> None:
        """Log the answer. The route's template stands for the path: a ticket in a path is a secret."""
        del resource, req_succeeded
        if req.path in {"/healthz", "/readyz"} and resp.status_code < 400:  # noqa: PLR2004 - HTTP's own border
            return
        _log.info(
            "http_request",
            request_id=req.context.request_id,
            method=req.method,
            route=req.uri_template,
            status=resp.status_code,
            duration_ms=round((time.monotonic() - req.context.started) * 1000, 1),
            **getattr(req.context, "log", {}),
        )


def log_fault(request_id: str, error: BaseException) -> None:
    """Log an error that nobody expected: where it happened, not its text, which may hold what a caller sent."""
    frames = traceback.extract_tb(error.__traceback__)[-8:]
    where = [f"{frame.filename.rpartition('/')[2]}:{frame.lineno} {frame.name}" for frame in frames]
    _log.error("unexpected_error", request_id=request_id, error=type(error).__name__, where=where)
