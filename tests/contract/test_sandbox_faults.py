"""The sandbox's faults and limits, over a socket; and that it is never the bottleneck."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import requests

from sandbox.config import Crm
from sandbox.remote import RemoteSandbox
from sandbox.server import SandboxServer

PATHS: dict[Crm, str] = {
    "salesforce": "/salesforce/services/data/v67.0/limits",
    "hubspot": "/hubspot/crm/objects/2026-09/contacts",
}
CRMS: tuple[Crm, ...] = ("salesforce", "hubspot")


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


def call(remote: RemoteSandbox, crm: Crm, headers: dict[str, str], timeout_s: float = 10) -> requests.Response:
    return requests.get(remote.origin + PATHS[crm], headers=headers, timeout=timeout_s)


def refresh(remote: RemoteSandbox, crm: Crm, refresh_token: str) -> requests.Response:
    path = "/salesforce/services/oauth2/token" if crm == "salesforce" else "/hubspot/oauth/2026-09/token"
    form = {
        "grant_type": "refresh_token",
        "refresh_token": refresh_token,
        "client_id": f"sandbox-{crm}-client",
        "client_secret": f"sandbox-{crm}-secret-not-real",
    }
    return requests.post(remote.origin + path, data=form, timeout=10)


@pytest.mark.parametrize("crm", CRMS)
def test_400_requests_are_in_flight_at_once(remote: RemoteSandbox, crm: Crm) -> None:
    """With 100 ms each, 400 requests take a small part of the 40 s that they would take one after another."""
    # Given 100 ms latency, and no rate limit
    remote.switch("hubspot", ten_secondly_limit=0)
    remote.switch(crm, latency_ms=100)
    headers = bearer(remote, crm)

    # When 400 requests are sent at once
    started = time.monotonic()
    with ThreadPoolExecutor(400) as pool:
        statuses = list(pool.map(lambda _: call(remote, crm, headers).status_code, range(400)))
    took = time.monotonic() - started

    # Then all are answered, most of them waited together
    assert statuses == [200] * 400
    assert took < 10
    assert remote.stats()["peak_in_flight"][crm] > 50


@pytest.mark.parametrize(
    ("crm", "switches", "status", "mark"),
    [
        ("salesforce", {"error_500_next": 1}, 500, "UNKNOWN_EXCEPTION"),
        ("salesforce", {"html_503_next": 1}, 503, "<h1>Service Unavailable</h1>"),
        ("salesforce", {"quota_exceeded_next": 1}, 403, "TotalRequests Limit exceeded."),
        ("salesforce", {"concurrent_exceeded_next": 1}, 403, "ConcurrentRequests (Concurrent API Requests)"),
        ("salesforce", {"daily_quota": 0}, 403, "REQUEST_LIMIT_EXCEEDED"),
        ("hubspot", {"error_500_next": 1}, 500, "INTERNAL_ERROR"),
        ("hubspot", {"html_503_next": 1}, 503, "<h1>Service Unavailable</h1>"),
        ("hubspot", {"rate_limited_next": 1}, 429, '"errorType": "RATE_LIMIT"'),
        ("hubspot", {"rate_limited_next": 1, "rate_limit_body": "category"}, 429, '"category": "RATE_LIMITS"'),
        ("hubspot", {"rate_limited_next": 1, "rate_limit_policy": "DAILY"}, 429, '"policyName": "DAILY"'),
        ("hubspot", {"locked_423_next": 1}, 423, "LOCKED"),
        ("hubspot", {"moving_477_next": 1}, 477, "another data center"),
    ],
)
def test_a_switch_spoils_the_next_call(
    remote: RemoteSandbox, crm: Crm, switches: dict[str, Any], status: int, mark: str
) -> None:
    """Each fault has the vendor's status and shape, and is over after one call."""
    # Given the switch, with a Retry-After
    headers = bearer(remote, crm)
    remote.switch(crm, retry_after_s=7, **switches)

    # When two calls come
    first = call(remote, crm, headers)
    second = call(remote, crm, headers)

    # Then the first is spoiled, and the second is not, unless the switch is no countdown
    assert (first.status_code, mark in first.text) == (status, True)
    assert second.status_code == (403 if "daily_quota" in switches else 200)
    assert first.headers.get("Retry-After") == ("7" if status in {429, 477, 503} else None)


def test_salesforce_limits_concurrent_calls_of_one_org(remote: RemoteSandbox) -> None:
    """More data calls in flight than the switch allows are refused."""
    # Given a limit of 2, and slow calls
    headers = bearer(remote, "salesforce")
    remote.switch("salesforce", concurrent_limit=2, latency_ms=300)

    # When six come at once
    with ThreadPoolExecutor(6) as pool:
        statuses = sorted(pool.map(lambda _: call(remote, "salesforce", headers).status_code, range(6)))

    # Then some are refused, and some pass
    assert set(statuses) == {200, 403}


def test_hubspot_counts_calls_in_ten_seconds(remote: RemoteSandbox) -> None:
    """The window's headers count down; the call over the limit is a 429; the other portal has its own window."""
    # Given a limit of 3
    headers = bearer(remote, "hubspot")
    remote.switch("hubspot", ten_secondly_limit=3)

    # When four calls come, and one of another portal
    replies = [call(remote, "hubspot", headers) for _ in range(4)]
    other = remote.tokens("hubspot", remote.account_ids("hubspot")[1])["access_token"]
    neighbour = call(remote, "hubspot", {"Authorization": f"Bearer {other}"})

    # Then the fourth is refused and the neighbour is not
    assert [reply.status_code for reply in replies] == [200, 200, 200, 429]
    assert [reply.headers["X-HubSpot-RateLimit-Remaining"] for reply in replies] == ["2", "1", "0", "0"]
    assert replies[3].json()["policyName"] == "TEN_SECONDLY_ROLLING"
    assert neighbour.status_code == 200


@pytest.mark.parametrize("crm", CRMS)
def test_a_call_can_hang(remote: RemoteSandbox, crm: Crm) -> None:
    """No answer comes; the next call is answered."""
    # Given a hang
    headers = bearer(remote, crm)
    remote.switch(crm, hang_next=1)

    # When two calls come
    with pytest.raises(requests.Timeout):
        call(remote, crm, headers, timeout_s=0.3)
    after = call(remote, crm, headers)

    # Then only the first had no answer
    assert after.status_code == 200


@pytest.mark.parametrize("crm", CRMS)
def test_a_write_whose_reply_is_lost_has_happened(remote: RemoteSandbox, crm: Crm) -> None:
    """The connection is cut after the work was done."""
    # Given a reply to be lost
    headers = bearer(remote, crm)
    remote.switch(crm, lose_reply_next=1)
    account = remote.account_ids(crm)[0]

    # When a record is created
    path = "/salesforce/services/data/v67.0/sobjects/Contact" if crm == "salesforce" else PATHS["hubspot"]
    body = {"LastName": "Doe"} if crm == "salesforce" else {"properties": {"lastname": "Doe"}}
    with pytest.raises(requests.ConnectionError):
        requests.post(remote.origin + path, json=body, headers=headers, timeout=10)

    # Then it is there
    stored = remote.records(crm, account, "Contact" if crm == "salesforce" else "contacts")
    assert len(stored) == 1


@pytest.mark.parametrize("crm", CRMS)
@pytest.mark.parametrize(
    ("fault", "status", "body"),
    [
        ("500", 500, "Internal Server Error"),
        ("html", 200, "<!doctype html>"),
        ("empty", 200, ""),
        ("invalid_grant", 400, '{"error": "invalid_grant"'),
    ],
)
def test_the_token_endpoint_can_fail(remote: RemoteSandbox, crm: Crm, fault: str, status: int, body: str) -> None:
    """A spoiled call changes nothing: the next one works with the same refresh token."""
    # Given a fault
    refresh_token = remote.tokens(crm, remote.account_ids(crm)[0])["refresh_token"]
    remote.switch(crm, token_fault=fault, token_fault_next=1)

    # When the token is refreshed twice
    first, second = refresh(remote, crm, refresh_token), refresh(remote, crm, refresh_token)

    # Then the first failed as asked
    assert (first.status_code, first.text[: len(body)]) == (status, body)
    assert second.status_code == 200


def test_a_lost_refresh_reply_has_rotated_the_token(remote: RemoteSandbox) -> None:
    """The old token is used up although no new one arrived."""
    # Given a token reply to be lost
    refresh_token = remote.tokens("salesforce", remote.account_ids("salesforce")[0])["refresh_token"]
    remote.switch("salesforce", token_fault="lost_reply", token_fault_next=1)

    # When the token is refreshed, and again
    with pytest.raises(requests.ConnectionError):
        refresh(remote, "salesforce", refresh_token)
    again = refresh(remote, "salesforce", refresh_token)

    # Then the second finds it used
    assert again.json()["error"] == "invalid_grant"


def test_hostile_urls_and_texts_can_be_asked_for(remote: RemoteSandbox) -> None:
    """`instance_url` and `nextRecordsUrl` can point elsewhere; messages can hold U+0000 and a lone surrogate."""
    # Given the three switches and two pages of leads
    remote.switch(
        "salesforce",
        instance_url_override="https://evil.example",
        next_records_url_prefix="https://evil.example",
        poison_messages=True,
        query_batch_size=1,
    )
    org_id = remote.account_ids("salesforce")[0]
    remote.store("salesforce", org_id, "Contact", [{"LastName": "A"}, {"LastName": "B"}])
    tokens = remote.tokens("salesforce", org_id)
    headers = {"Authorization": f"Bearer {tokens['access_token']}"}
    base = f"{remote.origin}/salesforce/services/data/v67.0"

    # When they are met
    page = requests.get(f"{base}/query", params={"q": "SELECT Id FROM Contact"}, headers=headers, timeout=10).json()
    body = {"records": [{"attributes": {"type": "Contact"}}]}
    result = requests.post(f"{base}/composite/sobjects", json=body, headers=headers, timeout=10).json()[0]

    # Then they are as asked
    assert tokens["instance_url"] == "https://evil.example"
    assert page["nextRecordsUrl"].startswith("https://evil.example/services/data/")
    assert result["errors"][0]["message"].endswith("\x00\ud800")
