"""What the design adds to the owner's tables, and the tables of the sync engine.

Bends 018 on purpose: one Morket field may map differently per object, and a disconnected integration keeps its row
without tokens.
"""

from alembic import op

revision = "019"
down_revision = "018"
branch_labels = None
depends_on = None

OWNER_TABLES_UP = """
ALTER TABLE integrations
  ALTER COLUMN encrypted_tokens DROP NOT NULL,
  ALTER COLUMN token_iv DROP NOT NULL,
  ALTER COLUMN token_tag DROP NOT NULL,
  ADD COLUMN token_key_id VARCHAR(64),
  ADD COLUMN token_version BIGINT NOT NULL DEFAULT 0,
  ADD COLUMN crm_account_id VARCHAR(64),
  ADD COLUMN crm_account_name TEXT,
  ADD COLUMN crm_user TEXT,
  ADD COLUMN login_host TEXT,
  ADD COLUMN settings JSONB NOT NULL DEFAULT '{}',
  ADD COLUMN status_reason TEXT,
  ADD COLUMN status_changed_at TIMESTAMPTZ NOT NULL DEFAULT NOW(),
  ADD COLUMN connected_by TEXT,
  ADD COLUMN event_sequence BIGINT NOT NULL DEFAULT 0,
  ADD COLUMN refresh_holder UUID,
  ADD COLUMN refresh_lease_until TIMESTAMPTZ,
  ADD COLUMN refresh_not_before TIMESTAMPTZ,
  ADD CONSTRAINT integrations_status_check CHECK (status IN ('connected', 'reauth_required', 'disconnected')),
  ADD CONSTRAINT integrations_tokens_while_connected CHECK (
    status <> 'connected'
    OR (encrypted_tokens IS NOT NULL AND token_iv IS NOT NULL AND token_tag IS NOT NULL AND token_key_id IS NOT NULL)
  );

DO $$
DECLARE owner_rule TEXT;
BEGIN
  SELECT conname INTO STRICT owner_rule FROM pg_constraint
   WHERE conrelid = 'integration_field_mappings'::regclass AND contype = 'u';
  EXECUTE format('ALTER TABLE integration_field_mappings DROP CONSTRAINT %I', owner_rule);
END $$;

ALTER TABLE integration_field_mappings
  ADD COLUMN entity VARCHAR(100) NOT NULL DEFAULT '*',
  ADD COLUMN write_policy VARCHAR(20),
  ADD COLUMN identifier BOOLEAN NOT NULL DEFAULT FALSE,
  ADD COLUMN value_map JSONB NOT NULL DEFAULT '{}',
  ADD COLUMN default_value TEXT,
  ADD CONSTRAINT integration_field_mappings_per_entity UNIQUE (workspace_id, integration_slug, entity, morket_field),
  ADD CONSTRAINT integration_field_mappings_direction_check CHECK (direction IN ('push', 'pull', 'both')),
  ADD CONSTRAINT integration_field_mappings_write_policy_check
    CHECK (write_policy IN ('overwrite', 'fill_if_empty', 'create_only'));

ALTER TABLE sync_history
  ADD COLUMN command_id VARCHAR(128),
  ADD COLUMN connection_id UUID,
  ADD COLUMN crm_account_id VARCHAR(64),
  ADD COLUMN entity VARCHAR(100),
  ADD COLUMN crm_object VARCHAR(100),
  ADD COLUMN attempt INTEGER NOT NULL DEFAULT 1,
  ADD COLUMN skipped_count INTEGER NOT NULL DEFAULT 0,
  ADD COLUMN counts JSONB NOT NULL DEFAULT '{}',
  ADD COLUMN error_code VARCHAR(64),
  ADD COLUMN error JSONB,
  ADD COLUMN outcomes JSONB NOT NULL DEFAULT '[]',
  ADD COLUMN details JSONB NOT NULL DEFAULT '{}',
  ADD CONSTRAINT sync_history_direction_check CHECK (direction IN ('push', 'pull')),
  ADD CONSTRAINT sync_history_status_check CHECK (status IN ('running', 'completed', 'partial', 'failed')),
  ADD CONSTRAINT sync_history_counts_check CHECK (record_count = success_count + failure_count + skipped_count);
CREATE UNIQUE INDEX sync_history_command ON sync_history (workspace_id, command_id);
CREATE INDEX sync_history_newest ON sync_history (workspace_id, started_at DESC, id DESC);
"""

OWNER_TABLES_DOWN = """
DROP INDEX sync_history_newest;
DROP INDEX sync_history_command;
ALTER TABLE sync_history
  DROP CONSTRAINT sync_history_counts_check, DROP CONSTRAINT sync_history_status_check,
  DROP CONSTRAINT sync_history_direction_check,
  DROP COLUMN details, DROP COLUMN outcomes, DROP COLUMN error, DROP COLUMN error_code, DROP COLUMN counts,
  DROP COLUMN skipped_count, DROP COLUMN attempt, DROP COLUMN crm_object, DROP COLUMN entity,
  DROP COLUMN crm_account_id,
  DROP COLUMN connection_id, DROP COLUMN command_id;

-- The owner's rule knows one mapping for a field: of several, the one for every object stays.
DELETE FROM integration_field_mappings doomed USING integration_field_mappings kept
 WHERE doomed.workspace_id = kept.workspace_id AND doomed.integration_slug = kept.integration_slug
   AND doomed.morket_field = kept.morket_field AND doomed.entity > kept.entity;
ALTER TABLE integration_field_mappings
  DROP CONSTRAINT integration_field_mappings_write_policy_check,
  DROP CONSTRAINT integration_field_mappings_direction_check,
  DROP CONSTRAINT integration_field_mappings_per_entity,
  DROP COLUMN default_value, DROP COLUMN value_map, DROP COLUMN identifier, DROP COLUMN write_policy,
  DROP COLUMN entity,
  ADD UNIQUE (workspace_id, integration_slug, morket_field);

-- A row without tokens cannot be said in 018.
DELETE FROM integrations WHERE encrypted_tokens IS NULL OR token_iv IS NULL OR token_tag IS NULL;
ALTER TABLE integrations
  DROP CONSTRAINT integrations_tokens_while_connected, DROP CONSTRAINT integrations_status_check,
  DROP COLUMN refresh_not_before, DROP COLUMN refresh_lease_until, DROP COLUMN refresh_holder,
  DROP COLUMN event_sequence,
  DROP COLUMN connected_by, DROP COLUMN status_changed_at, DROP COLUMN status_reason, DROP COLUMN settings,
  DROP COLUMN login_host, DROP COLUMN crm_user, DROP COLUMN crm_account_name, DROP COLUMN crm_account_id,
  DROP COLUMN token_version, DROP COLUMN token_key_id,
  ALTER COLUMN encrypted_tokens SET NOT NULL, ALTER COLUMN token_iv SET NOT NULL, ALTER COLUMN token_tag SET NOT NULL;
"""

ENGINE_TABLES_UP = """
-- Dedupe. No foreign key, no cascade: a claim outlives its workspace, so that a late copy is still known.
CREATE TABLE command_claims (
  workspace_id UUID NOT NULL,
  command_id VARCHAR(128) NOT NULL,
  body_hash BYTEA NOT NULL,
  integration_slug VARCHAR(50),
  state VARCHAR(10) NOT NULL DEFAULT 'running',
  attempt INTEGER NOT NULL DEFAULT 1,
  topic TEXT NOT NULL,
  partition INTEGER NOT NULL,
  message_offset BIGINT NOT NULL,
  epoch BIGINT NOT NULL,
  first_ready_at TIMESTAMPTZ NOT NULL DEFAULT NOW(),
  claimed_at TIMESTAMPTZ NOT NULL DEFAULT NOW(),
  waiting_for VARCHAR(64),
  waiting_until TIMESTAMPTZ,
  done_at TIMESTAMPTZ,
  PRIMARY KEY (workspace_id, command_id),
  CONSTRAINT command_claims_state_check CHECK (state IN ('running', 'done'))
);
CREATE INDEX command_claims_done ON command_claims (done_at) WHERE state = 'done';

CREATE TABLE partition_owner (
  topic TEXT NOT NULL,
  partition INTEGER NOT NULL,
  epoch BIGINT NOT NULL,
  member TEXT NOT NULL,
  lease_until TIMESTAMPTZ NOT NULL,
  resume_after TIMESTAMPTZ NOT NULL,
  PRIMARY KEY (topic, partition)
);

CREATE SEQUENCE outbox_batches;
CREATE TABLE outbox (
  id BIGSERIAL PRIMARY KEY,
  shard SMALLINT NOT NULL,
  topic TEXT NOT NULL,
  dedupe_key TEXT NOT NULL,
  message_key BYTEA,
  headers JSONB NOT NULL DEFAULT '[]',
  payload BYTEA,
  message_timestamp_ms BIGINT,
  state VARCHAR(12) NOT NULL DEFAULT 'new',
  batch_id BIGINT,
  error TEXT,
  created_at TIMESTAMPTZ NOT NULL DEFAULT NOW(),
  sent_at TIMESTAMPTZ,
  CONSTRAINT outbox_dedupe UNIQUE (topic, dedupe_key),
  CONSTRAINT outbox_state_check CHECK (state IN ('new', 'prepared', 'sent', 'quarantined'))
);
CREATE INDEX outbox_new ON outbox (shard, id) WHERE state = 'new';
CREATE INDEX outbox_prepared ON outbox (shard, batch_id) WHERE state = 'prepared';
CREATE INDEX outbox_quarantined ON outbox (id) WHERE state = 'quarantined';
CREATE INDEX outbox_sent ON outbox (sent_at) WHERE state = 'sent';

CREATE TABLE held_commands (
  id BIGSERIAL PRIMARY KEY,
  connection_id UUID NOT NULL REFERENCES integrations(id) ON DELETE CASCADE,
  workspace_id UUID NOT NULL,
  command_id VARCHAR(128) NOT NULL,
  encrypted_payload TEXT NOT NULL,
  payload_iv VARCHAR(32) NOT NULL,
  payload_tag VARCHAR(32) NOT NULL,
  payload_key_id VARCHAR(64) NOT NULL,
  reason VARCHAR(64) NOT NULL,
  first_ready_at TIMESTAMPTZ NOT NULL,
  held_at TIMESTAMPTZ NOT NULL DEFAULT NOW(),
  CONSTRAINT held_commands_once UNIQUE (workspace_id, command_id)
);
CREATE INDEX held_commands_in_order ON held_commands (connection_id, id);

CREATE TABLE record_links (
  connection_id UUID NOT NULL REFERENCES integrations(id) ON DELETE CASCADE,
  crm_account_id VARCHAR(64) NOT NULL,
  crm_object VARCHAR(100) NOT NULL,
  match_field VARCHAR(110) NOT NULL,
  value_hash BYTEA NOT NULL,
  crm_id VARCHAR(64) NOT NULL,
  updated_at TIMESTAMPTZ NOT NULL DEFAULT NOW(),
  PRIMARY KEY (connection_id, crm_account_id, crm_object, match_field, value_hash)
);

-- One authorization attempt: a ticket (the link), then a state (the redirect), then done.
-- Secrets are stored hashed or encrypted.
CREATE TABLE oauth_states (
  id UUID PRIMARY KEY DEFAULT gen_random_uuid(),
  ticket_hash BYTEA NOT NULL UNIQUE,
  state_hash BYTEA UNIQUE,
  browser_hash BYTEA,
  workspace_id UUID NOT NULL REFERENCES workspaces(id) ON DELETE CASCADE,
  integration_slug VARCHAR(50) NOT NULL,
  requested_by TEXT NOT NULL,
  return_to TEXT,
  login_host TEXT,
  step VARCHAR(20) NOT NULL DEFAULT 'ticket',
  encrypted_payload TEXT,
  payload_iv VARCHAR(32),
  payload_tag VARCHAR(32),
  payload_key_id VARCHAR(64),
  created_at TIMESTAMPTZ NOT NULL DEFAULT NOW(),
  expires_at TIMESTAMPTZ NOT NULL,
  CONSTRAINT oauth_states_step_check CHECK (step IN ('ticket', 'redirected', 'confirm', 'done', 'failed'))
);
CREATE INDEX oauth_states_expiry ON oauth_states (expires_at);

CREATE TABLE connection_events (
  id BIGSERIAL PRIMARY KEY,
  connection_id UUID NOT NULL REFERENCES integrations(id) ON DELETE CASCADE,
  workspace_id UUID NOT NULL,
  integration_slug VARCHAR(50) NOT NULL,
  event VARCHAR(30) NOT NULL,
  actor TEXT NOT NULL,
  detail JSONB NOT NULL DEFAULT '{}',
  created_at TIMESTAMPTZ NOT NULL DEFAULT NOW()
);
CREATE INDEX connection_events_of_connection ON connection_events (connection_id, id);
"""

ENGINE_TABLES_DOWN = """
DROP TABLE connection_events, oauth_states, record_links, held_commands, outbox, partition_owner, command_claims;
DROP SEQUENCE outbox_batches;
"""


def upgrade() -> None:
    """Widen the owner's tables and add the engine's."""
    op.execute(OWNER_TABLES_UP)
    op.execute(ENGINE_TABLES_UP)


def downgrade() -> None:
    """Back to the owner's 018; rows that it cannot say are deleted."""
    op.execute(ENGINE_TABLES_DOWN)
    op.execute(OWNER_TABLES_DOWN)
