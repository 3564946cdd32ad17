"""Another account than before, and disconnecting."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from functools import partial
from uuid import uuid4

import pytest

from crm.authorization_errors import (
    AttemptInvalid,
    RequestRefused,
)
from crm.authorize import Authorizer
from crm.errors import ReauthRequired
from crm.registry import build_registry
from sandbox.config import Crm
from services.authorization_bench import Bench, bench_on
from services.refusals import refused

BOTH: tuple[Crm, ...] = ("salesforce", "hubspot")


@pytest.fixture
def bench(database_url: str) -> Iterator[Bench]:
    with bench_on(database_url) as made:
        yield made


@pytest.mark.parametrize("crm", BOTH)
def test_another_account_needs_a_confirmation(bench: Bench, crm: Crm) -> None:
    """Another account than before is connected only after a yes; then the grant of the one before is revoked."""
    # Given a connection to one account
    first = bench.connected(crm)
    old = bench.stored_tokens(crm)
    other = bench.sandbox.account_ids(crm)[1]

    # When the person allows access to another one
    asked = bench.connect(crm, other, return_to="/settings")

    # Then nothing has changed yet
    assert (asked.needs_confirmation, asked.connection, asked.account_id) == (True, None, other)
    assert asked.previous_account == first.crm_account_name
    assert bench.stored(crm) == first
    assert bench.stored_tokens(crm) == old

    # And after the yes the other one is connected, once, and the old grant is dead
    token = asked.confirmation_token
    assert token is not None
    done = bench.authorizer.confirm(token)
    assert done.connection == bench.stored(crm)
    assert (bench.stored(crm).crm_account_id, bench.stored(crm).id) == (other, first.id)
    assert (done.previous_account, done.return_to) == (first.crm_account_name, "/settings")
    assert bench.source().after_rejection(bench.stored(crm), 2).version == 3
    with pytest.raises(ReauthRequired):
        bench.registry.get(crm).refresh_token(old.refresh_token or "", tokens=old)
    refused("confirmation_used", lambda: bench.authorizer.confirm(token), AttemptInvalid)
    assert bench.events() == ["connected", "reconnected"]


def test_a_confirmation_that_is_answered_no_changes_nothing(bench: Bench) -> None:
    """Rejecting keeps the account of before and revokes the new grant."""
    # Given a confirmation that is asked for
    first = bench.connected("salesforce")
    other = bench.sandbox.account_ids("salesforce")[1]
    token = bench.connect("salesforce", other).confirmation_token
    assert token is not None

    # When it is rejected
    bench.authorizer.reject(token)

    # Then the connection is as it was and works, and the new grant is gone
    assert bench.stored("salesforce") == first
    assert bench.source().after_rejection(first, 1).version == 2
    revocations = [entry for entry in bench.sandbox.journal() if entry["route"].endswith("/revoke")]
    assert [(entry["account"], entry["status"]) for entry in revocations] == [(other, 200)]
    refused("confirmation_used", lambda: bench.authorizer.confirm(token))


def test_a_confirmation_is_checked_like_a_ticket(bench: Bench) -> None:
    """Made up, of another attempt, or too old: refused."""
    # Given a confirmation that is asked for
    bench.connected("salesforce")
    other = bench.sandbox.account_ids("salesforce")[1]
    token = bench.connect("salesforce", other).confirmation_token
    assert token is not None
    name, _, secret = token.partition(".")

    # When its parts are changed, then it is refused
    for changed in ("", "x", f"{name}.", f"{name}.{secret}x", f"{uuid4().hex}.{secret}", secret):
        refused("confirmation_invalid", partial(bench.authorizer.confirm, changed), AttemptInvalid)

    # And after ten minutes it has ended
    bench.clock.ahead = timedelta(minutes=10, seconds=1)
    refused("confirmation_expired", lambda: bench.authorizer.confirm(token), AttemptInvalid)


@pytest.mark.parametrize("crm", BOTH)
def test_a_disconnect_revokes_and_forgets(bench: Bench, crm: Crm) -> None:
    """The grant dies at the CRM, the tokens go, the row stays; a second disconnect changes nothing."""
    # Given a connection
    connection = bench.connected(crm)
    tokens = bench.stored_tokens(crm)

    # When it is disconnected twice
    gone = bench.authorizer.disconnect(bench.workspace_id, crm, actor="ada")
    again = bench.authorizer.disconnect(bench.workspace_id, crm, actor="bob")

    # Then the CRM has forgotten the grant, and so have we
    with pytest.raises(ReauthRequired):
        bench.registry.get(crm).refresh_token(tokens.refresh_token or "", tokens=tokens)
    assert gone.revoked
    assert gone.connection == bench.stored(crm) == again.connection
    assert gone.connection == replace(
        connection,
        status="disconnected",
        token_version=2,
        event_sequence=2,
        status_reason="disconnected by ada",
    )
    assert (again.revoked, again.note) == (False, "It was disconnected before.")
    assert bench.rows("SELECT encrypted_tokens, token_iv, token_tag, token_key_id FROM integrations") == [(None,) * 4]
    assert bench.events() == ["connected", "disconnected"]
    assert ("access tokens" in gone.note) == (crm == "hubspot")

    # And the person can connect again, in the same row
    assert bench.connected(crm).id == connection.id
    assert bench.events() == ["connected", "disconnected", "reconnected"]


def test_a_disconnect_forgets_even_when_the_crm_is_away(bench: Bench) -> None:
    """A CRM that does not answer keeps nobody from disconnecting; the note says what is left to do."""
    # Given a CRM that cannot be reached any more
    bench.connected("salesforce")
    settings = bench.settings.model_copy(update={"sandbox_origin": "http://127.0.0.1:9", "call_timeout_s": 1.0})
    away = Authorizer(bench.engine, bench.vault, build_registry(settings), settings)

    # When it is disconnected
    gone = away.disconnect(bench.workspace_id, "salesforce", actor="ada")

    # Then the tokens are gone here, and the note says that the grant may live on there
    assert not gone.revoked
    assert "did not confirm" in gone.note
    assert bench.stored("salesforce").status == "disconnected"
    assert bench.events() == ["connected", "disconnected"]


def test_what_was_never_connected_cannot_be_disconnected(bench: Bench) -> None:
    """No connection, nothing to disconnect: `not_connected`."""
    # Given a workspace without connections

    # When one is disconnected, then it is refused
    refused(
        "not_connected",
        lambda: bench.authorizer.disconnect(bench.workspace_id, "salesforce", actor="ada"),
        RequestRefused,
    )
