"""A person connects a CRM in a real browser: Chromium, our pages, the sandbox's consent page, and back."""

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.support.wait import WebDriverWait

from services.api_house import House, served_house

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
CHROMEDRIVER = shutil.which("chromedriver")
WITHIN_S = 20
_ARGUMENTS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--window-size=900,900",
)

# On a laptop without a browser these are left out, and said so; in CI a missing browser is a failure.
pytestmark = pytest.mark.skipif(
    (CHROMIUM is None or CHROMEDRIVER is None) and not os.environ.get("CI"),
    reason="needs chromium and chromedriver on the PATH (Debian: apt-get install chromium chromium-driver)",
)

Browser = webdriver.Chrome
OpenBrowser = Callable[[], Browser]


@pytest.fixture(scope="module")
def served(database_server: str, database_template: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with served_house(database_server, database_template, tmp_path_factory.mktemp("api")) as house:
        yield house


@pytest.fixture
def house(served: House) -> House:
    return served.with_new_workspace()


@pytest.fixture
def open_browser(tmp_path: Path) -> Iterator[OpenBrowser]:
    """Starts a Chromium with a profile of its own; each call is another person's browser."""
    started: list[Browser] = []

    def start() -> Browser:
        options = webdriver.ChromeOptions()
        options.binary_location = CHROMIUM or ""
        for argument in (*_ARGUMENTS, f"--user-data-dir={tmp_path / f'profile-{len(started)}'}"):
            options.add_argument(argument)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        started.append(Browser(options=options, service=webdriver.ChromeService(CHROMEDRIVER)))
        return started[-1]

    yield start
    for browser in started:
        browser.quit()


def click(browser: Browser, selector: str) -> None:
    """Click, and wait until the next page is there."""
    page = browser.find_element(By.TAG_NAME, "html")
    browser.find_element(By.CSS_SELECTOR, selector).click()
    WebDriverWait(browser, WITHIN_S).until(lambda _: _is_gone(browser, page.id))
    WebDriverWait(browser, WITHIN_S).until(lambda _: browser.execute_script("return document.readyState") == "complete")


def _is_gone(browser: Browser, element_id: str) -> bool:
    return browser.find_element(By.TAG_NAME, "html").id != element_id


def heading(browser: Browser) -> str:
    """The page's heading."""
    return browser.find_element(By.TAG_NAME, "h1").text


def body(browser: Browser) -> str:
    """The page's visible text."""
    return browser.find_element(By.TAG_NAME, "body").text


def complaints(browser: Browser, origin: str) -> list[str]:
    """What the browser said against our own pages: violated policies, missing files, refused cookies."""
    entries = [entry for entry in browser.get_log("browser") if entry["level"] in {"SEVERE", "WARNING"}]
    return [entry["message"] for entry in entries if entry["message"].startswith(origin)]


@pytest.mark.parametrize(("slug", "name"), [("salesforce", "Salesforce"), ("hubspot", "HubSpot")])
def test_a_person_allows_and_sees_which_account_was_connected(
    house: House, open_browser: OpenBrowser, slug: str, name: str
) -> None:
    """Link, click, Allow, and a page that names the account; the browser's own policies let every step pass."""
    # Given the page of a link, in a browser
    browser = open_browser()
    browser.get(house.link(slug))
    assert heading(browser) == f"Connect {name} to Analytical <Engines> & Söhne?"
    # When
    click(browser, "main button")
    assert browser.current_url.startswith(f"{house.sandbox}/{slug}/")
    click(browser, "#allow")
    # Then
    assert heading(browser) == f"{name} is connected"
    account = house.call("GET", f"/{slug}").json["connection"]["crm_account"]
    assert account["name"] in body(browser)
    assert account["id"] in body(browser)
    assert complaints(browser, house.api.origin) == []
    cookies = [cookie["name"] for cookie in browser.get_cookies()]
    assert cookies == ["crm_connect_form"]


def test_a_person_denies_and_nothing_is_connected(house: House, open_browser: OpenBrowser) -> None:
    """Deny leads to a page that says so."""
    # Given the consent page
    browser = open_browser()
    browser.get(house.link("hubspot"))
    click(browser, "main button")
    # When
    click(browser, "#deny")
    # Then
    assert heading(browser) == "Access was not allowed"
    assert "Nothing was connected" in body(browser)
    assert house.call("GET", "/hubspot").json["status"] == "not_connected"


def test_a_link_is_refused_in_a_second_browser(house: House, open_browser: OpenBrowser) -> None:
    """Once one browser has gone on, another gets a page that says that the link was used."""
    # Given a link that one person goes on with, while another has its page open
    url = house.link("hubspot")
    first, second = open_browser(), open_browser()
    second.get(url)
    first.get(url)
    click(first, "main button")
    # When
    click(second, "main button")
    # Then
    assert heading(second) == "This link was used already"
    click(first, "#allow")
    assert heading(first) == "HubSpot is connected"


def test_an_answer_of_the_crm_is_refused_in_a_second_browser(house: House, open_browser: OpenBrowser) -> None:
    """Who gets hold of the address of a consent page cannot connect an account of their own with it."""
    # Given the address of another person's consent page
    first, second = open_browser(), open_browser()
    first.get(house.link("salesforce"))
    click(first, "main button")
    second.get(first.current_url)
    # When
    click(second, "#allow")
    # Then
    assert heading(second) == "This was started in another browser"
    assert house.call("GET", "/salesforce").json["status"] == "not_connected"


def test_another_account_is_confirmed_by_a_click(house: House, open_browser: OpenBrowser) -> None:
    """Reconnecting to another account asks first."""
    # Given a connected account
    house.connect("hubspot", account=0)
    before = house.call("GET", "/hubspot").json["connection"]["crm_account"]["id"]
    browser = open_browser()
    browser.get(house.link("hubspot"))
    click(browser, "main button")
    # When the person chooses the other one
    browser.find_elements(By.CSS_SELECTOR, "input[name=account]")[1].click()
    click(browser, "#allow")
    asked = heading(browser)
    click(browser, "button[value=new]")
    # Then
    assert asked == "This is another HubSpot account than before"
    assert heading(browser) == "HubSpot is connected"
    assert house.call("GET", "/hubspot").json["connection"]["crm_account"]["id"] != before
