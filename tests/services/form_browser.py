"""A browser without JavaScript: keeps cookies, follows redirects, fills the one form of a page."""

import http.client
import json
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from html.parser import HTMLParser
from http.cookies import SimpleCookie
from typing import Any
from urllib.parse import urlencode, urljoin, urlsplit

REDIRECTS = {301, 302, 303}


@dataclass
class Form:
    """The form of a page: where it goes, and its values; of radio buttons the checked one."""

    action: str = ""
    values: dict[str, str] = field(default_factory=dict)


class _FormReader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.form: Form | None = None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Collect the form's action and inputs."""
        named = {name: value or "" for name, value in attrs}
        if tag == "form":
            self.form = Form(named.get("action", ""))
        if tag == "input" and self.form is not None and (named.get("type") != "radio" or "checked" in named):
            self.form.values[named["name"]] = named.get("value", "")


@dataclass
class Page:
    """Where the browser ended: the last response of a chain of redirects."""

    url: str
    status: int
    headers: dict[str, str]
    cookies: list[str]
    body: bytes

    @property
    def text(self) -> str:
        """The body as text."""
        return self.body.decode()

    @property
    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)

    @property
    def form(self) -> Form:
        """The page's form."""
        reader = _FormReader()
        reader.feed(self.text)
        assert reader.form is not None, f"no form on {self.url}:\n{self.text}"
        return reader.form


class FormBrowser:
    """One person's browser; another instance is another browser."""

    def __init__(self) -> None:
        self.cookies: dict[str, dict[str, str]] = {}

    def open(self, url: str, *, follow: bool = True) -> Page:
        """Go to an address."""
        return self._go("GET", url, None, follow=follow)

    def submit(self, page: Page, *, follow: bool = True, **values: str) -> Page:
        """Send the page's form with these values over its own."""
        form = page.form
        return self._go("POST", urljoin(page.url, form.action), {**form.values, **values}, follow=follow)

    def post(self, url: str, values: dict[str, str]) -> Page:
        """Send a form that no page gave."""
        return self._go("POST", url, values, follow=False)

    def _go(self, method: str, url: str, values: dict[str, str] | None, *, follow: bool) -> Page:
        page = self._request(method, url, values)
        for _ in range(10):
            if not follow or page.status not in REDIRECTS:
                return page
            page = self._request("GET", urljoin(page.url, page.headers["location"]), None)
        raise AssertionError(f"too many redirects, the last to {page.url}")

    def _request(self, method: str, url: str, values: dict[str, str] | None) -> Page:
        parts = urlsplit(url)
        kept = self.cookies.setdefault(parts.netloc, {})
        headers = {"Cookie": "; ".join(f"{name}={value}" for name, value in kept.items())} if kept else {}
        if values is not None:
            headers["Content-Type"] = "application/x-www-form-urlencoded"
        connection = http.client.HTTPConnection(parts.netloc, timeout=60)
        try:
            target = parts.path + (f"?{parts.query}" if parts.query else "")
            connection.request(method, target, urlencode(values) if values is not None else None, headers)
            reply = connection.getresponse()
            body = reply.read()
        finally:
            connection.close()
        cookies = [value for name, value in reply.getheaders() if name.lower() == "set-cookie"]
        for cookie in cookies:
            self._keep(kept, cookie)
        return Page(url, reply.status, {name.lower(): value for name, value in reply.getheaders()}, cookies, body)

    @staticmethod
    def _keep(kept: dict[str, str], cookie: str) -> None:
        for name, morsel in SimpleCookie(cookie).items():
            expires = morsel["expires"]
            if expires and parsedate_to_datetime(expires) < datetime.now(UTC):
                kept.pop(name, None)
            else:
                kept[name] = morsel.value
