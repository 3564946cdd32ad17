"""The callback, with everything that can be wrong about it."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from functools import partial
from urllib.parse import urlsplit
from uuid import UUID

import pytest

from crm.authorization_errors import (
    AttemptInvalid,
    ConsentRefused,
    ExchangeFailed,
    RequestRefused,
)
from crm.registry import build_registry
from sandbox.config import Crm
from sandbox.person import Person
from services.authorization_bench import Bench, bench_on, cookies_of, params_of
from services.refusals import callback_of, refused

BOTH: tuple[Crm, ...] = ("salesforce", "hubspot")


@pytest.fixture
def bench(database_url: str) -> Iterator[Bench]:
    with bench_on(database_url) as made:
        yield made


@pytest.mark.parametrize("state", ["", "never-made", "\x00", "é" * 2000])
def test_a_callback_with_a_wrong_state_is_refused(bench: Bench, state: str) -> None:
    """A state that was not made here is invalid, whatever it holds."""
    # Given a redirect under way
    redirect = bench.depart("salesforce")

    # When a callback brings another state, then it is refused and no code is sent anywhere
    refused("state_invalid", callback_of(bench, redirect, state=state), AttemptInvalid)
    assert bench.token_calls("salesforce") == []


def test_a_foreign_state_is_refused(bench: Bench) -> None:
    """The state of one CRM's authorization does not complete another's."""
    # Given a redirect to HubSpot
    redirect = bench.depart("hubspot")
    params = bench.consent(redirect)

    # When it comes back at Salesforce's callback, then it is invalid there, and still good at its own
    refused(
        "state_invalid",
        lambda: bench.authorizer.complete("salesforce", params, cookies_of(redirect)),
        AttemptInvalid,
    )
    assert bench.authorizer.complete("hubspot", params, cookies_of(redirect)).connection is not None


def test_a_state_is_good_once(bench: Bench) -> None:
    """Of four callbacks with one state and code, sent at once, one is completed; a later one is told that it was."""
    # Given a consent
    redirect = bench.depart("salesforce")
    params = bench.consent(redirect)

    # When its callback comes four times at once
    with ThreadPoolExecutor(4) as pool:
        asked = [pool.submit(bench.authorizer.complete, "salesforce", params, cookies_of(redirect)) for _ in range(4)]
    failures = [one.exception() for one in asked]

    # Then one connected, the others were refused before their code left, and so is a later one
    assert failures.count(None) == 1
    assert [failure.code for failure in failures if isinstance(failure, AttemptInvalid)] == ["state_used"] * 3
    assert bench.token_calls("salesforce") == [200]
    refused("state_used", lambda: bench.authorizer.complete("salesforce", params, cookies_of(redirect)))
    assert bench.events() == ["connected"]


def test_a_state_ends_after_ten_minutes(bench: Bench) -> None:
    """Whoever stays on the consent page for too long begins again."""
    # Given a consent
    redirect = bench.depart("salesforce")
    callback = callback_of(bench, redirect)

    # When ten minutes have passed, then it is expired, and its code was not sent
    bench.clock.ahead = timedelta(minutes=10, seconds=1)
    refused("state_expired", callback, AttemptInvalid)
    assert bench.token_calls("salesforce") == []


def test_a_state_in_another_browser_is_refused(bench: Bench) -> None:
    """Without the cookie of this very state nothing happens, and the right browser may still come."""
    # Given two redirects in two browsers
    mine, other = bench.depart("salesforce"), bench.depart("salesforce")
    params = bench.consent(mine)

    # When the callback comes without a cookie, with an empty one, and with another state's
    authorizer = bench.authorizer
    for cookies in ({}, {mine.cookie_key: ""}, {mine.cookie_key: other.browser_secret}, {other.cookie_key: "x"}):
        refused(
            "wrong_browser",
            partial(authorizer.complete, "salesforce", params, cookies.get),
            AttemptInvalid,
        )

    # Then no code was sent, and the right browser completes it
    assert bench.token_calls("salesforce") == []
    assert authorizer.complete("salesforce", params, cookies_of(mine)).connection is not None


@pytest.mark.parametrize("crm", BOTH)
def test_a_denied_consent_connects_nothing(bench: Bench, crm: Crm) -> None:
    """Deny on the consent page: `consent_denied`, no connection, and the state is used up."""
    # Given a person who denies
    redirect = bench.depart(crm)
    params = params_of(Person().deny(redirect.url))

    # When the callback comes, then it is said, and a repetition finds the state used
    refused("consent_denied", lambda: bench.authorizer.complete(crm, params, cookies_of(redirect)), ConsentRefused)
    refused("state_used", lambda: bench.authorizer.complete(crm, params, cookies_of(redirect)))
    assert bench.rows("SELECT 1 FROM integrations") == []


def test_other_errors_of_the_authorization_server_are_passed_on_as_text(bench: Bench) -> None:
    """An error word of the CRM's own is kept for the log, cut and cleaned; a callback without code is refused."""
    # Given two redirects that come back without a code
    one, two = bench.depart("salesforce"), bench.depart("salesforce")
    error = {"state": one.state, "error": "OAUTH_APPROVAL_ERROR", "error_description": "x\x00" * 5000}

    # When their callbacks come, then each is refused
    shown = refused(
        "authorization_refused",
        lambda: bench.authorizer.complete("salesforce", error, cookies_of(one)),
        ConsentRefused,
    )
    refused(
        "code_rejected",
        lambda: bench.authorizer.complete("salesforce", {"state": two.state}, cookies_of(two)),
        ExchangeFailed,
    )
    assert "OAUTH_APPROVAL_ERROR" in shown
    assert "\x00" not in shown
    assert len(shown) < 5000


def test_an_answer_of_another_issuer_is_refused(bench: Bench) -> None:
    """Where the CRM says who it is (RFC 9207), it must be the server that was asked."""
    # Given two consents
    good, bad = bench.depart("salesforce"), bench.depart("salesforce")
    asked = "{0.scheme}://{0.netloc}".format(urlsplit(good.url))

    # When one names another issuer, then its code goes nowhere; the right issuer is accepted
    refused("issuer_mismatch", callback_of(bench, bad, iss="https://evil.example"), ExchangeFailed)
    assert bench.token_calls("salesforce") == []
    callback_of(bench, good, iss=asked)()
    assert bench.stored("salesforce").status == "connected"


@pytest.mark.parametrize("crm", BOTH)
@pytest.mark.parametrize("fault", ["500", "html", "empty", "rate_limited", "lost_reply"])
def test_a_token_endpoint_that_fails_connects_nothing(bench: Bench, crm: Crm, fault: str) -> None:
    """500, HTML, nothing: the person may try again with a new link; the state is used up, nothing half is stored."""
    # Given a consent and a token endpoint that fails
    redirect = bench.depart(crm)
    params = bench.consent(redirect)
    bench.sandbox.switch(crm, token_fault=fault, token_fault_next=1)

    # When the callback comes, then it fails, shows neither code nor state, and cannot be repeated
    shown = refused(
        "token_endpoint_failed",
        lambda: bench.authorizer.complete(crm, params, cookies_of(redirect)),
        ExchangeFailed,
    )
    assert params["code"] not in shown
    assert params["state"] not in shown
    refused("state_used", lambda: bench.authorizer.complete(crm, params, cookies_of(redirect)))
    assert bench.rows("SELECT 1 FROM integrations") == []
    assert bench.rows("SELECT step, encrypted_payload FROM oauth_states") == [("failed", None)]

    # And a new link works
    assert bench.connect(crm).connection is not None


@pytest.mark.parametrize("crm", BOTH)
def test_a_code_that_the_crm_refuses_connects_nothing(bench: Bench, crm: Crm) -> None:
    """A code that is not the CRM's: `code_rejected`."""
    # Given a callback with a made-up code
    redirect = bench.depart(crm)
    params = {**bench.consent(redirect), "code": "made-up-code"}

    # When it comes, then it is refused, and the code is not shown
    shown = refused(
        "code_rejected", lambda: bench.authorizer.complete(crm, params, cookies_of(redirect)), ExchangeFailed
    )
    assert "made-up-code" not in shown
    assert bench.rows("SELECT 1 FROM integrations") == []


@pytest.mark.parametrize(
    "elsewhere", ["https://evil.example", "http://169.254.169.254", "https://x.salesforce.com.evil.example"]
)
def test_an_instance_url_elsewhere_is_never_called(bench: Bench, elsewhere: str) -> None:
    """A token reply whose `instance_url` is not the vendor's: refused, nothing stored."""
    # Given a CRM that names another host as the account's own
    bench.sandbox.switch("salesforce", instance_url_override=elsewhere)
    redirect = bench.depart("salesforce")

    # When the callback comes, then it is refused
    refused("untrusted_host", callback_of(bench, redirect), ExchangeFailed)
    assert bench.rows("SELECT 1 FROM integrations") == []


def test_wrong_client_settings_are_said_to_be_that(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """A client secret that the CRM refuses is an operator's matter, not the person's."""
    # Given a consent, and a service with a wrong secret
    redirect = bench.depart("hubspot")
    params = bench.consent(redirect)
    monkeypatch.setenv("HUBSPOT_CLIENT_SECRET", "not-the-secret")
    bench.registry = build_registry(bench.settings)

    # When the callback comes, then it says so, without the secret
    shown = refused(
        "integration_not_configured",
        lambda: bench.authorizer.complete("hubspot", params, cookies_of(redirect)),
        RequestRefused,
    )
    assert "not-the-secret" not in shown


def test_an_attempt_of_a_workspace_belongs_to_it_alone(bench: Bench) -> None:
    """A payload that was moved to another attempt's row does not open."""
    # Given two redirects, and one's sealed payload copied over the other's
    mine, other = bench.depart("salesforce"), bench.depart("salesforce")
    ids: list[UUID] = [row[0] for row in bench.rows("SELECT id FROM oauth_states ORDER BY created_at")]
    columns = "encrypted_payload, payload_iv, payload_tag, payload_key_id"
    bench.rows(
        f"UPDATE oauth_states t SET ({columns}) = (SELECT {columns} FROM oauth_states WHERE id = '{ids[1]}') "  # noqa: S608
        f"WHERE t.id = '{ids[0]}' RETURNING t.id"
    )

    # When its callback comes
    callback = callback_of(bench, mine)

    # Then it fails clearly before its code is sent, and the other one still works
    with pytest.raises(Exception, match="does not open") as raised:
        callback()
    assert type(raised.value).__name__ == "VaultError"
    assert bench.token_calls("salesforce") == []
    callback_of(bench, other)()
