"""The tables as the migrations leave them (a test holds the two equal); the migrations say what each is for."""

from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Sequence,
    SmallInteger,
    String,
    Table,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB, TIMESTAMP, UUID

metadata = MetaData()

_NOW = text("now()")
_NEW_ID = text("gen_random_uuid()")


def _instant(name: str, *, now: bool = False, nullable: bool = False) -> Column[Any]:
    return Column(name, TIMESTAMP(timezone=True), nullable=nullable, server_default=_NOW if now else None)


def _json(name: str, default: str) -> Column[Any]:
    return Column(name, JSONB, nullable=False, server_default=text(f"'{default}'"))


def _workspace() -> Column[Any]:
    return Column("workspace_id", UUID, ForeignKey("workspaces.id", ondelete="CASCADE"), nullable=False)


def _connection() -> Column[Any]:
    return Column("connection_id", UUID, ForeignKey("integrations.id", ondelete="CASCADE"), nullable=False)


workspaces = Table(
    "workspaces",
    metadata,
    Column("id", UUID, primary_key=True, server_default=_NEW_ID),
    Column("name", Text, nullable=False, server_default=text("''")),
    _instant("created_at", now=True),
    comment="made by morket-crm-sync 018",
)

integrations = Table(
    "integrations",
    metadata,
    Column("id", UUID, primary_key=True, server_default=_NEW_ID),
    _workspace(),
    Column("integration_slug", String(50), nullable=False),
    Column("encrypted_tokens", Text),
    Column("token_iv", String(32)),
    Column("token_tag", String(32)),
    Column("status", String(20), nullable=False, server_default=text("'connected'")),
    _instant("connected_at", now=True),
    Column("token_key_id", String(64)),
    Column("token_version", BigInteger, nullable=False, server_default=text("0")),
    Column("crm_account_id", String(64)),
    Column("crm_account_name", Text),
    Column("crm_user", Text),
    Column("login_host", Text),
    _json("settings", "{}"),
    Column("status_reason", Text),
    _instant("status_changed_at", now=True),
    Column("connected_by", Text),
    Column("event_sequence", BigInteger, nullable=False, server_default=text("0")),
    Column("refresh_holder", UUID),
    _instant("refresh_lease_until", nullable=True),
    _instant("refresh_not_before", nullable=True),
    UniqueConstraint("workspace_id", "integration_slug"),
    CheckConstraint("status IN ('connected', 'reauth_required', 'disconnected')", name="integrations_status_check"),
    CheckConstraint(
        "status <> 'connected' OR (encrypted_tokens IS NOT NULL AND token_iv IS NOT NULL AND token_tag IS NOT NULL "
        "AND token_key_id IS NOT NULL)",
        name="integrations_tokens_while_connected",
    ),
)

integration_field_mappings = Table(
    "integration_field_mappings",
    metadata,
    Column("id", UUID, primary_key=True, server_default=_NEW_ID),
    _workspace(),
    Column("integration_slug", String(50), nullable=False),
    Column("morket_field", String(100), nullable=False),
    Column("crm_field", String(100), nullable=False),
    Column("direction", String(10), nullable=False, server_default=text("'both'")),
    Column("entity", String(100), nullable=False, server_default=text("'*'")),
    Column("write_policy", String(20)),
    Column("identifier", Boolean, nullable=False, server_default=text("false")),
    _json("value_map", "{}"),
    Column("default_value", Text),
    UniqueConstraint(
        "workspace_id", "integration_slug", "entity", "morket_field", name="integration_field_mappings_per_entity"
    ),
    CheckConstraint("direction IN ('push', 'pull', 'both')", name="integration_field_mappings_direction_check"),
    CheckConstraint(
        "write_policy IN ('overwrite', 'fill_if_empty', 'create_only')",
        name="integration_field_mappings_write_policy_check",
    ),
)

sync_history = Table(
    "sync_history",
    metadata,
    Column("id", UUID, primary_key=True, server_default=_NEW_ID),
    _workspace(),
    Column("integration_slug", String(50), nullable=False),
    Column("direction", String(10), nullable=False),
    Column("record_count", Integer, nullable=False, server_default=text("0")),
    Column("success_count", Integer, nullable=False, server_default=text("0")),
    Column("failure_count", Integer, nullable=False, server_default=text("0")),
    Column("status", String(20), nullable=False, server_default=text("'running'")),
    _instant("started_at", now=True),
    _instant("completed_at", nullable=True),
    Column("command_id", String(128)),
    Column("connection_id", UUID),
    Column("crm_account_id", String(64)),
    Column("entity", String(100)),
    Column("crm_object", String(100)),
    Column("attempt", Integer, nullable=False, server_default=text("1")),
    Column("skipped_count", Integer, nullable=False, server_default=text("0")),
    _json("counts", "{}"),
    Column("error_code", String(64)),
    Column("error", JSONB),
    _json("outcomes", "[]"),
    _json("details", "{}"),
    CheckConstraint("direction IN ('push', 'pull')", name="sync_history_direction_check"),
    CheckConstraint("status IN ('running', 'completed', 'partial', 'failed')", name="sync_history_status_check"),
    CheckConstraint("record_count = success_count + failure_count + skipped_count", name="sync_history_counts_check"),
    Index("sync_history_command", "workspace_id", "command_id", unique=True),
    Index("sync_history_newest", "workspace_id", text("started_at DESC"), text("id DESC")),
)

command_claims = Table(
    "command_claims",
    metadata,
    Column("workspace_id", UUID, primary_key=True),
    Column("command_id", String(128), primary_key=True),
    Column("body_hash", LargeBinary, nullable=False),
    Column("integration_slug", String(50)),
    Column("state", String(10), nullable=False, server_default=text("'running'")),
    Column("attempt", Integer, nullable=False, server_default=text("1")),
    Column("topic", Text, nullable=False),
    Column("partition", Integer, nullable=False),
    Column("message_offset", BigInteger, nullable=False),
    Column("epoch", BigInteger, nullable=False),
    _instant("first_ready_at", now=True),
    _instant("claimed_at", now=True),
    Column("waiting_for", String(64)),
    _instant("waiting_until", nullable=True),
    _instant("done_at", nullable=True),
    CheckConstraint("state IN ('running', 'done')", name="command_claims_state_check"),
    Index("command_claims_done", "done_at", postgresql_where=text("state = 'done'")),
)

partition_owner = Table(
    "partition_owner",
    metadata,
    Column("topic", Text, primary_key=True),
    Column("partition", Integer, primary_key=True, autoincrement=False),
    Column("epoch", BigInteger, nullable=False),
    Column("member", Text, nullable=False),
    _instant("lease_until"),
    _instant("resume_after"),
)

outbox_batches = Sequence("outbox_batches", metadata=metadata)

outbox = Table(
    "outbox",
    metadata,
    Column("id", BigInteger, primary_key=True, autoincrement=True),
    Column("shard", SmallInteger, nullable=False),
    Column("topic", Text, nullable=False),
    Column("dedupe_key", Text, nullable=False),
    Column("message_key", LargeBinary),
    _json("headers", "[]"),
    Column("payload", LargeBinary),
    Column("message_timestamp_ms", BigInteger),
    Column("state", String(12), nullable=False, server_default=text("'new'")),
    Column("batch_id", BigInteger),
    Column("error", Text),
    _instant("created_at", now=True),
    _instant("sent_at", nullable=True),
    UniqueConstraint("topic", "dedupe_key", name="outbox_dedupe"),
    CheckConstraint("state IN ('new', 'prepared', 'sent', 'quarantined')", name="outbox_state_check"),
    Index("outbox_new", "shard", "id", postgresql_where=text("state = 'new'")),
    Index("outbox_prepared", "shard", "batch_id", postgresql_where=text("state = 'prepared'")),
    Index("outbox_quarantined", "id", postgresql_where=text("state = 'quarantined'")),
    Index("outbox_sent", "sent_at", postgresql_where=text("state = 'sent'")),
)

held_commands = Table(
    "held_commands",
    metadata,
    Column("id", BigInteger, primary_key=True, autoincrement=True),
    _connection(),
    Column("workspace_id", UUID, nullable=False),
    Column("command_id", String(128), nullable=False),
    Column("encrypted_payload", Text, nullable=False),
    Column("payload_iv", String(32), nullable=False),
    Column("payload_tag", String(32), nullable=False),
    Column("payload_key_id", String(64), nullable=False),
    Column("reason", String(64), nullable=False),
    _instant("first_ready_at"),
    _instant("held_at", now=True),
    UniqueConstraint("workspace_id", "command_id", name="held_commands_once"),
    Index("held_commands_in_order", "connection_id", "id"),
)

record_links = Table(
    "record_links",
    metadata,
    Column("connection_id", UUID, ForeignKey("integrations.id", ondelete="CASCADE"), primary_key=True),
    Column("crm_account_id", String(64), primary_key=True),
    Column("crm_object", String(100), primary_key=True),
    Column("match_field", String(110), primary_key=True),
    Column("value_hash", LargeBinary, primary_key=True),
    Column("crm_id", String(64), nullable=False),
    _instant("updated_at", now=True),
)

oauth_states = Table(
    "oauth_states",
    metadata,
    Column("id", UUID, primary_key=True, server_default=_NEW_ID),
    Column("ticket_hash", LargeBinary, nullable=False, unique=True),
    Column("state_hash", LargeBinary, unique=True),
    Column("browser_hash", LargeBinary),
    _workspace(),
    Column("integration_slug", String(50), nullable=False),
    Column("requested_by", Text, nullable=False),
    Column("return_to", Text),
    Column("login_host", Text),
    Column("step", String(20), nullable=False, server_default=text("'ticket'")),
    Column("encrypted_payload", Text),
    Column("payload_iv", String(32)),
    Column("payload_tag", String(32)),
    Column("payload_key_id", String(64)),
    _instant("created_at", now=True),
    _instant("expires_at"),
    CheckConstraint("step IN ('ticket', 'redirected', 'confirm', 'done', 'failed')", name="oauth_states_step_check"),
    Index("oauth_states_expiry", "expires_at"),
)

connection_events = Table(
    "connection_events",
    metadata,
    Column("id", BigInteger, primary_key=True, autoincrement=True),
    _connection(),
    Column("workspace_id", UUID, nullable=False),
    Column("integration_slug", String(50), nullable=False),
    Column("event", String(30), nullable=False),
    Column("actor", Text, nullable=False),
    _json("detail", "{}"),
    _instant("created_at", now=True),
    Index("connection_events_of_connection", "connection_id", "id"),
)
