"""The sandbox's control API, over a socket, and how a sandbox starts and stops."""

import time
from collections.abc import Iterator
from pathlib import Path
from signal import SIGTERM
from subprocess import PIPE, Popen
from sys import executable

import pytest
import requests

from sandbox.config import Crm, SandboxConfig
from sandbox.remote import RemoteSandbox
from sandbox.server import SandboxServer


@pytest.fixture(scope="module")
def server() -> Iterator[SandboxServer]:
    with SandboxServer() as running:
        yield running


@pytest.fixture
def remote(server: SandboxServer) -> RemoteSandbox:
    remote = RemoteSandbox(server.origin)
    remote.reset()
    return remote


def bearer(remote: RemoteSandbox, crm: Crm) -> dict[str, str]:
    return {"Authorization": f"Bearer {remote.tokens(crm, remote.account_ids(crm)[0])['access_token']}"}


def test_the_journal_names_calls_and_never_secrets(remote: RemoteSandbox) -> None:
    """Path, status, account and number of records; no query, no body, no token."""
    # Given a call with a secret in its query, and a batch
    headers = bearer(remote, "salesforce")
    base = f"{remote.origin}/salesforce/services/data/v67.0"
    requests.get(f"{base}/limits?access_token=secret-in-query", headers=headers, timeout=10)
    body = {"records": [{"attributes": {"type": "Contact"}, "LastName": "Doe"}] * 3}
    requests.post(f"{base}/composite/sobjects", json=body, headers=headers, timeout=10)

    # When the journal is read
    journal, stats = remote.journal(), remote.stats()

    # Then the calls are there and the secrets are not
    assert [(entry["path"], entry["status"], entry["records"]) for entry in journal] == [
        ("/salesforce/services/data/v67.0/limits", 200, None),
        ("/salesforce/services/data/v67.0/composite/sobjects", 200, 3),
    ]
    assert {entry["account"] for entry in journal} == {remote.account_ids("salesforce")[0]}
    assert not any(secret in str(journal) for secret in ("secret-in-query", headers["Authorization"].split()[1]))
    assert stats["by_route"]["POST /salesforce/services/data/{version}/composite/sobjects"] == 1


def test_accounts_are_made_on_demand_and_kept_apart(remote: RemoteSandbox) -> None:
    """A new org has no records of another; a reset takes it away."""
    # Given a third org
    third = remote.add_account("salesforce", "Umbrella")
    first = remote.account_ids("salesforce")[0]

    # When a record is stored in it
    remote.store("salesforce", third, "Contact", [{"LastName": "Doe"}])

    # Then the first has none, and after a reset the third is gone
    assert (len(remote.records("salesforce", third, "Contact")), remote.records("salesforce", first, "Contact")) == (
        1,
        [],
    )
    remote.reset()
    assert len(remote.account_ids("salesforce")) == 2


def test_a_wrong_switch_is_refused_by_name(remote: RemoteSandbox) -> None:
    """Nothing changes, and the reply says which switch was wrong."""
    # Given a misspelt switch
    body = {"salesforce": {"latncy_ms": 5, "daily_quota": 1}}

    # When it is sent
    response = requests.post(f"{remote.origin}/_sandbox/switches", json=body, timeout=10)

    # Then it is named
    assert response.status_code == 400
    assert response.json()["problems"][0]["switch"] == "salesforce.latncy_ms"
    assert remote.switches()["salesforce"]["daily_quota"] == 100_000


def test_configured_switches_hold_from_the_start_and_after_a_reset() -> None:
    """They are the defaults of that server."""
    # Given a server with a configured switch
    config = SandboxConfig(switches={"salesforce": {"refresh_rotation": False}})
    with SandboxServer(config) as configured:
        remote = RemoteSandbox(configured.origin)

        # When it is changed and reset
        remote.switch("salesforce", refresh_rotation=True)
        remote.reset()

        # Then the configured value is back
        assert remote.switches()["salesforce"]["refresh_rotation"] is False


def test_a_server_that_stops_frees_its_port() -> None:
    """Hanging calls do not keep it; another can listen there at once."""
    # Given a server that stopped
    first = SandboxServer().start()
    port = int(first.origin.rsplit(":", 1)[1])
    first.stop()

    # When another is started on its port
    with SandboxServer(port=port) as second:
        # Then it answers
        assert RemoteSandbox(second.origin).account_ids("hubspot")


def test_a_process_of_its_own_writes_its_origin_and_ends_on_sigterm(tmp_path: Path) -> None:
    """`python -m sandbox` prints the origin, writes the ready file, and exits with 0."""
    # Given a process
    ready_file = tmp_path / "ready"
    command = [executable, "-m", "sandbox", "--port", "0", "--ready-file", str(ready_file)]
    with Popen(command, stdout=PIPE, text=True) as process:
        assert process.stdout is not None
        printed = process.stdout.readline().strip()
        deadline = time.monotonic() + 10
        while not ready_file.exists() and time.monotonic() < deadline:
            time.sleep(0.02)

        # When it is asked and told to end
        accounts = RemoteSandbox(printed).account_ids("salesforce")
        written = ready_file.read_text(encoding="utf-8").strip()
        process.send_signal(SIGTERM)
        exit_code = process.wait(10)

    # Then it did
    assert (written, len(accounts), exit_code) == (printed, 2, 0)
