"""The stores of connections, refresh leases and the audit, on a real database."""

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import Connection, Engine, text

from crm import model
from crm.connection_events import announce
from crm.model import FieldMapping, OAuthTokens
from crm.store import connection_events, connections, mappings, refresh_leases, workspaces
from crm.store.engine import create_engine
from crm.store.mappings import StoredMapping
from crm.vault import Sealed
from schemas.connection import ConnectionEvent
from schemas.envelope import decode
from schemas.topics import Topics

TOKENS = OAuthTokens(
    "a", "r", account_id="00D1", account_name="Acme", user="ada", login_host="https://test.salesforce.com"
)
SEALED = Sealed("Y2lwaGVy", "aXY=", "dGFn", "k1")
NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    made = create_engine(database_url)
    yield made
    made.dispose()


@pytest.fixture
def workspace_id(engine: Engine) -> UUID:
    with engine.begin() as transaction:
        return workspaces.create(transaction, "Acme").id


def save(transaction: Connection, workspace_id: UUID, slug: str = "salesforce", **options: Any) -> model.Connection:
    values = {"tokens": TOKENS, "sealed": SEALED, "connected_by": "ada", **options}
    return connections.save_connected(transaction, workspace_id, slug, **values)


def test_a_connection_is_saved_found_and_listed(engine: Engine, workspace_id: UUID) -> None:
    """What was connected is what is read, by workspace, by id and in the list; nothing of another workspace."""
    # Given two connections of one workspace
    with engine.begin() as transaction:
        salesforce = save(transaction, workspace_id, settings={"person": "Contact"})
        hubspot = save(transaction, workspace_id, "hubspot", tokens=replace(TOKENS, account_id="4711"))

    # When they are read
    with engine.begin() as transaction:
        read = connections.get(transaction, workspace_id, "salesforce")
        same = connections.by_id(transaction, salesforce.id)
        listed = connections.list_of(transaction, workspace_id)
        stored = connections.sealed_tokens(transaction, salesforce.id)
        foreign = connections.get(transaction, uuid4(), "salesforce"), connections.by_id(transaction, uuid4())

    # Then all agree
    assert read == same == salesforce
    assert listed == [hubspot, salesforce]
    assert stored == connections.StoredTokens(salesforce, SEALED)
    assert foreign == (None, None)
    assert (salesforce.status, salesforce.token_version, salesforce.settings) == ("connected", 1, {"person": "Contact"})
    assert (salesforce.crm_account_id, salesforce.crm_user) == ("00D1", "ada")
    assert salesforce.login_host == "https://test.salesforce.com"


def test_reconnecting_keeps_the_row_and_raises_the_version(engine: Engine, workspace_id: UUID) -> None:
    """A reconnect writes new tokens into the same row: id, settings and event sequence stay."""
    # Given a connection that was told, disconnected and leased
    with engine.begin() as transaction:
        first = save(transaction, workspace_id, settings={"person": "Contact"})
        connections.next_event_sequence(transaction, first.id)
        connections.forget_tokens(transaction, first.id, reason="by ada")
        assert refresh_leases.take_refresh_lease(transaction, first.id, uuid4(), 60)

    # When it is connected again
    newer = replace(SEALED, ciphertext="bmV3ZXI=")
    with engine.begin() as transaction:
        again = save(transaction, workspace_id, sealed=newer)
        stored = connections.sealed_tokens(transaction, first.id)

    # Then it is the same row with newer tokens, and no lease or reason is left
    assert (again.id, again.status, again.token_version) == (first.id, "connected", 3)
    assert (again.settings, again.event_sequence, again.status_reason) == ({"person": "Contact"}, 1, None)
    assert stored == connections.StoredTokens(again, newer)
    with engine.begin() as transaction:
        assert refresh_leases.take_refresh_lease(transaction, first.id, uuid4(), 60, version=3)


def test_tokens_are_swapped_by_who_read_the_newest_only(engine: Engine, workspace_id: UUID) -> None:
    """Of two writers that read one version, the first wins; a disconnected connection takes no tokens."""
    # Given a connection
    with engine.begin() as transaction:
        connection = save(transaction, workspace_id)

    # When two writers swap from version 1, and one after a disconnect
    swapped = []
    for ciphertext in ("Zmlyc3Q=", "c2Vjb25k"):
        with engine.begin() as transaction:
            sealed = replace(SEALED, ciphertext=ciphertext)
            swapped.append(connections.swap_tokens(transaction, connection.id, expected_version=1, sealed=sealed))
    with engine.begin() as transaction:
        stored = connections.sealed_tokens(transaction, connection.id)
        connections.forget_tokens(transaction, connection.id, reason=None)
        swapped.append(connections.swap_tokens(transaction, connection.id, expected_version=3, sealed=SEALED))

    # Then only the first wrote
    assert swapped == [True, False, False]
    assert stored is not None
    assert stored.sealed == replace(SEALED, ciphertext="Zmlyc3Q=")
    assert stored.connection.token_version == 2


def test_resealing_keeps_the_version(engine: Engine, workspace_id: UUID) -> None:
    """The same tokens under another key are no new tokens; who lost the race writes nothing."""
    # Given a connection
    with engine.begin() as transaction:
        connection = save(transaction, workspace_id)

    # When its tokens are sealed again, for the right version and for a wrong one
    with engine.begin() as transaction:
        newer = replace(SEALED, key_id="k2")
        done = connections.reseal_tokens(transaction, connection.id, expected_version=1, sealed=newer)
        late = connections.reseal_tokens(transaction, connection.id, expected_version=7, sealed=SEALED)
        stored = connections.sealed_tokens(transaction, connection.id)

    # Then the key changed and the version did not
    assert (done, late) == (True, False)
    assert stored == connections.StoredTokens(connection, newer)


def test_a_status_changes_once_and_only_for_the_tokens_it_was_judged_by(engine: Engine, workspace_id: UUID) -> None:
    """`reauth_required` is set by one of many, and never on newer tokens than those that were refused."""
    # Given a connection of version 1
    with engine.begin() as transaction:
        connection = save(transaction, workspace_id)

    # When it is judged by old tokens, by the right ones, and again
    with engine.begin() as transaction:
        stale, right, again = (
            connections.set_status(
                transaction, connection.id, "reauth_required", reason="invalid_grant", expected_version=version
            )
            for version in (0, 1, 1)
        )

    # Then it changed once
    assert (stale, again) == (None, None)
    assert right == replace(connection, status="reauth_required", status_reason="invalid_grant")


def test_forgetting_leaves_the_row_without_tokens(engine: Engine, workspace_id: UUID) -> None:
    """A disconnect wipes every part of the sealed tokens, keeps the account's names, and is done once."""
    # Given a connection
    with engine.begin() as transaction:
        connection = save(transaction, workspace_id)

    # When its tokens are forgotten twice
    with engine.begin() as transaction:
        gone = connections.forget_tokens(transaction, connection.id, reason="disconnected by ada")
        again = connections.forget_tokens(transaction, connection.id, reason="disconnected by bob")
        query = "SELECT encrypted_tokens, token_iv, token_tag, token_key_id FROM integrations"
        columns = transaction.execute(text(query)).one()

    # Then nothing of them is left, and the row says who did it
    assert tuple(columns) == (None, None, None, None)
    assert again is None
    assert gone is not None
    assert (gone.status, gone.status_reason, gone.crm_account_id) == ("disconnected", "disconnected by ada", "00D1")


def test_one_holder_has_the_refresh_lease(engine: Engine, workspace_id: UUID) -> None:
    """A lease is taken by one, ends by itself or by its holder, and not by a stranger."""
    # Given a connection
    with engine.begin() as transaction:
        connection_id = save(transaction, workspace_id).id
    first, second = uuid4(), uuid4()

    def take(holder: UUID, seconds: float = 60, version: int | None = 1) -> bool:
        with engine.begin() as transaction:
            return refresh_leases.take_refresh_lease(transaction, connection_id, holder, seconds, version=version)

    def release(holder: UUID, cool_down_s: float = 0.0) -> None:
        with engine.begin() as transaction:
            refresh_leases.release_refresh_lease(transaction, connection_id, holder, cool_down_s=cool_down_s)

    # When two want it, a stranger releases it, and then its holder
    taken = [take(first), take(second)]
    release(second)
    taken.append(take(second))
    release(first)
    taken.append(take(second))

    # Then the second got it only after the first's release
    assert taken == [True, False, False, True]

    # And a lease that has ended is free; one for an old version, or during a cool-down, is not given
    release(second)
    assert take(first, seconds=-1)
    assert take(second, version=2) is False
    assert take(second)
    release(second, cool_down_s=60)
    assert take(first) is False
    assert take(first, version=None)
    with engine.begin() as transaction:
        stored = connections.sealed_tokens(transaction, connection_id)
    assert stored is not None
    assert 50 < stored.cooling_s <= 60


def test_an_event_is_audited_and_queued_with_the_change_or_not_at_all(engine: Engine, workspace_id: UUID) -> None:
    """Sequence, audit row and outbox row commit with the change; a rolled back change leaves none of them."""
    # Given a connection with two held commands
    with engine.begin() as transaction:
        connection = save(transaction, workspace_id)
        for number in (1, 2):
            transaction.execute(
                text(
                    "INSERT INTO held_commands (connection_id, workspace_id, command_id, encrypted_payload, "
                    "payload_iv, payload_tag, payload_key_id, reason, first_ready_at) "
                    "VALUES (:c, :w, :n, 'p', 'i', 't', 'k1', 'reauth_required', now())"
                ),
                {"c": connection.id, "w": workspace_id, "n": f"c{number}"},
            )

    # When one change is rolled back and one is committed
    topics = Topics(connections="test.connections")
    with engine.connect() as transaction:
        announce(transaction, connection, "connected", previous_status=None, actor="ada", topics=topics, at=NOW)
        transaction.rollback()
    with engine.begin() as transaction:
        told = announce(transaction, connection, "connected", previous_status=None, actor="ada", topics=topics, at=NOW)

    # Then there is one event, with sequence 1 and the whole state
    with engine.begin() as transaction:
        audited = connection_events.list_of(transaction, connection.id)
        rows = transaction.execute(text("SELECT topic, dedupe_key, message_key, headers, payload FROM outbox")).all()
    assert told == replace(connection, event_sequence=1)
    assert [(one.event, one.actor, one.detail["sequence"]) for one in audited] == [("connected", "ada", 1)]
    assert len(rows) == 1
    topic, dedupe_key, key, headers, payload = rows[0]
    assert (topic, dedupe_key) == ("test.connections", f"{connection.id}/1")
    assert bytes(key) == f"{workspace_id}:salesforce".encode()
    assert {name for name, _value in headers} >= {"ce_id", "ce_type", "ce_source", "ce_subject", "content-type"}
    event = ConnectionEvent.model_validate(decode([], bytes(payload)).data)
    assert (event.sequence, event.status, event.held_commands) == (1, "connected", 2)
    assert event.crm_account is not None
    assert (event.crm_account.id, event.crm_account.user) == ("00D1", "ada")


def test_a_deleted_workspace_takes_its_connections_along(engine: Engine, workspace_id: UUID) -> None:
    """Tokens do not outlive their workspace."""
    # Given a connection with an audit row and a mapping
    with engine.begin() as transaction:
        connection = save(transaction, workspace_id)
        connection_events.add(transaction, connection, "connected", actor="ada", detail=json.loads("{}"))
        mappings.replace(transaction, workspace_id, "salesforce", [StoredMapping("*", FieldMapping("email", "Email"))])

    # When the workspace is deleted
    with engine.begin() as transaction:
        transaction.execute(text("DELETE FROM workspaces"))

        # Then nothing of it is left
        assert connections.list_of(transaction, workspace_id) == []
        assert connection_events.list_of(transaction, connection.id) == []
        assert mappings.list_of(transaction, workspace_id, "salesforce") == []
