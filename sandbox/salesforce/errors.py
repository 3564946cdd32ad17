"""Salesforce error bodies: top level arrays say ``errorCode``, per-record errors say ``statusCode``.

REST guide "Status Codes and Error Responses"; SOAP guide "Core Data Types: StatusCode".
"""

from dataclasses import dataclass
from typing import Any

from sandbox.replies import RefusedError


def refuse(status: int, error_code: str, message: str, fields: tuple[str, ...] = ()) -> RefusedError:
    """Build the refusal of a whole call."""
    body: dict[str, Any] = {"message": message, "errorCode": error_code}
    if fields:
        body["fields"] = list(fields)
    return RefusedError(status, [body])


@dataclass(frozen=True, slots=True)
class RecordError:
    """Why one record was not written."""

    status_code: str
    message: str
    fields: tuple[str, ...] = ()

    def in_collection(self) -> dict[str, Any]:
        """Return it as an entry of a Collections result."""
        return {"statusCode": self.status_code, "message": self.message, "fields": list(self.fields)}

    def as_call_error(self) -> RefusedError:
        """Return it as the refusal of a single-record call."""
        status = 404 if self.status_code in {"ENTITY_IS_DELETED", "INVALID_CROSS_REFERENCE_KEY"} else 400
        return refuse(status, self.status_code, self.message, self.fields)


@dataclass(frozen=True, slots=True)
class WriteResult:
    """What became of one record: its id and whether it was created, or the reasons why not."""

    record_id: str | None = None
    is_created: bool = False
    errors: tuple[RecordError, ...] = ()

    @property
    def is_success(self) -> bool:
        """Tell whether the record was written."""
        return not self.errors
