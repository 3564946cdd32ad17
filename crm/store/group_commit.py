"""The group commit: outcomes of many commands become claims, history, links and outbox rows in one transaction.

One statement moves claims from running (same attempt) to done and inserts history and outbox rows only for those that
it moved: a commit that is repeated because its answer was lost changes nothing.
"""

import json
from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, text

from crm.store.links import RecordLink
from crm.store.outbox import OutboxMessage, check_size, wake_relays
from crm.store.ownership import PartitionId, Tenure, still_owned


@dataclass(frozen=True, slots=True)
class FinishedCommand:
    """All that one finished command leaves behind.

    Attributes:
        claim: (workspace id, claim id, attempt); None for a dead letter, which has no claim.
        history: Columns of its `sync_history` row; None where there is none to write.
    """

    partition: PartitionId
    epoch: int
    claim: tuple[UUID, str, int] | None
    history: Mapping[str, Any] | None = None
    links: Sequence[RecordLink] = field(default=())
    messages: Sequence[OutboxMessage] = field(default=())

    @property
    def tenure(self) -> Tenure:
        """The partition and the epoch that it was run under."""
        return self.partition, self.epoch

    @property
    def size(self) -> int:
        """Bytes of its messages; history is about as large."""
        return sum(message.size for message in self.messages)


_COMMIT = text("""
WITH input AS (
  SELECT * FROM jsonb_to_recordset(CAST(:claims AS jsonb)) AS c (n int, workspace_id uuid, claim_id text, attempt int)
), moved AS (
  UPDATE command_claims c SET state = 'done', done_at = clock_timestamp(), waiting_for = NULL, waiting_until = NULL
    FROM input i
   WHERE c.workspace_id = i.workspace_id AND c.command_id = i.claim_id AND c.state = 'running' AND c.attempt = i.attempt
  RETURNING i.n
), history AS (
  INSERT INTO sync_history (id, workspace_id, integration_slug, direction, record_count, success_count, failure_count,
      skipped_count, status, started_at, completed_at, command_id, connection_id, crm_account_id, entity, crm_object,
      attempt, counts, error_code, error, outcomes, details)
  SELECT id, workspace_id, integration_slug, direction, record_count, success_count, failure_count,
      skipped_count, status, started_at, completed_at, command_id, connection_id, crm_account_id, entity, crm_object,
      attempt, counts, error_code, error, outcomes, details
    FROM jsonb_to_recordset(CAST(:history AS jsonb)) AS h (n int, id uuid, workspace_id uuid, integration_slug text,
      direction text, record_count int, success_count int, failure_count int, skipped_count int, status text,
      started_at timestamptz, completed_at timestamptz, command_id text, connection_id uuid, crm_account_id text,
      entity text, crm_object text, attempt int, counts jsonb, error_code text, error jsonb, outcomes jsonb,
      details jsonb)
   WHERE n IN (SELECT n FROM moved) AND EXISTS (SELECT 1 FROM workspaces w WHERE w.id = workspace_id)
  -- History outlives claims: an id that comes back after the retention keeps its first row.
  ON CONFLICT DO NOTHING
), linked AS (
  INSERT INTO record_links (connection_id, crm_account_id, crm_object, match_field, value_hash, crm_id)
  SELECT DISTINCT ON (connection_id, crm_account_id, crm_object, match_field, value_hash)
         connection_id, crm_account_id, crm_object, match_field, decode(value_hash, 'hex'), crm_id
    FROM jsonb_to_recordset(CAST(:links AS jsonb)) AS l (n int, connection_id uuid, crm_account_id text,
      crm_object text, match_field text, value_hash text, crm_id text)
   WHERE n IN (SELECT n FROM moved) AND EXISTS (SELECT 1 FROM integrations i WHERE i.id = connection_id)
   ORDER BY connection_id, crm_account_id, crm_object, match_field, value_hash, n DESC
  ON CONFLICT (connection_id, crm_account_id, crm_object, match_field, value_hash)
  DO UPDATE SET crm_id = excluded.crm_id, updated_at = now() WHERE record_links.crm_id <> excluded.crm_id
), sent AS (
  INSERT INTO outbox (shard, topic, dedupe_key, message_key, headers, payload, message_timestamp_ms)
  SELECT shard, topic, dedupe_key, decode(message_key, 'base64'), headers, decode(payload, 'base64'),
         message_timestamp_ms
    FROM jsonb_to_recordset(CAST(:messages AS jsonb)) AS o (seq int, n int, shard int, topic text, dedupe_key text,
      message_key text, headers jsonb, payload text, message_timestamp_ms bigint)
   WHERE n IS NULL OR n IN (SELECT n FROM moved)
   ORDER BY seq
  ON CONFLICT (topic, dedupe_key) DO NOTHING
)
SELECT n FROM moved
""")


def commit_group(connection: Connection, group: Sequence[FinishedCommand]) -> frozenset[Tenure]:
    """Write what a group of commands leaves behind, within the caller's transaction.

    Returns:
        The tenures that are in force; what came under others was dropped, for the partitions' new owners run it again.

    Raises:
        MessageTooLarge: a message over the limit; nothing was written.
        sqlalchemy.exc.DataError: PostgreSQL refuses a row's data; nothing was written.
    """
    owned = still_owned(connection, (finished.tenure for finished in group))
    kept = [finished for finished in group if finished.tenure in owned]
    if kept:
        connection.execute(_COMMIT, _bind(kept))
        wake_relays(connection)
    return owned


def _bind(group: Sequence[FinishedCommand]) -> dict[str, str]:
    claims: list[dict[str, object]] = []
    history: list[dict[str, object]] = []
    links: list[dict[str, object]] = []
    messages: list[dict[str, object]] = []
    for n, finished in enumerate(group):
        if finished.claim:
            workspace_id, claim_id, attempt = finished.claim
            claims.append({"n": n, "workspace_id": str(workspace_id), "claim_id": claim_id, "attempt": attempt})
        if finished.history:
            history.append({"n": n, **finished.history})
        links.extend({"n": n, **_link(link)} for link in finished.links)
        for message in finished.messages:
            check_size(message)
            claimed = n if finished.claim else None
            messages.append({"seq": len(messages), "n": claimed, **_message(message)})
    return {
        name: json.dumps(rows, separators=(",", ":"), ensure_ascii=False)
        for name, rows in (("claims", claims), ("history", history), ("links", links), ("messages", messages))
    }


def _link(link: RecordLink) -> dict[str, str]:
    return {
        "connection_id": str(link.scope.connection_id),
        "crm_account_id": link.scope.crm_account_id,
        "crm_object": link.scope.crm_object,
        "match_field": link.scope.match_field,
        "value_hash": link.value_hash.hex(),
        "crm_id": link.crm_id,
    }


def _message(message: OutboxMessage) -> dict[str, object]:
    row = message.as_row()
    row["message_key"] = _base64(message.key)
    row["payload"] = _base64(message.value)
    return row


def _base64(content: bytes | None) -> str | None:
    return None if content is None else b64encode(content).decode()
