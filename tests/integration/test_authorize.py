"""Connecting: the ticket, its page, the redirect, and the whole way to a stored connection."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from functools import partial
from urllib.parse import urlsplit
from uuid import uuid4

import pytest

from crm.authorization_errors import (
    AttemptInvalid,
    ExchangeFailed,
    RequestRefused,
)
from crm.authorize import Authorizer
from crm.errors import ReauthRequired
from crm.registry import build_registry
from sandbox.config import Crm
from services.authorization_bench import Bench, bench_on, cookies_of, params_of
from services.refusals import refused

BOTH: tuple[Crm, ...] = ("salesforce", "hubspot")


@pytest.fixture
def bench(database_url: str) -> Iterator[Bench]:
    with bench_on(database_url) as made:
        yield made


@pytest.mark.parametrize("crm", BOTH)
def test_a_person_connects_a_crm(bench: Bench, crm: Crm) -> None:
    """Ticket, page, redirect, consent, callback: the connection is stored, told, and its tokens work."""
    # Given a ticket and its page
    ticket = bench.authorizer.begin(
        bench.workspace_id, crm, requested_by="ada@example.com", return_to="/settings/crm", settings={"x": "y"}
    )
    page = bench.authorizer.preview(ticket.ticket)
    account_id = bench.sandbox.account_ids(crm)[1]

    # When the person goes on, chooses an account and allows access
    redirect = bench.authorizer.redirect(ticket.ticket)
    done = bench.authorizer.complete(crm, bench.consent(redirect, account_id), cookies_of(redirect))

    # Then the page told who asks for what, and the connection is that account's
    assert (page.workspace_name, page.slug, page.requested_by) == ("Acme", crm, "ada@example.com")
    assert page.crm_name.lower() == crm
    connection = bench.stored(crm)
    assert done.connection == connection
    assert (done.account_id, done.needs_confirmation, done.previous_account) == (account_id, False, None)
    assert (done.return_to, done.user) == ("/settings/crm", connection.crm_user)
    assert (connection.status, connection.crm_account_id, connection.settings) == ("connected", account_id, {"x": "y"})
    assert connection.event_sequence == 1
    assert bench.events() == ["connected"]
    assert bench.rows("SELECT connected_by FROM integrations") == [("ada@example.com",)]

    # And the tokens that were stored are live at the CRM
    tokens = bench.source().access(connection).tokens
    refreshed = bench.registry.get(crm).refresh_token(tokens.refresh_token or "", tokens=tokens)
    assert refreshed.account_id == account_id


def test_a_ticket_is_good_for_one_redirect(bench: Bench) -> None:
    """Looking at the page does not use the ticket up, going on does; of two at once one wins: no second browser."""
    # Given a ticket that was looked at twice
    ticket = bench.authorizer.begin(bench.workspace_id, "salesforce", requested_by="ada").ticket
    pages = [bench.authorizer.preview(ticket) for _ in range(2)]

    # When four browsers go on at once
    with ThreadPoolExecutor(4) as pool:
        asked = [pool.submit(bench.authorizer.redirect, ticket) for _ in range(4)]
    failures = [one.exception() for one in asked]

    # Then one was redirected, and the others are told that the link was used
    assert pages[0] == pages[1]
    codes = [failure.code for failure in failures if isinstance(failure, AttemptInvalid)]
    assert codes == ["ticket_used"] * 3
    assert failures.count(None) == 1
    refused("ticket_used", lambda: bench.authorizer.preview(ticket))


def test_a_ticket_ends_after_ten_minutes(bench: Bench) -> None:
    """A ticket that was never made, or is too old, is refused by its page and by its redirect."""
    # Given a ticket
    ticket = bench.authorizer.begin(bench.workspace_id, "salesforce", requested_by="ada")

    # When ten minutes have passed
    assert ticket.expires_at - bench.clock() <= timedelta(minutes=10)
    bench.clock.ahead = timedelta(minutes=10, seconds=1)

    # Then it is expired, and another one was never valid
    for ask in (bench.authorizer.preview, bench.authorizer.redirect):
        refused("ticket_expired", partial(ask, ticket.ticket), AttemptInvalid)
        refused("ticket_invalid", partial(ask, "never-made"), AttemptInvalid)


def test_the_redirect_carries_state_and_pkce(bench: Bench) -> None:
    """The URL holds the state and an S256 challenge where the CRM uses PKCE; verifier and secrets stay here."""
    # Given both CRMs
    salesforce, hubspot = bench.depart("salesforce"), bench.depart("hubspot")

    # When their URLs are read
    params = params_of(salesforce.url)

    # Then they hold what they must, and states are 256 bits of their own
    assert (params["state"], params["code_challenge_method"]) == (salesforce.state, "S256")
    assert params["redirect_uri"] == f"{bench.settings.redirect_base}/salesforce"
    assert "code_challenge" not in params_of(hubspot.url)
    assert len({salesforce.state, hubspot.state, salesforce.browser_secret, hubspot.browser_secret}) == 4
    assert len(salesforce.state) >= 43
    assert salesforce.browser_secret not in salesforce.url
    assert salesforce.cookie_key not in salesforce.state


def test_begin_refuses_what_is_not_there(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """An unknown workspace or CRM, a CRM without client settings, a foreign login host or return address."""
    # Given an authorizer, and one of a service without HubSpot's client
    begin = bench.authorizer.begin
    monkeypatch.delenv("HUBSPOT_CLIENT_ID")
    poorer = Authorizer(bench.engine, bench.vault, build_registry(bench.settings), bench.settings)

    # When something is asked for that cannot be, then each has its own code
    refused("unknown_workspace", lambda: begin(uuid4(), "salesforce", requested_by="ada"), RequestRefused)
    refused("unknown_integration", lambda: begin(bench.workspace_id, "pipedrive", requested_by="ada"), RequestRefused)
    refused(
        "integration_not_configured",
        lambda: poorer.begin(bench.workspace_id, "hubspot", requested_by="ada"),
        RequestRefused,
    )
    assert bench.rows("SELECT 1 FROM oauth_states") == []


@pytest.mark.parametrize(
    "address",
    [
        "https://evil.example/x",
        "//evil.example/x",
        "/\\evil.example",
        "javascript:alert(1)",
        "http:/x",
        "/x\nSet-C: y",
        "",
    ],
)
def test_the_way_back_leads_to_our_own_site(bench: Bench, address: str) -> None:
    """`return_to` is a path or URL of our own site: the callback is no open redirect."""
    # Given an address elsewhere

    # When a ticket is asked for with it, then it is refused
    refused(
        "return_to_refused",
        lambda: bench.authorizer.begin(bench.workspace_id, "salesforce", requested_by="ada", return_to=address),
    )

    # And our own addresses are taken
    for own in ("/settings?tab=crm#x", "http://127.0.0.1:8000/settings"):
        bench.authorizer.begin(bench.workspace_id, "salesforce", requested_by="ada", return_to=own)


def test_a_login_host_must_be_the_vendors(bench: Bench) -> None:
    """The authorization server is the vendor's, and the one that the ticket fixes; a refusal leaves the ticket good."""
    # Given a service without a sandbox, so that the vendor's own hosts are in force
    settings = bench.settings.model_copy(update={"sandbox_origin": None})
    authorizer = Authorizer(bench.engine, bench.vault, build_registry(settings), settings)
    own = "https://acme.my.salesforce.com"

    # When foreign hosts are named, at the beginning and on the page
    for host in ("https://evil.example", "http://login.salesforce.com", "https://salesforce.com.evil.example"):
        refused(
            "untrusted_host",
            partial(authorizer.begin, bench.workspace_id, "salesforce", requested_by="ada", login_host=host),
            ExchangeFailed,
        )
    free = authorizer.begin(bench.workspace_id, "salesforce", requested_by="ada").ticket
    refused("untrusted_host", lambda: authorizer.redirect(free, login_host="https://evil.example"))
    fixed = authorizer.begin(bench.workspace_id, "salesforce", requested_by="ada", login_host=own).ticket
    refused("untrusted_host", lambda: authorizer.redirect(fixed, login_host="https://test.salesforce.com"))

    # Then the vendor's are used, as chosen or as fixed
    assert authorizer.preview(fixed).login_host == own
    assert urlsplit(authorizer.redirect(free, login_host="https://test.salesforce.com").url).netloc == (
        "test.salesforce.com"
    )
    assert urlsplit(authorizer.redirect(fixed).url).netloc == "acme.my.salesforce.com"


def test_the_database_holds_no_secret_in_the_clear(bench: Bench) -> None:
    """Tickets, states, browser secrets, confirmation tokens, verifiers and tokens are hashed or sealed in every row."""
    # Given attempts at every step
    unused = bench.authorizer.begin(bench.workspace_id, "salesforce", requested_by="ada").ticket
    redirect = bench.depart("salesforce")
    bench.connected("salesforce")
    confirmation = bench.connect("salesforce", bench.sandbox.account_ids("salesforce")[1]).confirmation_token
    assert confirmation is not None
    tokens = bench.stored_tokens("salesforce")

    # When every row is read
    tables = ("oauth_states", "integrations", "outbox", "connection_events")
    content = "".join(repr(bench.rows(f"SELECT t::text FROM {table} t")) for table in tables)  # noqa: S608 - our names
    shown = content + repr((redirect, tokens))

    # Then none of the secrets is there, in text or in hex
    secrets = [unused, redirect.state, redirect.browser_secret, confirmation.partition(".")[2]]
    secrets += [tokens.access_token, tokens.refresh_token or ""]
    assert len(content) > 2000
    assert [secret for secret in secrets if secret in shown or secret.encode().hex() in shown] == []


@pytest.mark.parametrize("crm", BOTH)
def test_reconnecting_the_same_account_asks_nothing(bench: Bench, crm: Crm) -> None:
    """After `invalid_grant` a reconnect of the same account brings the connection back, in the same row."""
    # Given a connection whose grant died
    before = bench.connected(crm)
    bench.sandbox.revoke_grants(crm, before.crm_account_id or "")
    with pytest.raises(ReauthRequired):
        bench.source().after_rejection(before, 1)

    # When the person reconnects
    done = bench.connect(crm)

    # Then it is connected again, with tokens that work, and the event says what it was before
    assert done.connection is not None
    assert (done.connection.id, done.connection.status, done.needs_confirmation) == (before.id, "connected", False)
    assert bench.source().after_rejection(done.connection, 2).version == 3
    assert bench.events() == ["connected", "reauth_required", "reconnected"]
    previous = "SELECT convert_from(payload, 'UTF8')::jsonb ->> 'previous_status' FROM outbox ORDER BY id DESC LIMIT 1"
    assert bench.rows(previous) == [("reauth_required",)]
