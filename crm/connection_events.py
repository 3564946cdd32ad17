"""Connection events: each change of a connection goes to Kafka and into the audit, in the caller's transaction."""

from dataclasses import replace
from datetime import datetime

from crm import model
from crm.model import ConnectionStatus
from crm.store import connection_events as audit
from crm.store import connections, outbox
from crm.store.engine import Connection
from crm.store.outbox import OutboxMessage
from schemas.connection import ConnectionEvent, ConnectionEventName, CrmAccount
from schemas.envelope import encode
from schemas.topics import EventType, Topics, message_key


def announce(
    connection: Connection,
    stored: model.Connection,
    event: ConnectionEventName,
    *,
    previous_status: ConnectionStatus | None,
    actor: str,
    topics: Topics,
    at: datetime,
) -> model.Connection:
    """Tell that `stored` is as it is now because of `event`.

    Raises the connection's event sequence, adds the audit row and the outbox row; all of it commits or none. The
    `status_reason` of `stored` becomes the event's reason; `actor` (who did it) goes into the audit; `at` is UTC.

    Returns:
        The connection with its new `event_sequence`.
    """
    told = replace(stored, event_sequence=connections.next_event_sequence(connection, stored.id))
    held = connections.count_held(connection, stored.id)
    detail = {
        "sequence": told.event_sequence,
        "status": told.status,
        "previous_status": previous_status,
        "reason": told.status_reason,
        "crm_account_id": told.crm_account_id,
    }
    audit.add(connection, told, event, actor=actor, detail=detail)
    outbox.add(connection, [_message(_event(told, event, previous_status, held), topics, at)])
    return told


def _event(
    told: model.Connection, event: ConnectionEventName, previous_status: ConnectionStatus | None, held: int
) -> ConnectionEvent:
    account = None
    if told.crm_account_id:
        account = CrmAccount(id=told.crm_account_id, name=told.crm_account_name, user=told.crm_user)
    return ConnectionEvent(
        connection_id=told.id,
        workspace_id=told.workspace_id,
        integration=told.integration_slug,
        sequence=told.event_sequence,
        event=event,
        status=told.status,
        previous_status=previous_status,
        reason=told.status_reason,
        crm_account=account,
        held_commands=held,
    )


def _message(event: ConnectionEvent, topics: Topics, at: datetime) -> OutboxMessage:
    event_id = f"{event.connection_id}/{event.sequence}"
    headers, value = encode(EventType.CONNECTION, event_id, event, subject=str(event.connection_id), time=at)
    return OutboxMessage(
        topic=topics.connections,
        dedupe_key=event_id,
        key=message_key(event.workspace_id, event.integration).encode(),
        value=value,
        headers=headers,
    )
