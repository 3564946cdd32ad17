"""The one file of `cli` that speaks HTTP: the API of this service, and pages as a person's browser would see them."""

import html
from collections.abc import Mapping
from dataclasses import dataclass
from html.parser import HTMLParser
from typing import Any
from urllib.parse import urljoin

import requests

from cli.problems import Unreachable
from cli.settings import ApiAccess

_TIMEOUT_S = 30.0
_NOT_FOUND = 404
_REFUSED = 400
_MOST_REDIRECTS = 8


class ApiClient:
    """Calls the API with the caller's token."""

    def __init__(self, access: ApiAccess) -> None:
        self._url = access.api_url
        self._session = requests.Session()
        self._session.trust_env = False  # no .netrc: it would replace the token
        self._session.headers["Authorization"] = f"Bearer {access.api_token.get_secret_value()}"

    def get(self, path: str, **query: str | int | None) -> dict[str, Any] | None:
        """A resource, or None where there is none (404).

        Raises:
            Unreachable: The API does not answer.

        """
        return self._call("GET", path, params={name: value for name, value in query.items() if value is not None})

    def post(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """Send a JSON body and return the reply's; errors as `get`, and 404 is one."""
        answer = self._call("POST", path, json=body)
        if answer is None:
            raise Unreachable(f"{self._url} has nothing at {path}")
        return answer

    def _call(self, method: str, path: str, **content: Any) -> dict[str, Any] | None:
        try:
            reply = self._session.request(
                method, self._url + path, timeout=_TIMEOUT_S, allow_redirects=False, **content
            )
        except requests.RequestException:
            raise Unreachable(
                f"no answer from the API at {self._url}; check CRM_SYNC_API_URL and that it runs"
            ) from None
        try:
            answer = reply.json()
        except ValueError:
            answer = {}
        if reply.status_code < _REFUSED and isinstance(answer, dict):
            return answer
        problem = answer if isinstance(answer, dict) else {}
        if reply.status_code == _NOT_FOUND and problem.get("code") in {"sync_not_found", "command_not_found"}:
            return None
        raise _refusal(reply.status_code, problem)


def _refusal(status: int, problem: Mapping[str, Any]) -> Unreachable:
    """A problem document (RFC 9457) as one line."""
    what = problem.get("detail") or problem.get("title") or "no explanation"
    hint = f"; {problem['hint']}" if problem.get("hint") else ""
    return Unreachable(f"the API refused ({status} {problem.get('code', '')}): {what}{hint}".replace(" )", ")"))


def is_answering(url: str) -> bool:
    """Whether a GET is answered with 2xx, now."""
    try:
        return requests.get(url, timeout=5, allow_redirects=False).ok
    except requests.RequestException:
        return False


def get_json(url: str) -> Any:
    """The JSON document at `url`, without any credential.

    Raises:
        Unreachable: No answer, no success, or no JSON.
    """
    try:
        reply = requests.get(url, timeout=_TIMEOUT_S)
        reply.raise_for_status()
        return reply.json()
    except (requests.RequestException, ValueError) as problem:
        raise Unreachable(f"no usable answer from {url}: {type(problem).__name__}") from None


@dataclass(frozen=True, slots=True)
class Page:
    """A page as a browser shows it."""

    url: str
    status: int
    text: str

    @property
    def words(self) -> str:
        """The text between the tags, for messages."""
        parser = _Words()
        parser.feed(self.text)
        return " ".join(" ".join(parser.found).split())


class Browser:
    """A browser with its cookies and nothing else: opens links, follows redirects, fills and submits forms."""

    def __init__(self) -> None:
        self._session = requests.Session()
        self._session.trust_env = False
        self._session.max_redirects = _MOST_REDIRECTS

    def open(self, url: str) -> Page:
        """Go to an address and follow its redirects.

        Raises:
            Unreachable: No answer, or redirects without end.
        """
        return self._go("GET", url, None)

    def submit(self, page: Page, choices: Mapping[str, str], *, form_index: int = 0) -> Page:
        """Submit a form of a page: its hidden and preset fields, and `choices` (fields, and the button clicked).

        Raises:
            Unreachable: The page has no such form, or nobody answers.
        """
        parser = _Forms()
        parser.feed(page.text)
        if len(parser.forms) <= form_index:
            raise Unreachable(f"{page.url} shows no form to submit ({page.status}): {page.words[:200]}")
        form = parser.forms[form_index]
        return self._go(form.method, urljoin(page.url, form.action), {**form.fields, **choices})

    def _go(self, method: str, url: str, form: Mapping[str, str] | None) -> Page:
        try:
            reply = self._session.request(method, url, data=form, timeout=_TIMEOUT_S)
        except requests.RequestException as problem:
            raise Unreachable(f"no answer from {url.partition('?')[0]}: {type(problem).__name__}") from None
        return Page(reply.url, reply.status_code, reply.text)


@dataclass(slots=True)
class _Form:
    action: str
    method: str
    fields: dict[str, str]


class _Forms(HTMLParser):
    """The forms of a page with the values that a browser would send untouched (buttons are left to the caller)."""

    def __init__(self) -> None:
        super().__init__()
        self.forms: list[_Form] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        named = {name: html.unescape(value or "") for name, value in attrs}
        if tag == "form":
            self.forms.append(_Form(named.get("action", ""), named.get("method", "get").upper(), {}))
        elif tag == "input" and self.forms and named.get("name"):
            is_choice = named.get("type") in {"radio", "checkbox"}
            if named.get("type") != "submit" and (not is_choice or "checked" in named):
                self.forms[-1].fields[named["name"]] = named.get("value", "")


class _Words(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self._hidden = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._hidden += tag in {"style", "script", "title"}
        del attrs

    def handle_endtag(self, tag: str) -> None:
        self._hidden -= tag in {"style", "script", "title"}

    def handle_data(self, data: str) -> None:
        if not self._hidden:
            self.found.append(data)
