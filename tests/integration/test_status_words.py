"""Every status word that a CHECK allows can be stored, and no other."""

from uuid import UUID

import pytest
from sqlalchemy import Connection, insert, text
from sqlalchemy.exc import IntegrityError

from crm.store import tables, workspaces
from crm.store.engine import create_engine

WORKSPACE = UUID("0d5a1c0e-58a5-4dc8-8f53-6f6c7e4b1a01")
BASE_ROWS: dict[str, dict[str, object]] = {
    "integrations": {
        "workspace_id": WORKSPACE,
        "integration_slug": "salesforce",
        "encrypted_tokens": "c",
        "token_iv": "i",
        "token_tag": "t",
        "token_key_id": "k1",
    },
    "integration_field_mappings": {
        "workspace_id": WORKSPACE,
        "integration_slug": "salesforce",
        "morket_field": "email",
        "crm_field": "Email",
    },
    "sync_history": {"workspace_id": WORKSPACE, "integration_slug": "salesforce", "direction": "push"},
    "command_claims": {
        "workspace_id": WORKSPACE,
        "command_id": "c1",
        "body_hash": b"h",
        "topic": "t",
        "partition": 0,
        "message_offset": 0,
        "epoch": 1,
    },
    "outbox": {"shard": 0, "topic": "t", "dedupe_key": "d"},
    "oauth_states": {
        "ticket_hash": b"h",
        "workspace_id": WORKSPACE,
        "integration_slug": "salesforce",
        "requested_by": "ada",
        "expires_at": "2030-01-01T00:00:00Z",
    },
}
# Name of the CHECK -> table, column, its words. The rules over several columns have tests of their own below.
WORDS: dict[str, tuple[str, str, tuple[str, ...]]] = {
    "integrations_status_check": ("integrations", "status", ("connected", "reauth_required", "disconnected")),
    "integration_field_mappings_direction_check": (
        "integration_field_mappings",
        "direction",
        ("push", "pull", "both"),
    ),
    "integration_field_mappings_write_policy_check": (
        "integration_field_mappings",
        "write_policy",
        ("overwrite", "fill_if_empty", "create_only"),
    ),
    "sync_history_direction_check": ("sync_history", "direction", ("push", "pull")),
    "sync_history_status_check": ("sync_history", "status", ("running", "completed", "partial", "failed")),
    "command_claims_state_check": ("command_claims", "state", ("running", "done")),
    "outbox_state_check": ("outbox", "state", ("new", "prepared", "sent", "quarantined")),
    "oauth_states_step_check": ("oauth_states", "step", ("ticket", "redirected", "confirm", "done", "failed")),
}
OVER_SEVERAL_COLUMNS = {"integrations_tokens_while_connected", "sync_history_counts_check"}


def store(connection: Connection, table: str, **values: object) -> None:
    connection.execute(insert(tables.metadata.tables[table]).values({**BASE_ROWS[table], **values}))


@pytest.mark.parametrize("check", WORDS)
def test_every_word_of_a_check_is_stored_and_a_foreign_one_refused(database_url: str, check: str) -> None:
    """Each word fits its column and comes back; a word of nobody's is refused by the CHECK of that name."""
    # Given a workspace
    table, column, words = WORDS[check]
    engine = create_engine(database_url)
    with engine.begin() as connection:
        workspaces.create(connection, "Acme", WORKSPACE)

    # When each word is stored
    stored = []
    for word in words:
        with engine.connect() as connection:
            store(connection, table, **{column: word})
            stored.append(connection.execute(text(f"SELECT {column} FROM {table}")).scalar_one())  # noqa: S608 - our names

    # Then it is read back, and a foreign word is refused
    assert stored == list(words)
    with engine.connect() as connection, pytest.raises(IntegrityError, match=check):
        store(connection, table, **{column: "foreign"})
    engine.dispose()


def test_no_check_is_left_out(database_url: str) -> None:
    """The database has no CHECK that this file does not store the words of."""
    # Given the migrated database
    engine = create_engine(database_url)

    # When its CHECKs are listed
    with engine.connect() as connection:
        query = "SELECT conname FROM pg_constraint WHERE contype = 'c' AND connamespace = 'public'::regnamespace"
        names = set(connection.execute(text(query)).scalars())
    engine.dispose()

    # Then they are the ones tested here
    assert names == set(WORDS) | OVER_SEVERAL_COLUMNS


@pytest.mark.parametrize("missing", ["encrypted_tokens", "token_iv", "token_tag", "token_key_id"])
def test_a_connected_integration_has_whole_tokens(database_url: str, missing: str) -> None:
    """While connected every part of the sealed tokens is there; afterwards each may be gone."""
    # Given a workspace
    engine = create_engine(database_url)
    with engine.begin() as connection:
        workspaces.create(connection, "Acme", WORKSPACE)

    # When a part is missing, then `connected` is refused and `disconnected` is not
    with engine.connect() as connection, pytest.raises(IntegrityError, match="integrations_tokens_while_connected"):
        store(connection, "integrations", **{missing: None})
    with engine.connect() as connection:
        store(connection, "integrations", status="disconnected", **{missing: None})
    engine.dispose()


def test_the_counts_of_a_history_row_add_up(database_url: str) -> None:
    """`record_count` is the sum of the other three, or the row is refused."""
    # Given a workspace
    engine = create_engine(database_url)
    with engine.begin() as connection:
        workspaces.create(connection, "Acme", WORKSPACE)

    # When the counts add up, then they are stored; when they do not, they are refused
    with engine.connect() as connection:
        store(connection, "sync_history", record_count=6, success_count=3, failure_count=2, skipped_count=1)
    with engine.connect() as connection, pytest.raises(IntegrityError, match="sync_history_counts_check"):
        store(connection, "sync_history", record_count=6, success_count=3, failure_count=2)
    engine.dispose()
