"""The stores of workspaces, field mappings and authorization attempts, on a real database."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest
from sqlalchemy import Connection, Engine
from sqlalchemy.exc import IntegrityError

from crm.model import FieldMapping, OAuthTokens
from crm.store import mappings, oauth_states, workspaces
from crm.store.engine import create_engine
from crm.store.mappings import EVERY_ENTITY, StoredMapping
from crm.store.oauth_states import NewAttempt
from crm.vault import Sealed

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


def test_each_step_of_an_attempt_is_taken_once(engine: Engine, workspace_id: UUID) -> None:
    """Ticket, redirect, use: each works once, in this order only; the payload goes with the use."""
    # Given an attempt
    attempt = NewAttempt(uuid4(), b"ticket", workspace_id, "salesforce", "ada", NOW, SEALED)
    with engine.begin() as transaction:
        oauth_states.add(transaction, attempt)

    def redirect(transaction: Connection) -> bool:
        return oauth_states.redirect(
            transaction,
            attempt.id,
            state_hash=b"state",
            browser_hash=b"browser",
            login_host=None,
            sealed=SEALED,
            expires_at=NOW + timedelta(minutes=10),
        )

    # When each step is tried too early, in time, and again
    with engine.begin() as transaction:
        early = oauth_states.use_up(transaction, attempt.id, "redirected")
        redirected = [redirect(transaction), redirect(transaction)]
        used = [oauth_states.use_up(transaction, attempt.id, "redirected") for _ in range(2)]
        taken = oauth_states.by_state(transaction, b"state")
        oauth_states.finish(transaction, attempt.id)
        done = oauth_states.by_ticket(transaction, b"ticket")

    # Then each worked once, and no payload is left
    assert (early, redirected, used) == (False, [True, False], [True, False])
    assert taken is not None
    assert (taken.step, taken.sealed) == ("failed", None)
    assert done == replace(taken, step="done")


def test_sweeping_wipes_what_has_expired(engine: Engine, workspace_id: UUID) -> None:
    """An expired attempt loses its payload at once and its row a day later; a live one keeps both."""
    # Given an old, an expired and a live attempt
    ends = {"old": NOW - timedelta(days=2), "expired": NOW - timedelta(minutes=1), "live": NOW + timedelta(minutes=1)}
    with engine.begin() as transaction:
        for name, expires_at in ends.items():
            oauth_states.add(
                transaction,
                NewAttempt(uuid4(), name.encode(), workspace_id, "salesforce", "ada", expires_at, SEALED),
            )

    # When they are swept
    with engine.begin() as transaction:
        oauth_states.sweep(transaction, now=NOW, keep_since=NOW - timedelta(days=1))
        left = {name: oauth_states.by_ticket(transaction, name.encode()) for name in ends}

    # Then
    assert left["old"] is None
    assert left["expired"] is not None
    assert left["expired"].sealed is None
    assert left["live"] is not None
    assert left["live"].sealed == SEALED


def test_mappings_are_replaced_as_a_whole(engine: Engine, workspace_id: UUID) -> None:
    """What is saved comes back, every property; a replace leaves nothing of before and touches no other integration."""
    # Given mappings of two integrations
    rich = FieldMapping(
        "job_title",
        "Title",
        direction="push",
        write_policy="fill_if_empty",
        identifier=True,
        value_map={"CTO": "Chief"},
        default_value="-",
    )
    first = [StoredMapping(EVERY_ENTITY, FieldMapping("email", "Email")), StoredMapping("Lead", rich)]
    with engine.begin() as transaction:
        mappings.replace(transaction, workspace_id, "salesforce", first)
        mappings.replace(transaction, workspace_id, "hubspot", first[:1])
        before = mappings.list_of(transaction, workspace_id, "salesforce")

    # When one integration's are replaced
    second = [StoredMapping("Lead", FieldMapping("email", "Work_Email__c"))]
    with engine.begin() as transaction:
        mappings.replace(transaction, workspace_id, "salesforce", second)
        after = mappings.list_of(transaction, workspace_id, "salesforce")
        other = mappings.list_of(transaction, workspace_id, "hubspot")
        mappings.replace(transaction, workspace_id, "salesforce", [])
        none = mappings.list_of(transaction, workspace_id, "salesforce")

    # Then each list is what was saved last
    assert (before, after, other, none) == (first, second, first[:1], [])
    with pytest.raises(IntegrityError), engine.begin() as transaction:
        mappings.replace(transaction, workspace_id, "salesforce", [*second, *second])


def test_workspaces_are_made_found_and_listed(engine: Engine) -> None:
    """A workspace is found by its id, given or made; an id is taken once."""
    # Given two workspaces, one with an id of the caller's
    wanted = uuid4()
    with engine.begin() as transaction:
        made = workspaces.create(transaction, "Acme")
        named = workspaces.create(transaction, "Globex", wanted)

    # When they are looked up
    with engine.begin() as transaction:
        found = workspaces.get(transaction, wanted)
        is_there = [workspaces.exists(transaction, one) for one in (made.id, wanted, uuid4())]
        listed = workspaces.list_all(transaction)
        missing = workspaces.get(transaction, uuid4())

    # Then they are there, and nothing else is
    assert (found, missing) == (named, None)
    assert is_there == [True, True, False]
    assert sorted(one.name for one in listed) == ["Acme", "Globex"]
    with pytest.raises(IntegrityError), engine.begin() as transaction:
        workspaces.create(transaction, "Again", wanted)
