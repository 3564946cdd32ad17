"""Live tokens: refreshed early, once over all processes, the rotated one kept, a dead grant said once."""

import json
import logging
import signal
import socket
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from uuid import uuid4

import pytest

from cli.embedded.postgres import RunningPostgres
from crm.errors import ConfigurationFault, CrmError, NotConnected, ReauthRequired, TryAgain, VaultError
from crm.model import Connection
from crm.registry import build_registry
from crm.store import connections, refresh_leases
from crm.tokens import LiveTokens
from crm.vault import MasterKeys, Vault, new_master_key
from sandbox.config import Crm
from services.authorization_bench import Bench, bench_on, process_environment
from services.database import alembic

BOTH: tuple[Crm, ...] = ("salesforce", "hubspot")


@pytest.fixture
def bench(database_url: str) -> Iterator[Bench]:
    with bench_on(database_url) as made:
        yield made


def start_refresher(connection: Connection, threads: int, **environment: str) -> subprocess.Popen[str]:
    """Start a process that refreshes as soon as it is ready and reads a line."""
    arguments = (str(connection.id), str(connection.token_version), str(threads))
    return subprocess.Popen(
        (sys.executable, "-m", "services.refresh_process", *arguments),
        env=process_environment(**environment),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def go(process: subprocess.Popen[str]) -> None:
    """Wait until the process is ready, and let it ask."""
    assert process.stdout is not None
    assert process.stdin is not None
    assert process.stdout.readline() == "ready\n"
    process.stdin.write("go\n")
    process.stdin.flush()


def end(process: subprocess.Popen[str]) -> None:
    """Reap a process that was killed."""
    process.communicate(timeout=30)


def wait_until_leased(bench: Bench, *, in_flight: bool = True) -> None:
    """Wait until a refresh holds the lease and, in this sandbox, its call is under way."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        leased = bench.rows("SELECT 1 FROM integrations WHERE refresh_holder IS NOT NULL")
        if leased and (not in_flight or bench.sandbox.stats()["in_flight"]):
            return
        time.sleep(0.02)
    raise AssertionError("no refresh began")


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
def test_sixteen_threads_and_four_processes_refresh_once(bench: Bench, crm: Crm) -> None:
    """32 callers in five processes make one token call between them, and no used refresh token is ever presented."""
    # Given a connection at a CRM with rotation and reuse detection, slow enough that all callers overlap
    connection = bench.connected(crm)
    bench.sandbox.switch(crm, refresh_rotation=True, reuse_detection=True, latency_ms=700)
    calls = len(bench.token_calls(crm))
    processes = [start_refresher(connection, 4) for _ in range(4)]
    source, barrier = bench.source(), threading.Barrier(17)

    def ask(_number: int) -> int:
        barrier.wait()
        return source.after_rejection(connection, 1).version

    # When all of them want newer tokens at once
    with ThreadPoolExecutor(16) as pool:
        asked = [pool.submit(ask, number) for number in range(16)]
        for process in processes:
            go(process)
        barrier.wait(30)
        versions: list[object] = [one.result(30) for one in asked]
    for process in processes:
        versions += json.loads(process.communicate(timeout=30)[0])

    # Then one token call was made, none was refused, and everybody has its result
    assert bench.token_calls(crm, calls) == [200]
    assert versions == [2] * 32
    assert bench.stored(crm).status == "connected"
    assert bench.events() == ["connected"]


@pytest.mark.parametrize("rotation", ["on", "off"])
def test_a_refresher_killed_before_its_call_arrived_is_replaced(bench: Bench, rotation: str) -> None:
    """After SIGKILL the lease ends by itself; the next caller refreshes, and nobody judged the grant meanwhile."""
    # Given a process that is killed while its token call waits on a server that never answers
    connection = bench.connected("salesforce")
    bench.sandbox.switch("salesforce", refresh_rotation=rotation == "on")
    calls = len(bench.token_calls("salesforce"))
    with socket.create_server(("127.0.0.1", 0)) as silent:
        origin = f"http://127.0.0.1:{silent.getsockname()[1]}"
        process = start_refresher(connection, 1, CRM_SANDBOX_ORIGIN=origin)
        go(process)
        wait_until_leased(bench, in_flight=False)
        process.send_signal(signal.SIGKILL)
        end(process)

    # When others ask while the lease still runs, and after it has ended
    with pytest.raises(TryAgain, match="by another process"):
        bench.source(wait_s=0.2).after_rejection(connection, 1)
    live = bench.source(wait_s=20).after_rejection(connection, 1)

    # Then the first is told to come again, and the second has new tokens from one call
    assert live.version == 2
    assert bench.token_calls("salesforce", calls) == [200]
    assert bench.stored("salesforce").status == "connected"


def test_a_refresher_killed_in_mid_call_does_no_harm_without_rotation(bench: Bench) -> None:
    """A process killed while the CRM works on its call leaves a connection that the next caller refreshes."""
    # Given a process that is killed while its token call is being carried out
    connection = bench.connected("hubspot")
    bench.sandbox.switch("hubspot", refresh_rotation=False, latency_ms=1000)
    process = start_refresher(connection, 1)
    go(process)
    wait_until_leased(bench)
    process.send_signal(signal.SIGKILL)
    end(process)

    # When the next caller asks
    bench.sandbox.switch("hubspot", latency_ms=0)
    live = bench.source(wait_s=20).after_rejection(connection, 1)

    # Then it has tokens, and the connection lives
    assert live.version == 2
    assert bench.stored("hubspot").status == "connected"
    assert bench.events() == ["connected"]


def test_a_rotated_token_lost_with_its_process_ends_in_one_request_to_reconnect(bench: Bench) -> None:
    """When the CRM rotated and the process died with the answer, the grant is lost: said once, and not tried again."""
    # Given a process that is killed while a rotating CRM carries its refresh out
    connection = bench.connected("salesforce")
    bench.sandbox.switch("salesforce", refresh_rotation=True, latency_ms=1000)
    calls = len(bench.token_calls("salesforce"))
    process = start_refresher(connection, 1)
    go(process)
    wait_until_leased(bench)
    process.send_signal(signal.SIGKILL)
    end(process)
    bench.sandbox.switch("salesforce", latency_ms=0)

    # When four callers ask at once, and one more later
    source = bench.source(wait_s=20)
    with ThreadPoolExecutor(4) as pool:
        asked = [pool.submit(source.after_rejection, connection, 1) for _ in range(4)]
    failures = [one.exception() for one in asked]
    with pytest.raises(ReauthRequired):
        source.access(connection)

    # Then all are told to reconnect, one call was refused, and one event tells it
    assert [type(failure) for failure in failures] == [ReauthRequired] * 4
    assert bench.token_calls("salesforce", calls) == [200, 400]
    assert bench.events() == ["connected", "reauth_required"]


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
    """500, HTML, nothing, a rate limit, a cut connection: wait, with no storm of calls and no judgement on the grant."""
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


@pytest.mark.parametrize("crm", BOTH)
def test_a_disconnect_waits_for_the_refresh_and_revokes_its_result(bench: Bench, crm: Crm) -> None:
    """What a running refresh brings is revoked too: nothing lives on at the CRM after a disconnect."""
    # Given a refresh under way at a CRM that rotates
    connection = bench.connected(crm)
    bench.sandbox.switch(crm, refresh_rotation=True, latency_ms=600)
    with ThreadPoolExecutor(1) as pool:
        refreshing = pool.submit(bench.source().after_rejection, connection, 1)
        wait_until_leased(bench)

        # When the connection is disconnected
        gone = bench.authorizer.disconnect(bench.workspace_id, crm, actor="ada")
        rotated = refreshing.result(30).tokens.refresh_token

    # Then the refresh ended first, the disconnect revoked what it brought, and that is dead
    assert gone.revoked
    assert rotated is not None
    bench.sandbox.switch(crm, latency_ms=0)
    with pytest.raises(ReauthRequired):
        bench.registry.get(crm).refresh_token(rotated)
    assert bench.events() == ["connected", "disconnected"]


def test_a_refresh_that_ends_after_the_disconnect_revokes_its_tokens(bench: Bench) -> None:
    """A disconnect that could not wait wins: the late tokens are not stored, and die at the CRM."""
    # Given a refresh under way, and a disconnect that does not wait for it
    connection = bench.connected("salesforce")
    bench.sandbox.switch("salesforce", refresh_rotation=True, latency_ms=600)
    with ThreadPoolExecutor(1) as pool:
        refreshing = pool.submit(bench.source().after_rejection, connection, 1)
        wait_until_leased(bench)
        with bench.engine.begin() as transaction:
            connections.forget_tokens(transaction, connection.id, reason="test")

        # When the refresh ends
        failure = refreshing.exception(30)

    # Then its caller learns of it, no tokens are stored, and the new ones were revoked
    assert isinstance(failure, NotConnected)
    assert bench.rows("SELECT encrypted_tokens, token_version FROM integrations") == [(None, 2)]
    revocations = [entry for entry in bench.sandbox.journal() if entry["route"].endswith("/revoke")]
    assert [entry["status"] for entry in revocations] == [200]


def test_a_refresh_that_ends_after_a_reconnect_does_not_overwrite_it(bench: Bench) -> None:
    """Compare and swap: who reconnected meanwhile keeps the newer tokens, also when the old grant turns out dead."""
    # Given a refresh of a dead grant under way
    connection = bench.connected("hubspot")
    assert connection.crm_account_id is not None
    bench.sandbox.revoke_grants("hubspot", connection.crm_account_id)
    bench.sandbox.switch("hubspot", latency_ms=1500)
    with ThreadPoolExecutor(1) as pool:
        refreshing = pool.submit(bench.source().after_rejection, connection, 1)
        wait_until_leased(bench)
        bench.sandbox.switch("hubspot", latency_ms=0)

        # When a person reconnects before it ends
        bench.connect("hubspot")
        live = refreshing.result(30)

    # Then the caller gets the new grant's tokens, and nobody asks to reconnect
    assert live.version == 2
    assert live.tokens == bench.stored_tokens("hubspot")
    assert bench.stored("hubspot").status == "connected"
    assert bench.events() == ["connected", "reconnected"]


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


def test_rotated_tokens_survive_a_database_that_is_away(breakable_database: RunningPostgres) -> None:
    """Storing rotated tokens waits for the database to come back: giving up would lose the grant."""
    # Given a refresh under way at a CRM that rotates
    alembic(breakable_database.url, "upgrade", "head")
    with bench_on(breakable_database.url) as bench:
        connection = bench.connected("salesforce")
        bench.sandbox.switch("salesforce", refresh_rotation=True, latency_ms=1000)
        calls = len(bench.token_calls("salesforce"))
        with ThreadPoolExecutor(1) as pool:
            refreshing = pool.submit(bench.source().after_rejection, connection, 1)
            wait_until_leased(bench)

            # When the database dies, the CRM answers, and the database comes back
            breakable_database.kill()
            while not bench.token_calls("salesforce", calls):
                time.sleep(0.05)
            time.sleep(0.3)
            assert not refreshing.done()
            breakable_database.restart()
            live = refreshing.result(30)

        # Then the new tokens are stored, and work for the next refresh
        assert live.tokens == bench.stored_tokens("salesforce")
        assert bench.source().after_rejection(connection, 2).version == 3
        assert bench.token_calls("salesforce", calls) == [200, 200]


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
