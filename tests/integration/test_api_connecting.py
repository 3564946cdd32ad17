"""Connecting a CRM over real sockets: the link, its page, consent at the sandbox, callback, disconnect."""

import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, quote, urlencode, urlsplit

import pytest
import sqlalchemy
from sqlalchemy import text

from services.api_house import House, opened, served_house
from services.form_browser import FormBrowser


@pytest.fixture(scope="module")
def served(database_server: str, database_template: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with served_house(database_server, database_template, tmp_path_factory.mktemp("api")) as house:
        yield house


@pytest.fixture
def house(served: House) -> House:
    return served.with_new_workspace()


@pytest.mark.parametrize("slug", ["salesforce", "hubspot"])
def test_a_person_connects_sees_the_account_and_disconnects(house: House, slug: str) -> None:
    """Link, page, click, consent, account shown, listed as connected, disconnected with what was revoked."""
    # Given a link in a browser
    browser = FormBrowser()
    page = browser.open(house.link(slug))
    assert "Analytical &lt;Engines&gt; &amp; Söhne" in page.text
    # When the person clicks and allows
    consent = browser.submit(page)
    assert urlsplit(consent.url).netloc == urlsplit(house.sandbox).netloc, consent.text
    done = browser.submit(consent, decision="allow")
    # Then
    assert done.status == 200, done.text
    assert "is connected" in done.text
    shown = house.call("GET", f"/{slug}").json
    assert (shown["status"], shown["configured"]) == ("connected", True)
    assert shown["connection"]["crm_account"]["id"] in done.text
    assert {entry["slug"]: entry["status"] for entry in house.call("GET").json["integrations"]}[slug] == "connected"
    # When it is disconnected
    ended = house.call("DELETE", f"/{slug}")
    # Then
    assert (ended.status, ended.json["status"], ended.json["tokens_forgotten"]) == (200, "disconnected", True)
    assert ended.json["revoked_at_crm"] is True
    with house.engine.connect() as connection:
        query = text("SELECT status, encrypted_tokens FROM integrations WHERE workspace_id = :id")
        row = connection.execute(query, {"id": house.workspace}).one()
    assert (row.status, row.encrypted_tokens) == ("disconnected", None)


def test_no_page_may_load_frame_cache_or_leak_anything(house: House) -> None:
    """Every page forbids scripts, framing, caching and referrers."""
    # Given
    pages = [FormBrowser().open(house.link()), FormBrowser().open(f"{house.api.origin}/connect/unknown")]
    # When they are looked at
    for page in pages:
        policy = page.headers["content-security-policy"]
        # Then
        assert "default-src 'none'" in policy
        assert "script" not in policy
        assert "frame-ancestors 'none'" in policy
        assert page.headers["x-frame-options"] == "DENY"
        assert page.headers["referrer-policy"] == "no-referrer"
        assert page.headers["cache-control"] == "no-store"


def test_looking_at_a_link_does_not_use_it_up(house: House) -> None:
    """A mail scanner that opens the link first does no harm."""
    # Given
    url = house.link()
    # When
    statuses = [FormBrowser().open(url).status for _ in range(3)]
    browser = FormBrowser()
    consent = browser.submit(browser.open(url))
    # Then
    assert statuses == [200, 200, 200]
    assert consent.status == 200


def test_a_link_that_was_used_is_refused_in_a_second_browser(house: House) -> None:
    """A ticket works once."""
    # Given a link that one browser has gone on with, and that another had open
    url = house.link()
    first, second = FormBrowser(), FormBrowser()
    seen_before = second.open(url)
    first.submit(first.open(url))
    # When
    clicked, opened = second.submit(seen_before), FormBrowser().open(url)
    # Then
    assert [clicked.status, opened.status] == [410, 410]
    assert "ticket_used" in clicked.text
    assert "used already" in opened.text


def test_a_click_without_our_own_form_is_refused(house: House) -> None:
    """Another site cannot click for a person: the form's value belongs to this browser and this link (CSRF)."""
    # Given
    url, other_url = house.link(), house.link()
    victim, attacker = FormBrowser(), FormBrowser()
    victim.open(url)
    stolen = attacker.open(url).form.values
    own_of_another_link = victim.open(other_url).form.values
    # When
    answers = [victim.post(url, values) for values in ({}, stolen, own_of_another_link)]
    # Then
    assert [answer.status for answer in answers] == [403, 403, 403]
    assert "form_expired" in answers[0].text
    assert victim.submit(victim.open(url)).status == 200


def test_a_callback_in_another_browser_is_refused_and_the_right_one_may_still_come(house: House) -> None:
    """A state belongs to the browser that got it: nobody can be made to finish another's connection."""
    # Given an answer of the CRM, on its way
    browser = FormBrowser()
    consent = house.to_consent(browser)
    answer = browser.submit(consent, follow=False, decision="allow")
    address = answer.headers["location"]
    # When
    foreign, own, again = FormBrowser().open(address), browser.open(address), browser.open(address)
    # Then
    assert (foreign.status, "wrong_browser" in foreign.text) == (403, True)
    assert (own.status, "is connected" in own.text) == (200, True)
    assert (again.status, "state_used" in again.text) == (410, True)


@pytest.mark.parametrize(
    "query", ["", "code=x", "state=&code=x", "state=made-up&code=x", "state=a&state=b&code=x", "state=%00%ff&code=%ff"]
)
def test_a_callback_with_an_unknown_state_is_an_error_page(house: House, query: str) -> None:
    """Whatever comes in, the person gets a page with a code and what to do."""
    # Given a callback that belongs to nothing
    address = f"{house.api.origin}/api/v1/integrations/callback/hubspot?{query}"
    # When
    page = FormBrowser().open(address)
    # Then
    assert (page.status, "state_invalid" in page.text) == (400, True)
    assert "What to do" in page.text


def test_a_state_of_one_crm_is_refused_at_the_callback_of_another(house: House) -> None:
    """A mix-up of two CRMs' answers is noticed."""
    # Given
    browser = FormBrowser()
    answer = browser.submit(house.to_consent(browser, "salesforce"), follow=False, decision="allow")
    # When
    page = browser.open(answer.headers["location"].replace("callback/salesforce", "callback/hubspot"))
    # Then
    assert "state_invalid" in page.text


def test_an_expired_state_is_refused(house: House) -> None:
    """After its 10 minutes a state is worth nothing."""
    # Given
    browser = FormBrowser()
    answer = browser.submit(house.to_consent(browser), follow=False, decision="allow")
    with house.engine.begin() as connection:
        connection.execute(text("UPDATE oauth_states SET expires_at = now() - interval '1 second'"))
    # When
    page = browser.open(answer.headers["location"])
    # Then
    assert (page.status, "state_expired" in page.text) == (410, True)


def test_an_expired_link_is_refused(house: House) -> None:
    """After its 10 minutes a ticket is worth nothing."""
    # Given
    url = house.link()
    with house.engine.begin() as connection:
        connection.execute(text("UPDATE oauth_states SET expires_at = now() - interval '1 second'"))
    # When
    page = FormBrowser().open(url)
    # Then
    assert (page.status, "ticket_expired" in page.text) == (410, True)


def test_a_denied_consent_connects_nothing_and_says_so(house: House) -> None:
    """The person said no: a page that says that nothing was connected."""
    # Given
    browser = FormBrowser()
    consent = house.to_consent(browser)
    # When
    page = browser.submit(consent, decision="deny")
    # Then
    assert "consent_denied" in page.text
    assert house.call("GET", "/hubspot").json["status"] == "not_connected"


@pytest.mark.parametrize("fault", ["500", "html", "empty", "lost_reply"])
def test_a_token_endpoint_that_fails_is_told_on_a_page(house: House, fault: str) -> None:
    """500, HTML, an empty reply or none: nothing is connected, and the person knows what to do."""
    # Given
    house.switch("hubspot", token_fault=fault, token_fault_next=-1)
    # When
    page = house.connect()
    # Then
    assert (page.status, "token_endpoint_failed" in page.text) == (502, True)
    assert house.call("GET", "/hubspot").json["status"] == "not_connected"


def test_an_instance_url_elsewhere_is_not_trusted(house: House) -> None:
    """A token reply that names a host that is not the vendor's connects nothing."""
    # Given
    house.switch("salesforce", instance_url_override="https://attacker.example")
    # When
    page = house.connect("salesforce")
    # Then
    assert page.status >= 400
    assert "untrusted_host" in page.text
    assert house.call("GET", "/salesforce").json["status"] == "not_connected"


def test_another_account_than_before_needs_a_click(house: House) -> None:
    """Reconnecting to another account changes nothing until the person has confirmed it; the row keeps its id."""
    # Given
    house.connect(account=0)
    before = house.call("GET", "/hubspot").json["connection"]
    browser = FormBrowser()
    consent = house.to_consent(browser)
    other = re.findall(r'name="account" value="([^"]+)"', consent.text)[1]
    # When
    asked = browser.submit(consent, account=other, decision="allow")
    meanwhile = house.call("GET", "/hubspot").json["connection"]
    done = browser.submit(asked, choice="new")
    # Then
    assert "another HubSpot account" in asked.text
    assert meanwhile == before
    assert "is connected" in done.text
    after = house.call("GET", "/hubspot").json["connection"]
    assert (after["id"], after["crm_account"]["id"]) == (before["id"], other)


def test_the_earlier_account_can_be_kept(house: House) -> None:
    """The other answer of that page leaves everything as it was."""
    # Given
    house.connect(account=0)
    before = house.call("GET", "/hubspot").json["connection"]
    browser = FormBrowser()
    consent = house.to_consent(browser)
    other = re.findall(r'name="account" value="([^"]+)"', consent.text)[1]
    asked = browser.submit(consent, account=other, decision="allow")
    # When
    kept = browser.submit(asked, choice="earlier")
    again = browser.submit(asked, choice="new")
    # Then
    assert "earlier account stays" in kept.text
    assert again.status == 410
    assert house.call("GET", "/hubspot").json["connection"] == before


def test_a_login_host_that_is_not_the_vendors_is_refused_and_the_link_stays_good(
    database_url: str, tmp_path: Path
) -> None:
    """A typing mistake in the sign-in address does not cost the link; a My Domain is gone to."""
    # Given an API that talks to the real Salesforce, and a link in a browser
    with opened(database_url, tmp_path, None) as house:
        browser = FormBrowser()
        page = browser.open(house.link("salesforce"))
        # When
        refused = browser.submit(page, follow=False, login_host="own", own_host="acme.example.com")
        empty = browser.submit(refused, follow=False, login_host="own", own_host="")
        accepted = browser.submit(empty, follow=False, login_host="own", own_host="acme.my.salesforce.com")
    # Then
    assert (refused.status, "acme.example.com" in refused.text, empty.status) == (400, True, 400)
    assert accepted.status == 303
    assert accepted.headers["location"].startswith("https://acme.my.salesforce.com/services/oauth2/authorize?")
    assert accepted.headers["referrer-policy"] == "no-referrer"


def test_over_https_the_cookies_belong_to_this_host_alone(database_url: str, tmp_path: Path) -> None:
    """Cookies are `__Host-`, Secure and HttpOnly over https; the state's is Lax, the form's Strict."""
    # Given an API behind TLS
    base = "https://crm.example.com/api/v1/integrations/callback"
    with opened(database_url, tmp_path, None, INTEGRATION_OAUTH_REDIRECT_BASE=base) as house:
        link = house.link("hubspot")
        browser = FormBrowser()
        page = browser.open(link.replace("https://crm.example.com", house.api.origin))
        # When
        redirect = browser.submit(page, follow=False)
    # Then
    assert link.startswith("https://crm.example.com/connect/")
    cookies = [*page.cookies, *redirect.cookies]
    assert all(cookie.startswith("__Host-crm_connect_") for cookie in cookies)
    assert len(cookies) == 2
    assert all({"Secure", "HttpOnly", "Path=/"} <= set(cookie.split("; ")) for cookie in cookies)
    assert "SameSite=Strict" in page.cookies[0]
    assert "SameSite=Lax" in redirect.cookies[0]
    assert "redirect_uri=https%3A%2F%2Fcrm.example.com%2Fapi%2Fv1%2F" in redirect.headers["location"]


def test_the_way_back_must_be_our_own_site(house: House) -> None:
    """The last page never links elsewhere (no open redirect)."""
    # Given
    own = f"{house.api.origin}/settings"
    # When
    refused = house.call("POST", "/hubspot/connect", send={"return_to": "https://attacker.example/"})
    browser = FormBrowser()
    done = browser.submit(house.to_consent(browser, return_to=own), decision="allow")
    # Then
    assert (refused.status, refused.json["code"]) == (422, "return_to_refused")
    assert f'href="{own}"' in done.text


def test_neither_log_nor_database_holds_what_opens_anything(house: House) -> None:
    """Tickets, states, codes, cookies and tokens are in no log line and in no column as they are."""
    # Given a whole connection
    browser = FormBrowser()
    url = house.link("salesforce")
    redirect = browser.submit(browser.open(url), follow=False)
    state = parse_qs(urlsplit(redirect.headers["location"]).query)["state"][0]
    answer = browser.submit(browser.open(redirect.headers["location"]), follow=False, decision="allow")
    code = parse_qs(urlsplit(answer.headers["location"]).query)["code"][0]
    assert browser.open(answer.headers["location"]).status == 200
    secrets = [urlsplit(url).path.rpartition("/")[2], state, code]
    secrets += [value for jar in browser.cookies.values() for value in jar.values()]
    # When
    log = house.api.log.read_text(encoding="utf-8")
    with house.engine.connect() as connection:
        tables = sqlalchemy.inspect(house.engine).get_table_names()
        rows = [str(row) for table in tables for row in connection.execute(text(f'SELECT * FROM "{table}"'))]  # noqa: S608 - table names of the schema
    # Then
    assert [secret for secret in secrets if secret in log or any(secret in row for row in rows)] == []
    assert "/connect/{ticket}" in log


def test_a_name_or_address_with_markup_is_text_on_every_page(house: House) -> None:
    """What others chose (names, parameters) never becomes part of a page's markup."""
    # Given
    markup = "<img src=x>"
    headers = house.api.bearer(house.workspace, subject=markup)
    url = house.api.call("POST", house.path("/hubspot/connect"), headers=headers).json["connect_url"]
    query = urlencode({"state": markup, "error": markup})
    callback = f"{house.api.origin}/api/v1/integrations/callback/{quote(markup)}?{query}"
    # When
    pages = [FormBrowser().open(url), FormBrowser().open(callback)]
    # Then
    assert "&lt;img src=x&gt;" in pages[0].text
    assert not [page for page in pages if markup in page.text]
