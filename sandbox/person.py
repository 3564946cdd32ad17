"""A person in front of the consent page, for the demo and the tests: reads the page, clicks Allow or Deny."""

from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import Literal
from urllib.parse import urljoin

import requests

_TIMEOUT_S = 10.0


class NoConsentPageError(Exception):
    """The authorization endpoint answered without a consent form; the text is what its page says."""


@dataclass
class ConsentForm:
    """The form of a consent page."""

    action: str
    consent_id: str
    accounts: list[str] = field(default_factory=list)
    chosen_account: str = ""


class _FormReader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.form = ConsentForm("", "")
        self.words: list[str] = []
        self._is_style = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        self._is_style = tag == "style"
        if tag == "form":
            self.form.action = values["action"]
        elif values.get("name") == "consent_id":
            self.form.consent_id = values["value"]
        elif values.get("name") == "account":
            self.form.accounts.append(values["value"])
            if "checked" in values:
                self.form.chosen_account = values["value"]

    def handle_data(self, data: str) -> None:
        if data.strip() and not self._is_style:
            self.words.append(data.strip())


class Person:
    """Someone with a browser that follows no redirect by itself."""

    def __init__(self) -> None:
        self.browser = requests.Session()

    def open_consent_page(self, authorize_url: str) -> ConsentForm:
        """Open an authorization URL and return the form of its page.

        Raises:
            NoConsentPageError: There is none: an error page, or a redirect at once.
        """
        response = self.browser.get(authorize_url, allow_redirects=False, timeout=_TIMEOUT_S)
        reader = _FormReader()
        reader.feed(response.text)
        if response.status_code != requests.codes.ok or not reader.form.consent_id:
            raise NoConsentPageError(" ".join(reader.words) or f"HTTP {response.status_code}")
        reader.form.action = urljoin(authorize_url, reader.form.action)
        return reader.form

    def allow(self, authorize_url: str, account_id: str | None = None) -> str:
        """Allow access to an account (by default the one chosen beforehand); return the URL of the redirect.

        Raises:
            NoConsentPageError: There is no consent page, or it does not take this answer.
        """
        return self._answer(authorize_url, "allow", account_id)

    def deny(self, authorize_url: str) -> str:
        """Deny access; return the URL of the redirect.

        Raises:
            NoConsentPageError: There is no consent page.
        """
        return self._answer(authorize_url, "deny", None)

    def _answer(self, authorize_url: str, decision: Literal["allow", "deny"], account_id: str | None) -> str:
        form = self.open_consent_page(authorize_url)
        answer = {
            "consent_id": form.consent_id,
            "account": account_id or form.chosen_account,
            "decision": decision,
        }
        response = self.browser.post(form.action, data=answer, allow_redirects=False, timeout=_TIMEOUT_S)
        if response.status_code != requests.codes.found:
            raise NoConsentPageError(f"HTTP {response.status_code}")
        return response.headers["Location"]
