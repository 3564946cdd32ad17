"""What can happen to a connection: resets, cuts, answers that never or slowly come; and faults drawn from the seed."""

import time
from collections.abc import Iterator

import pytest
import requests

from sandbox.config import Crm, SandboxConfig
from sandbox.remote import RemoteSandbox
from sandbox.server import SandboxServer

CRMS: tuple[Crm, ...] = ("salesforce", "hubspot")
CREATES = {
    "salesforce": ("/salesforce/services/data/v67.0/sobjects/Contact", {"LastName": "Doe"}),
    "hubspot": ("/hubspot/crm/objects/2026-09/contacts", {"properties": {"lastname": "Doe"}}),
}
NAMES = {"salesforce": "Contact", "hubspot": "contacts"}


@pytest.fixture(scope="module")
def server() -> Iterator[SandboxServer]:
    with SandboxServer(SandboxConfig(seed=11)) as running:
        yield running


@pytest.fixture
def remote(server: SandboxServer) -> RemoteSandbox:
    remote = RemoteSandbox(server.origin)
    remote.reset()
    return remote


def create(remote: RemoteSandbox, crm: Crm, timeout_s: float = 10) -> requests.Response:
    token = remote.tokens(crm, remote.account_ids(crm)[0])["access_token"]
    path, body = CREATES[crm]
    headers = {"Authorization": f"Bearer {token}"}
    return requests.post(remote.origin + path, json=body, headers=headers, timeout=timeout_s)


def count(remote: RemoteSandbox, crm: Crm) -> int:
    return len(remote.records(crm, remote.account_ids(crm)[0], NAMES[crm]))


def faults_of_two_calls(remote: RemoteSandbox) -> list[str | None]:
    """In the order of their start; a hanging call ends, and is noted, soon after its client has left."""
    deadline = time.monotonic() + 5
    while len(entries := remote.journal()) < 2 and time.monotonic() < deadline:
        time.sleep(0.02)
    return [entry["fault"] for entry in sorted(entries, key=lambda entry: float(entry["at"]))]


@pytest.mark.parametrize("crm", CRMS)
@pytest.mark.parametrize(
    ("switch", "failure", "written"),
    [
        ("reset_next", requests.ConnectionError, 0),
        ("lose_reply_next", requests.ConnectionError, 1),
        ("hang_next", requests.Timeout, 0),
        ("hang_after_next", requests.Timeout, 1),
        ("cut_body_next", requests.exceptions.ChunkedEncodingError, 1),
    ],
)
def test_whether_a_failed_write_has_happened_is_known_by_its_fault(
    remote: RemoteSandbox, crm: Crm, switch: str, failure: type[Exception], written: int
) -> None:
    """Faults before the work leave nothing, faults after it leave the record; the journal names the fault."""
    # Given one spoiled call
    remote.switch(crm, **{switch: 1})

    # When two creates come
    with pytest.raises(failure):
        create(remote, crm, timeout_s=0.5)
    stored = count(remote, crm)
    after = create(remote, crm)

    # Then only the first failed, and what it left is as the fault says
    assert (stored, after.status_code) == (written, 201)
    assert faults_of_two_calls(remote) == [switch, None]


def test_a_reset_is_a_reset(remote: RemoteSandbox) -> None:
    """The client sees ECONNRESET, not an orderly end."""
    # Given a reset
    remote.switch("hubspot", reset_next=1)

    # When a call meets it
    with pytest.raises(requests.ConnectionError) as met:
        create(remote, "hubspot")

    # Then it says so
    assert "Connection reset by peer" in str(met.value)


@pytest.mark.parametrize("crm", CRMS)
def test_a_slow_reply_defeats_the_timeout_between_bytes(remote: RemoteSandbox, crm: Crm) -> None:
    """Each pause is short, the whole is long: only a deadline over the whole call ends it earlier."""
    # Given a reply that drips for 600 ms
    remote.switch(crm, slow_reply_next=1, slow_reply_ms=600)

    # When it is read with a timeout of 300 ms
    started = time.monotonic()
    reply = create(remote, crm, timeout_s=0.3)
    took = time.monotonic() - started

    # Then it is complete and late
    assert (reply.status_code, bool(reply.json()["id"])) == (201, True)
    assert 0.5 < took < 5


def statuses(remote: RemoteSandbox, crm: Crm, calls: int) -> list[int]:
    found = []
    for _ in range(calls):
        try:
            found.append(create(remote, crm).status_code)
        except requests.ConnectionError:
            found.append(0)
    return found


@pytest.mark.parametrize("crm", CRMS)
def test_random_faults_come_from_the_seed(remote: RemoteSandbox, crm: Crm) -> None:
    """The same calls after a reset meet the same faults; another seed draws others."""
    # Given faults in 40 % of the calls
    chances = {"random_fault_percent": 40, "random_faults": ["error_500_next", "html_503_next", "lose_reply_next"]}
    remote.switch(crm, **chances)

    # When 30 calls come, twice, and on a sandbox with another seed
    first = statuses(remote, crm, 30)
    remote.reset()
    remote.switch(crm, **chances)
    again = statuses(remote, crm, 30)
    with SandboxServer(SandboxConfig(seed=12, switches={crm: chances})) as other:
        different = statuses(RemoteSandbox(other.origin), crm, 30)

    # Then the runs of one seed are alike
    assert first == again
    assert first != different
    assert set(first) == {0, 201, 500, 503}
    assert 4 <= sum(status != 201 for status in first) <= 20


def test_the_order_of_results_comes_from_the_seed() -> None:
    """Two sandboxes of one seed shuffle alike."""
    # Given two sandboxes of one seed and one of another
    orders = []
    for seed in (5, 5, 6):
        with SandboxServer(SandboxConfig(seed=seed)) as server:
            remote = RemoteSandbox(server.origin)
            token = remote.tokens("hubspot", remote.account_ids("hubspot")[0])["access_token"]
            inputs = [{"properties": {"lastname": f"N{at}"}} for at in range(20)]

            # When a batch is created in each
            reply = requests.post(
                f"{server.origin}/hubspot/crm/objects/2026-09/contacts/batch/create",
                json={"inputs": inputs},
                headers={"Authorization": f"Bearer {token}"},
                timeout=10,
            )
            orders.append([one["properties"]["lastname"] for one in reply.json()["results"]])
            assert remote.stats()["seed"] == seed

    # Then the first two are alike, and none is the order of the inputs
    assert orders[0] == orders[1]
    assert orders[0] != orders[2]
    assert orders[0] != [f"N{at}" for at in range(20)]
