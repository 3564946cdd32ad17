"""Connecting: the ticket, the redirect, the callback with everything that can be wrong about it, and confirming."""

import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from urllib.parse import urlsplit
from uuid import UUID, uuid4

import pytest

from crm.authorization import Redirect
from crm.authorization_errors import (
    AUTHORIZATION_FAILURES,
    AttemptInvalid,
    AuthorizationFailed,
    ConsentRefused,
    ExchangeFailed,
    RequestRefused,
)
from crm.authorize import Authorizer
from crm.errors import ReauthRequired
from crm.registry import build_registry
from sandbox.config import Crm
from sandbox.person import Person
from services.authorization_bench import Bench, bench_on, cookies_of, params_of

BOTH: tuple[Crm, ...] = ("salesforce", "hubspot")


@pytest.fixture
def bench(database_url: str) -> Iterator[Bench]:
    with bench_on(database_url) as made:
        yield made


def refused(code: str, call: Callable[[], object], kind: type[AuthorizationFailed] = AuthorizationFailed) -> str:
    """Check that `call` is refused with `code`; return everything that the error shows."""
    with pytest.raises(kind) as raised:
        call()
    assert raised.value.code == code
    assert raised.value.public == AUTHORIZATION_FAILURES[code]
    return "".join(traceback.format_exception(raised.value)) + repr(raised.value)


def complete(bench: Bench, redirect: Redirect, **changed: str) -> Callable[[], object]:
    """The callback of a consent that was given, with changed parameters."""
    params = {**bench.consent(redirect), **changed}
    return lambda: bench.authorizer.complete("salesforce", params, cookies_of(redirect))


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
        refused("ticket_expired", lambda ask=ask: ask(ticket.ticket), AttemptInvalid)
        refused("ticket_invalid", lambda ask=ask: ask("never-made"), AttemptInvalid)


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
            lambda host=host: authorizer.begin(bench.workspace_id, "salesforce", requested_by="ada", login_host=host),
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


@pytest.mark.parametrize("state", ["", "never-made", "\x00", "é" * 2000])
def test_a_callback_with_a_wrong_state_is_refused(bench: Bench, state: str) -> None:
    """A state that was not made here is invalid, whatever it holds."""
    # Given a redirect under way
    redirect = bench.depart("salesforce")

    # When a callback brings another state, then it is refused and no code is sent anywhere
    refused("state_invalid", complete(bench, redirect, state=state), AttemptInvalid)
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
    callback = complete(bench, redirect)

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
            lambda cookies=cookies: authorizer.complete("salesforce", params, cookies.get),
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
    refused("issuer_mismatch", complete(bench, bad, iss="https://evil.example"), ExchangeFailed)
    assert bench.token_calls("salesforce") == []
    complete(bench, good, iss=asked)()
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
    refused("untrusted_host", complete(bench, redirect), ExchangeFailed)
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
        refused("confirmation_invalid", lambda changed=changed: bench.authorizer.confirm(changed), AttemptInvalid)

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
    assert "could not be revoked" in gone.note
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
    callback = complete(bench, mine)

    # Then it fails clearly before its code is sent, and the other one still works
    with pytest.raises(Exception, match="does not open") as raised:
        callback()
    assert type(raised.value).__name__ == "VaultError"
    assert bench.token_calls("salesforce") == []
    complete(bench, other)()
