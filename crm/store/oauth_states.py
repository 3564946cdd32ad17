"""Authorization attempts (table `oauth_states`): ticket, then redirect, then done; each step can be taken once.

Ticket, state and browser secret are stored as SHA-256 hashes only; what must be read again is sealed.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from sqlalchemy import ColumnElement, Connection, Row, delete, insert, select, update

from crm.store.tables import oauth_states as table
from crm.vault import Sealed

Step = Literal["ticket", "redirected", "confirm", "done", "failed"]


@dataclass(frozen=True, slots=True)
class NewAttempt:
    """An attempt as it begins: its ticket was made and nothing else."""

    id: UUID
    ticket_hash: bytes
    workspace_id: UUID
    integration_slug: str
    requested_by: str
    expires_at: datetime
    sealed: Sealed
    return_to: str | None = None
    login_host: str | None = None


@dataclass(frozen=True, slots=True)
class Attempt:
    """An attempt as stored; `sealed` is None when it is over."""

    id: UUID
    workspace_id: UUID
    integration_slug: str
    requested_by: str
    return_to: str | None
    login_host: str | None
    step: Step
    browser_hash: bytes | None
    expires_at: datetime
    sealed: Sealed | None


def add(connection: Connection, attempt: NewAttempt) -> None:
    """Begin an attempt.

    Raises:
        sqlalchemy.exc.IntegrityError: there is no such workspace.
    """
    values = {
        "id": attempt.id,
        "ticket_hash": attempt.ticket_hash,
        "workspace_id": attempt.workspace_id,
        "integration_slug": attempt.integration_slug,
        "requested_by": attempt.requested_by,
        "return_to": attempt.return_to,
        "login_host": attempt.login_host,
        "expires_at": attempt.expires_at,
        **_payload_columns(attempt.sealed),
    }
    connection.execute(insert(table).values(values))


def by_ticket(connection: Connection, ticket_hash: bytes) -> Attempt | None:
    """The attempt of a ticket, at whatever step it is."""
    return _first(connection, table.c.ticket_hash == ticket_hash)


def by_state(connection: Connection, state_hash: bytes) -> Attempt | None:
    """The attempt of a `state`, at whatever step it is."""
    return _first(connection, table.c.state_hash == state_hash)


def by_id(connection: Connection, attempt_id: UUID) -> Attempt | None:
    """One attempt, at whatever step it is."""
    return _first(connection, table.c.id == attempt_id)


def redirect(
    connection: Connection,
    attempt_id: UUID,
    *,
    state_hash: bytes,
    browser_hash: bytes,
    login_host: str | None,
    sealed: Sealed,
    expires_at: datetime,
) -> bool:
    """Use up the ticket: the browser is on its way to the CRM. False when the ticket was used before."""
    return _step(
        connection,
        attempt_id,
        "ticket",
        step="redirected",
        state_hash=state_hash,
        browser_hash=browser_hash,
        login_host=login_host,
        expires_at=expires_at,
        **_payload_columns(sealed),
    )


def use_up(connection: Connection, attempt_id: UUID, step: Step) -> bool:
    """Take an attempt out of `step` for good; it counts as failed until `finish`. False when it was taken before."""
    return _step(connection, attempt_id, step, step="failed", **_payload_columns(None))


def await_confirmation(
    connection: Connection, attempt_id: UUID, *, browser_hash: bytes, sealed: Sealed, expires_at: datetime
) -> None:
    """Keep the new tokens, sealed, until the person has confirmed the other account."""
    _step(
        connection,
        attempt_id,
        "failed",
        step="confirm",
        browser_hash=browser_hash,
        expires_at=expires_at,
        **_payload_columns(sealed),
    )


def finish(connection: Connection, attempt_id: UUID) -> None:
    """Note that a used-up attempt ended in a connection."""
    _step(connection, attempt_id, "failed", step="done")


def sweep(connection: Connection, *, now: datetime, keep_since: datetime) -> None:
    """Forget the sealed payload of expired attempts, and the attempts themselves that expired before `keep_since`."""
    connection.execute(delete(table).where(table.c.expires_at < keep_since))
    expired = (table.c.expires_at < now) & table.c.encrypted_payload.is_not(None)
    connection.execute(update(table).where(expired).values(**_payload_columns(None)))


def _step(connection: Connection, attempt_id: UUID, from_step: Step, **values: object) -> bool:
    query = update(table).where(table.c.id == attempt_id, table.c.step == from_step).values(**values)
    return connection.execute(query).rowcount == 1


def _payload_columns(sealed: Sealed | None) -> dict[str, str | None]:
    return {
        "encrypted_payload": sealed.ciphertext if sealed else None,
        "payload_iv": sealed.iv if sealed else None,
        "payload_tag": sealed.tag if sealed else None,
        "payload_key_id": sealed.key_id if sealed else None,
    }


def _first(connection: Connection, condition: ColumnElement[bool]) -> Attempt | None:
    row = connection.execute(select(table).where(condition)).first()
    return _attempt(row) if row is not None else None


def _attempt(row: Row[Any]) -> Attempt:
    has_payload = row.encrypted_payload is not None
    return Attempt(
        id=row.id,
        workspace_id=row.workspace_id,
        integration_slug=row.integration_slug,
        requested_by=row.requested_by,
        return_to=row.return_to,
        login_host=row.login_host,
        step=row.step,
        browser_hash=bytes(row.browser_hash) if row.browser_hash is not None else None,
        expires_at=row.expires_at,
        sealed=Sealed(row.encrypted_payload, row.payload_iv, row.payload_tag, row.payload_key_id)
        if has_payload
        else None,
    )
