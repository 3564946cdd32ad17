"""Errors as JSON (RFC 9457) with stable types; one class that every resource raises.

A problem's `type` is `urn:morket:crm-sync:problem:<code>`; `docs/api.md` lists the codes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

PROBLEM_TYPE = "urn:morket:crm-sync:problem:"
MEDIA_TYPE = "application/problem+json"

_TITLES = {
    400: "The request cannot be read",
    401: "The access token is missing or not valid",
    403: "The access token does not allow this",
    404: "Not found",
    405: "This method is not allowed here",
    406: "This representation is not offered",
    409: "The request conflicts with the current state",
    410: "This is no longer available",
    413: "The request is too large",
    415: "This content type is not supported",
    422: "The request does not follow the contract",
    500: "A fault of this service",
    502: "The CRM gave no usable answer",
    503: "A part that this service needs does not answer",
}


@dataclass(frozen=True, slots=True)
class FieldProblem:
    """What is wrong with one field of a request body.

    Attributes:
        field: Path in the body, like `records[3].fields.email`; empty for the body as a whole.
        message: What is wrong, for a person.
        hint: What to do about it; may be empty.
    """

    field: str
    message: str
    hint: str = ""


class Problem(Exception):
    """A request that is answered with an error.

    Args:
        status: HTTP status.
        code: Stable, the last part of the problem's `type`.
        detail: For a person; never a secret.
        fields: What is wrong with which field.
        headers: Sent along (`WWW-Authenticate`, `Retry-After`, `Allow`).
        extra: More members of the problem object (RFC 9457 section 3.2).
    """

    def __init__(
        self,
        status: int,
        code: str,
        detail: str,
        *,
        fields: Sequence[FieldProblem] = (),
        headers: Mapping[str, str] | None = None,
        extra: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(f"{status} {code}: {detail}")
        self.status = status
        self.code = code
        self.detail = detail
        self.fields = tuple(fields)
        self.headers = dict(headers or {})
        self.extra = dict(extra or {})

    @property
    def title(self) -> str:
        """A short text that depends on the status alone."""
        return _TITLES.get(self.status, "The request was not carried out")

    def as_json(self, request_id: str) -> dict[str, Any]:
        """The problem object (RFC 9457 section 3)."""
        problem: dict[str, Any] = {
            "type": PROBLEM_TYPE + self.code,
            "title": self.title,
            "status": self.status,
            "detail": self.detail,
            "code": self.code,
            "request_id": request_id,
        }
        if self.fields:
            problem["errors"] = [{name: text for name, text in asdict(field).items() if text} for field in self.fields]
        return problem | self.extra


def not_found(what: str = "there is nothing at this address") -> Problem:
    """404 for an unknown route."""
    return Problem(404, "not_found", what)


def workspace_not_found() -> Problem:
    """404, the same for a workspace that does not exist and one that the token does not name."""
    return Problem(404, "workspace_not_found", "there is no such workspace, or the access token does not name it")
