"""Live tokens: refreshed early, the rotated one kept, a dead grant said once, trouble waited out, nothing shown."""

import logging
import time
import traceback
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from uuid import uuid4

import pytest

from crm.errors import ConfigurationFault, CrmError, NotConnected, ReauthRequired, TryAgain, VaultError
from crm.registry import build_registry
from crm.store import connections, refresh_leases
from crm.tokens import LiveTokens
from crm.vault import MasterKeys, Vault, new_master_key
from sandbox.config import Crm
from services.authorization_bench import Bench, bench_on

BOTH: tuple[Crm, ...] = ("salesforce", "hubspot")


@pytest.fixture
def bench(database_url: str) -> Iterator[Bench]:
    with bench_on(database_url) as made:
        yield made


@pytest.mark.parametrize("crm", BOTH)
def test_tokens_that_live_are_handed_out_as_they_are(bench: Bench, crm: Crm) -> None:
    """Fresh tokens cost no token call."""
    # Given a connection made a moment ago
    connection = bench.connected(crm)
    calls = len(bench.token_calls(crm))

    # When its tokens are asked for
    live = bench.source().access(connection)

    # Then they are the stored ones, without another token call
    assert live == LiveTokens(bench.stored_tokens(crm), 1)
    assert len(bench.token_calls(crm)) == calls


@pytest.mark.parametrize("crm", BOTH)
@pytest.mark.parametrize("left_s", [60.0, -5.0])
def test_tokens_that_end_soon_are_refreshed_before_they_are_handed_out(bench: Bench, crm: Crm, left_s: float) -> None:
    """Tokens that end within two minutes, or have ended, are refreshed and stored first."""
    # Given tokens that end soon, at a CRM that rotates refresh tokens
    bench.connected(crm)
    bench.sandbox.switch(crm, refresh_rotation=True)
    connection = bench.let_tokens_end(crm, left_s)
    before = bench.stored_tokens(crm)

    # When they are asked for
    live = bench.source().access(connection)

    # Then new ones come, they are what is stored, and account and host are kept
    assert live == LiveTokens(bench.stored_tokens(crm), 2)
    assert live.tokens.access_token != before.access_token
    assert live.tokens.refresh_token not in {None, before.refresh_token}
    assert live.tokens.expires_at is not None
    assert live.tokens.expires_at > bench.clock()
    assert live.tokens.account_id == before.account_id
    assert live.tokens.instance_url == before.instance_url


@pytest.mark.parametrize("crm", BOTH)
def test_a_refresh_without_rotation_keeps_the_refresh_token(bench: Bench, crm: Crm) -> None:
    """A reply without a new refresh token leaves the old one in force, again and again."""
    # Given a CRM that does not rotate
    connection = bench.connected(crm)
    bench.sandbox.switch(crm, refresh_rotation=False)
    before = bench.stored_tokens(crm)

    # When the tokens are refreshed three times
    source = bench.source()
    versions = [source.after_rejection(connection, version).version for version in (1, 2, 3)]

    # Then each refresh worked with the same refresh token
    assert versions == [2, 3, 4]
    assert bench.stored_tokens(crm).refresh_token == before.refresh_token


@pytest.mark.parametrize("crm", BOTH)
def test_a_dead_grant_is_said_in_one_event(bench: Bench, crm: Crm) -> None:
    """`invalid_grant` makes the connection `reauth_required` with one event of the whole state, however many ask."""
    # Given a connection whose grant the customer has ended
    connection = bench.connected(crm)
    account_id = connection.crm_account_id
    assert account_id is not None
    bench.sandbox.revoke_grants(crm, account_id)
    calls = len(bench.token_calls(crm))

    # When eight callers want newer tokens
    source = bench.source()
    with ThreadPoolExecutor(8) as pool:
        asked = [pool.submit(source.after_rejection, connection, 1) for _ in range(8)]
    failures = [one.exception() for one in asked]

    # Then one call was refused, all are told, and the outbox and the audit hold one event each
    assert [type(failure) for failure in failures] == [ReauthRequired] * 8
    assert bench.token_calls(crm, calls) == [400]
    told = bench.rows(
        "SELECT convert_from(message_key, 'UTF8'), dedupe_key, convert_from(payload, 'UTF8')::jsonb, topic "
        "FROM outbox ORDER BY id DESC LIMIT 1"
    )
    key, dedupe_key, event, topic = told[0]
    assert (key, dedupe_key) == (f"{bench.workspace_id}:{crm}", f"{connection.id}/2")
    assert topic == bench.settings.topics.connections
    assert (event["event"], event["status"], event["previous_status"]) == (
        "reauth_required",
        "reauth_required",
        "connected",
    )
    assert event["sequence"] == 2
    assert event["crm_account"]["id"] == account_id
    assert bench.events() == ["connected", "reauth_required"]
    assert bench.rows("SELECT event FROM connection_events ORDER BY id") == [("connected",), ("reauth_required",)]


@pytest.mark.parametrize("crm", BOTH)
@pytest.mark.parametrize("fault", ["500", "html", "empty", "rate_limited", "lost_reply"])
def test_a_token_endpoint_in_trouble_is_tried_again_later(bench: Bench, crm: Crm, fault: str) -> None:
    """500, HTML, nothing, a rate limit, a cut connection: wait, with no storm of calls, no judgement on the grant."""
    # Given ended tokens and a token endpoint that fails
    bench.connected(crm)
    bench.sandbox.switch(crm, refresh_rotation=False, token_fault=fault, token_fault_next=-1)
    connection = bench.let_tokens_end(crm)
    calls = len(bench.token_calls(crm))

    # When ten callers ask one after the other
    failures = []
    for _ in range(10):
        with pytest.raises(TryAgain) as raised:
            bench.source().access(connection)
        failures.append(raised.value)

    # Then one call was made, the others wait for the cool-down, and the connection is as it was
    assert len(bench.token_calls(crm, calls)) == 1
    assert all(failure.retry_after_s for failure in failures[1:])
    assert bench.stored(crm).status == "connected"
    assert bench.events() == ["connected"]

    # And when the endpoint works again and the cool-down is over, so do the tokens
    bench.sandbox.switch(crm, token_fault="none", token_fault_next=0)
    bench.rows("UPDATE integrations SET refresh_not_before = now() RETURNING id")
    assert bench.source().access(connection).version == 2


@pytest.mark.parametrize("crm", BOTH)
def test_living_tokens_are_used_while_the_token_endpoint_is_away(bench: Bench, crm: Crm) -> None:
    """An early refresh that fails, or that another does, holds nobody up while the tokens still work."""
    # Given tokens that end in a minute and a token endpoint that fails
    bench.connected(crm)
    connection = bench.let_tokens_end(crm, 60)
    bench.sandbox.switch(crm, token_fault="500", token_fault_next=-1)

    # When they are asked for: by who tries the refresh, and by who finds the cool-down
    lives = [bench.source().access(connection) for _ in range(2)]

    # Then both get the tokens that still live; and so does who finds the lease taken
    assert [live.version for live in lives] == [1, 1]
    bench.rows("UPDATE integrations SET refresh_not_before = NULL RETURNING id")
    with bench.engine.begin() as transaction:
        assert refresh_leases.take_refresh_lease(transaction, connection.id, uuid4(), 60)
    started = time.monotonic()
    assert bench.source().access(connection).version == 1
    assert time.monotonic() - started < 1


def test_wrong_client_settings_are_an_operators_fault(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """A token endpoint that refuses our client says nothing about the grant."""
    # Given a wrong client secret, after connecting
    connection = bench.connected("hubspot")
    monkeypatch.setenv("HUBSPOT_CLIENT_SECRET", "not-the-secret")

    # When the tokens are refreshed
    bench.registry = build_registry(bench.settings)
    with pytest.raises(ConfigurationFault):
        bench.source().after_rejection(connection, 1)

    # Then the connection is as it was
    assert bench.stored("hubspot").status == "connected"


def test_a_connection_that_is_gone_has_no_tokens(bench: Bench) -> None:
    """After a disconnect: NotConnected, at once and without a call; after invalid_grant: ReauthRequired."""
    # Given a disconnected connection
    connection = bench.connected("hubspot")
    bench.authorizer.disconnect(bench.workspace_id, "hubspot", actor="ada")
    calls = len(bench.token_calls("hubspot"))

    # When its tokens are asked for, both ways
    with pytest.raises(NotConnected):
        bench.source().access(connection)
    with pytest.raises(NotConnected):
        bench.source().after_rejection(connection, 1)

    # Then no call was made
    assert bench.token_calls("hubspot", calls) == []


def test_tokens_of_another_account_are_not_handed_to_who_resolved_the_old_one(bench: Bench) -> None:
    """A command that was resolved for one org never calls with another org's tokens."""
    # Given a connection that a person has moved to another account since
    before = bench.connected("salesforce")
    other = bench.sandbox.account_ids("salesforce")[1]
    token = bench.connect("salesforce", other).confirmation_token
    assert token is not None
    bench.authorizer.confirm(token)

    # When a caller that read the connection before asks for tokens
    with pytest.raises(TryAgain, match="another CRM account"):
        bench.source().access(before)

    # Then who reads it again gets them
    assert bench.source().access(bench.stored("salesforce")).tokens.account_id == other


def test_tokens_that_do_not_open_are_a_vault_error(bench: Bench) -> None:
    """Without the right key: a clear error, no call, and the lease is free again for when the key is back."""
    # Given a service that was started with another key
    connection = bench.connected("salesforce")
    calls = len(bench.token_calls("salesforce"))
    good, bench.vault = bench.vault, Vault(MasterKeys.parse(new_master_key("k9")))

    # When tokens are asked for, both ways
    with pytest.raises(VaultError, match="k1"):
        bench.source().access(connection)
    with pytest.raises(VaultError, match="k1"):
        bench.source().after_rejection(connection, 1)

    # Then no call was made, and with the right key everything works
    assert bench.token_calls("salesforce", calls) == []
    bench.vault = good
    bench.rows("UPDATE integrations SET refresh_not_before = NULL RETURNING id")
    assert bench.source().after_rejection(connection, 1).version == 2


@pytest.mark.parametrize("crm", BOTH)
def test_no_token_is_ever_shown(bench: Bench, crm: Crm, caplog: pytest.LogCaptureFixture) -> None:
    """Neither values nor errors nor log lines of a connection's whole life hold a token or the client secret."""
    # Given everything that is logged, and every secret that there is
    caplog.set_level(logging.DEBUG)
    connection = bench.connected(crm)
    first = bench.stored_tokens(crm)
    shown: list[str] = []

    # When tokens are refreshed, refused, rate limited, lost and disconnected
    source = bench.source()
    live = source.after_rejection(connection, 1)
    with bench.engine.begin() as transaction:
        stored = connections.sealed_tokens(transaction, connection.id)
    shown += [repr(value) for value in (connection, live, replace(live), first, stored, source, bench.vault)]
    for fault in ("500", "html", "empty", "rate_limited", "lost_reply", "invalid_grant"):
        bench.sandbox.switch(crm, token_fault=fault, token_fault_next=1)
        bench.rows("UPDATE integrations SET refresh_not_before = NULL RETURNING id")
        try:
            source.after_rejection(connection, 2)
        except CrmError as error:
            shown += ["".join(traceback.format_exception(error)), repr(error), error.public, repr(vars(error))]
    shown += [repr(bench.authorizer.disconnect(bench.workspace_id, crm, actor="ada")), caplog.text]
    shown += [repr(row) for row in bench.rows("SELECT convert_from(payload, 'UTF8'), headers FROM outbox")]
    shown += [repr(row) for row in bench.rows("SELECT detail, event FROM connection_events")]

    # Then none of the secrets is in any of it
    secrets = {first.access_token, first.refresh_token, live.tokens.access_token, live.tokens.refresh_token}
    secrets.add(f"sandbox-{crm}-secret-not-real")
    assert len(shown) > 30
    assert [secret for secret in secrets for text in shown if secret and secret in text] == []
