"""HubSpot error bodies (developer documentation "Error handling"; changelog "New OAuth v3 API endpoints")."""

import json
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sandbox.replies import RefusedError


@dataclass(frozen=True, slots=True)
class PropertyFault:
    """Why one property value is refused; ``error`` is such as ``INVALID_EMAIL``."""

    name: str
    error: str
    message: str

    def to_json(self) -> dict[str, Any]:
        """Return it as a member of the list inside a validation message."""
        return {
            "isValid": False,
            "message": self.message,
            "error": self.error,
            "name": self.name,
            "localizedErrorMessage": self.message,
        }


@dataclass(frozen=True, slots=True)
class Problem:
    """Why a call, or one input of a batch, fails."""

    category: str
    message: str
    status: int = 400
    context: Mapping[str, list[str]] = field(default_factory=dict)

    def refusal(self, headers: Mapping[str, str] | None = None) -> RefusedError:
        """Return it as the refusal of the whole call."""
        body: dict[str, Any] = {"status": "error", "message": self.message, "correlationId": str(uuid.uuid4())}
        if self.context:
            body["context"] = dict(self.context)
        return RefusedError(self.status, body | {"category": self.category}, headers)

    def entry(self, trace_id: str | None = None) -> dict[str, Any]:
        """Return it as a member of the ``errors`` of a batch reply."""
        context = dict(self.context) | ({"objectWriteTraceId": [trace_id]} if trace_id is not None else {})
        return {
            "status": "error",
            "category": self.category,
            "message": self.message,
            "context": context,
            "errors": [],
            "links": {},
        }


def validation(message: str, **context: list[str]) -> Problem:
    """Return a VALIDATION_ERROR."""
    return Problem("VALIDATION_ERROR", message, context=context)


def invalid_values(faults: list[PropertyFault]) -> Problem:
    """Return the VALIDATION_ERROR whose message carries the faults as a JSON array."""
    listed = json.dumps([fault.to_json() for fault in faults], ensure_ascii=False)
    return validation(f"Property values were not valid: {listed}")


def not_found(message: str = "resource not found") -> Problem:
    """Return the 404 of an object that is not there."""
    return Problem("OBJECT_NOT_FOUND", message, status=404)


def vague_problem() -> RefusedError:
    """Return the bare 400 of a search that HubSpot does not explain."""
    message = "There was a problem with the request."
    return RefusedError(400, {"status": "error", "message": message, "correlationId": str(uuid.uuid4())})


def oauth_problem(error: str, status: str, description: str, http_status: int = 400) -> RefusedError:
    """Return an OAuth error with RFC 6749 fields and HubSpot's own."""
    body = {"error": error, "error_description": description, "status": status, "message": description}
    return RefusedError(http_status, body, {"Cache-Control": "no-store"})
