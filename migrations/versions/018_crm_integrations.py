"""The owner's migration 018, to the letter; `workspaces` is made only where the host product has not made one."""

from alembic import op

revision = "018"
down_revision = None
branch_labels = None
depends_on = None

#: Marks a `workspaces` table that this migration made, so that going down never drops the host product's.
OURS = "made by morket-crm-sync 018"


def upgrade() -> None:
    """Create the owner's three tables."""
    op.execute(f"""
DO $$
BEGIN
  IF to_regclass('workspaces') IS NULL THEN
    CREATE TABLE workspaces (
      id UUID PRIMARY KEY DEFAULT gen_random_uuid(),
      name TEXT NOT NULL DEFAULT '',
      created_at TIMESTAMPTZ NOT NULL DEFAULT NOW()
    );
    COMMENT ON TABLE workspaces IS '{OURS}';
  END IF;
END $$""")
    op.execute("""
CREATE TABLE integrations (
  id UUID PRIMARY KEY DEFAULT gen_random_uuid(),
  workspace_id UUID NOT NULL REFERENCES workspaces(id) ON DELETE CASCADE,
  integration_slug VARCHAR(50) NOT NULL,
  encrypted_tokens TEXT NOT NULL,
  token_iv VARCHAR(32) NOT NULL,
  token_tag VARCHAR(32) NOT NULL,
  status VARCHAR(20) NOT NULL DEFAULT 'connected',
  connected_at TIMESTAMPTZ NOT NULL DEFAULT NOW(),
  UNIQUE(workspace_id, integration_slug)
)""")
    op.execute("""
CREATE TABLE integration_field_mappings (
  id UUID PRIMARY KEY DEFAULT gen_random_uuid(),
  workspace_id UUID NOT NULL REFERENCES workspaces(id) ON DELETE CASCADE,
  integration_slug VARCHAR(50) NOT NULL,
  morket_field VARCHAR(100) NOT NULL,
  crm_field VARCHAR(100) NOT NULL,
  direction VARCHAR(10) NOT NULL DEFAULT 'both',
  UNIQUE(workspace_id, integration_slug, morket_field)
)""")
    op.execute("""
CREATE TABLE sync_history (
  id UUID PRIMARY KEY DEFAULT gen_random_uuid(),
  workspace_id UUID NOT NULL REFERENCES workspaces(id) ON DELETE CASCADE,
  integration_slug VARCHAR(50) NOT NULL,
  direction VARCHAR(10) NOT NULL,
  record_count INTEGER NOT NULL DEFAULT 0,
  success_count INTEGER NOT NULL DEFAULT 0,
  failure_count INTEGER NOT NULL DEFAULT 0,
  status VARCHAR(20) NOT NULL DEFAULT 'running',
  started_at TIMESTAMPTZ NOT NULL DEFAULT NOW(),
  completed_at TIMESTAMPTZ
)""")


def downgrade() -> None:
    """Drop them; `workspaces` only where this migration made it."""
    op.execute("DROP TABLE sync_history")
    op.execute("DROP TABLE integration_field_mappings")
    op.execute("DROP TABLE integrations")
    op.execute(f"""
DO $$
BEGIN
  IF obj_description(to_regclass('workspaces'), 'pg_class') = '{OURS}' THEN
    DROP TABLE workspaces;
  END IF;
END $$""")
