"""One refresh at a time over all processes, whatever happens in its middle: kills, disconnects, reconnects, outages."""

import json
import signal
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from cli.embedded.postgres import RunningPostgres
from crm.errors import NotConnected, ReauthRequired, TryAgain
from crm.store import connections
from sandbox.config import Crm
from services.authorization_bench import Bench, bench_on
from services.database import alembic
from services.refreshers import let_go, reap, start_refresher, wait_until_leased

BOTH: tuple[Crm, ...] = ("salesforce", "hubspot")


@pytest.fixture
def bench(database_url: str) -> Iterator[Bench]:
    with bench_on(database_url) as made:
        yield made


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
            let_go(process)
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
        let_go(process)
        wait_until_leased(bench, in_flight=False)
        process.send_signal(signal.SIGKILL)
        reap(process)

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
    let_go(process)
    wait_until_leased(bench)
    process.send_signal(signal.SIGKILL)
    reap(process)

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
    let_go(process)
    wait_until_leased(bench)
    process.send_signal(signal.SIGKILL)
    reap(process)
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
