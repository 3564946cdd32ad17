"""`command_claims`: each command is run by one worker at a time and answered once.

A claim is made when a command is ready to be sent, for a whole dispatch round in one transaction. Who finds a claim of
somebody else waits until that worker cannot be running it any more: the lease of its partition is over.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from sqlalchemy import Connection, Row, TextClause, text

from crm.store.ownership import PartitionId, still_owned


@dataclass(frozen=True, slots=True)
class ClaimRequest:
    """A command that is ready to be sent.

    Attributes:
        claim_id: The command id, or the id under which a refusal of a reused command id is answered.
    """

    workspace_id: UUID
    claim_id: str
    body_hash: bytes
    integration: str | None
    partition: PartitionId
    offset: int
    epoch: int


@dataclass(frozen=True, slots=True)
class Claim:
    """What a claim came to.

    Attributes:
        state: `run` it; `done` = answered before; `reused` = the id was used with another body; `duplicate` = another
            message of this partition with the same id is being run; `wait` for `wait_s` seconds;
            `not_owner` = the partition is not ours any more.
        attempt: 1 for the first owner; raised by each takeover, so over 1 the CRM may have been called before. The
            group commit must name it.
    """

    state: Literal["run", "done", "reused", "duplicate", "wait", "not_owner"]
    attempt: int = 1
    first_ready_at: datetime | None = None
    wait_s: float = 1.0


_INSERT = text("""
INSERT INTO command_claims
  (workspace_id, command_id, body_hash, integration_slug, topic, partition, message_offset, epoch)
SELECT workspace_id, claim_id, decode(body_hash, 'hex'), integration, topic, partition, message_offset, epoch
  FROM jsonb_to_recordset(CAST(:requests AS jsonb)) AS r (
    workspace_id uuid, claim_id text, body_hash text, integration text,
    topic text, partition int, message_offset bigint, epoch bigint)
 ORDER BY workspace_id, claim_id
ON CONFLICT (workspace_id, command_id) DO NOTHING
RETURNING workspace_id, command_id, first_ready_at
""")

_LOCK = text("""
SELECT c.workspace_id, c.command_id FROM command_claims c
 WHERE (c.workspace_id, c.command_id) IN (
   SELECT workspace_id, claim_id
     FROM jsonb_to_recordset(CAST(:requests AS jsonb)) AS r (workspace_id uuid, claim_id text))
 ORDER BY c.workspace_id, c.command_id
   FOR UPDATE
""")

# The lease that binds a claim: its owner's while the epoch stands, else what the next owner was told to wait for. Read
# after the claims are locked: a statement that waited for a lock sees that row anew, but all other tables as before.
_FOUND = text("""
SELECT c.workspace_id, c.command_id, c.body_hash, c.state, c.attempt,
       c.topic, c.partition, c.message_offset, c.epoch, c.first_ready_at,
       extract(epoch FROM CASE WHEN o.epoch = c.epoch THEN o.lease_until ELSE o.resume_after END - clock_timestamp())
         AS bound_for_s
  FROM command_claims c LEFT JOIN partition_owner o ON o.topic = c.topic AND o.partition = c.partition
 WHERE (c.workspace_id, c.command_id) IN (
   SELECT workspace_id, claim_id
     FROM jsonb_to_recordset(CAST(:requests AS jsonb)) AS r (workspace_id uuid, claim_id text))
""")

_TAKE_OVER = text("""
UPDATE command_claims SET attempt = :attempt,
       topic = :topic, partition = :partition, message_offset = :offset, epoch = :epoch,
       claimed_at = now(), waiting_for = NULL, waiting_until = NULL
 WHERE workspace_id = :workspace_id AND command_id = :claim_id
""")


def claim(connection: Connection, requests: Sequence[ClaimRequest]) -> list[Claim]:
    """Claim a dispatch round; one answer for each request, in order. (workspace, claim id) must be distinct."""
    owned = still_owned(connection, ((request.partition, request.epoch) for request in requests))
    mine = [request for request in requests if (request.partition, request.epoch) in owned]
    bound = json.dumps([_as_json(request) for request in mine])
    new = _rows(connection, _INSERT, bound) if mine else {}
    found: dict[tuple[UUID, str], Row[Any]] = {}
    if len(new) < len(mine):
        connection.execute(_LOCK, {"requests": bound})
        found = _rows(connection, _FOUND, bound)
    answers = []
    for request in requests:
        key = (request.workspace_id, request.claim_id)
        if (request.partition, request.epoch) not in owned:
            answers.append(Claim("not_owner"))
        elif key in new:
            answers.append(Claim("run", 1, new[key].first_ready_at))
        elif key in found:
            answers.append(_settle(connection, request, judge(request, found[key])))
        else:  # it was forgotten between the two statements: ask again
            answers.append(Claim("wait"))
    return answers


def _rows(connection: Connection, statement: TextClause, bound: str) -> dict[tuple[UUID, str], Row[Any]]:
    return {(row.workspace_id, row.command_id): row for row in connection.execute(statement, {"requests": bound})}


def judge(request: ClaimRequest, row: Any) -> Claim:
    """What a request may do in face of the claim that is there. Pure; `run` with a raised attempt: take it over."""
    if bytes(row.body_hash) != request.body_hash:
        return Claim("reused")
    if row.state == "done":
        return Claim("done")
    same_partition = (row.topic, row.partition) == (request.partition.topic, request.partition.partition)
    if same_partition and row.epoch == request.epoch:
        # A second message with the same id behind the one that is being run; or our own claim whose answer was lost.
        state: Literal["run", "duplicate"] = "run" if row.message_offset == request.offset else "duplicate"
        return Claim(state, row.attempt, row.first_ready_at)
    if row.bound_for_s is not None and row.bound_for_s > 0:
        return Claim("wait", row.attempt, row.first_ready_at, float(row.bound_for_s))
    return Claim("run", row.attempt + 1, row.first_ready_at)


def _settle(connection: Connection, request: ClaimRequest, verdict: Claim) -> Claim:
    if verdict.state == "run":
        connection.execute(_TAKE_OVER, {**_bind(request), "attempt": verdict.attempt})
    return verdict


def _bind(request: ClaimRequest) -> dict[str, object]:
    return {
        "workspace_id": request.workspace_id,
        "claim_id": request.claim_id,
        "topic": request.partition.topic,
        "partition": request.partition.partition,
        "offset": request.offset,
        "epoch": request.epoch,
    }


def _as_json(request: ClaimRequest) -> dict[str, object]:
    return {
        "workspace_id": str(request.workspace_id),
        "claim_id": request.claim_id,
        "body_hash": request.body_hash.hex(),
        "integration": request.integration,
        "topic": request.partition.topic,
        "partition": request.partition.partition,
        "message_offset": request.offset,
        "epoch": request.epoch,
    }


def mark_waiting(connection: Connection, key: tuple[UUID, str], *, attempt: int, reason: str, until: datetime) -> None:
    """Say what a running command waits for, for people who ask."""
    connection.execute(
        text("""
UPDATE command_claims SET waiting_for = :reason, waiting_until = :until
 WHERE workspace_id = :workspace_id AND command_id = :claim_id AND attempt = :attempt AND state = 'running'"""),
        {"reason": reason, "until": until, "workspace_id": key[0], "claim_id": key[1], "attempt": attempt},
    )


def look(connection: Connection, workspace_id: UUID, command_id: str) -> Mapping[str, Any] | None:
    """The claim of a command: body_hash, state, waiting_for, waiting_until; None where there is none."""
    row = connection.execute(
        text("""
SELECT body_hash, state, attempt, waiting_for, waiting_until FROM command_claims
 WHERE workspace_id = :workspace_id AND command_id = :command_id"""),
        {"workspace_id": workspace_id, "command_id": command_id},
    ).first()
    return dict(row._mapping) if row else None  # noqa: SLF001 - SQLAlchemy's documented name for a row as a mapping


def forget_older_than(connection: Connection, seconds: float, *, limit: int = 5000) -> int:
    """Delete up to `limit` claims that were answered more than `seconds` ago; returns how many."""
    return connection.execute(
        text("""
DELETE FROM command_claims WHERE ctid IN (
  SELECT ctid FROM command_claims
   WHERE state = 'done' AND done_at < now() - make_interval(secs => :seconds) LIMIT :limit)"""),
        {"seconds": seconds, "limit": limit},
    ).rowcount
