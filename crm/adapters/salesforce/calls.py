"""Authenticated calls to one org's REST API. Source: REST API Developer Guide, "Status Codes and Error Responses"."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from crm.adapters.salesforce.errors import raise_for_status
from crm.errors import CrmUnavailable, GiveUp
from crm.http import AllowedHosts, HttpClient
from crm.model import CallScope, OAuthTokens

#: The host of a token reply's URLs. Not force.com: its sites hold pages that customers publish themselves.
HOST_SUFFIXES: Final = ("salesforce.com",)
_MAX_PAGES: Final = 50


@dataclass(frozen=True, slots=True)
class Org:
    """One connected org, for one command."""

    http: HttpClient
    tokens: OAuthTokens
    api_version: str
    scope: CallScope
    sandbox_origin: str | None = None

    @property
    def cache_key(self) -> str:
        """What tells this org from others."""
        return self.tokens.account_id or self._instance_url

    @property
    def _instance_url(self) -> str:
        url = self.tokens.instance_url
        if not url:
            raise GiveUp("the connection has no instance_url; reconnect it")
        return AllowedHosts(HOST_SUFFIXES, self.sandbox_origin).check(url).rstrip("/")

    def call(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        json: Any = None,
        headers: Mapping[str, str] | None = None,
        writes: bool = False,
    ) -> Any:
        """The JSON of a 2xx reply to `{instance_url}/services/data/{version}{path}`.

        Raises:
            CrmUnavailable: also for a 2xx that is not JSON: something between us and Salesforce answered.
            CrmError: as `errors.raise_for_status` says.
        """
        url = f"{self._instance_url}/services/data/{self.api_version}{path}"
        return self._send(method, url, params=params, json=json, headers=headers, writes=writes)

    def query(self, soql: str, *, include_deleted: bool = False) -> Iterator[dict[str, Any]]:
        """The records of a query, page by page.

        Raises:
            GiveUp: Salesforce's next page is not a path of this API, or there are far too many pages.
        """
        path = "/queryAll" if include_deleted else "/query"
        page = self.call("GET", path, params={"q": soql})
        for _ in range(_MAX_PAGES):
            yield from _records(page)
            if page.get("done", True) or not page.get("nextRecordsUrl"):
                return
            page = self._send("GET", self._instance_url + _relative(page["nextRecordsUrl"]))
        raise GiveUp("the query has too many results", public="the CRM holds too many similar records to look through")

    def _send(self, method: str, url: str, *, writes: bool = False, headers: Any = None, **content: Any) -> Any:
        reply = self.http.send(
            method,
            url,
            headers={"Authorization": f"Bearer {self.tokens.access_token}", **(headers or {})},
            scope=self.scope,
            **content,
        )
        raise_for_status(reply, writes=writes)
        answer = reply.json()
        if not isinstance(answer, dict | list):
            raise CrmUnavailable("Salesforce answered 2xx with something that is not JSON", may_have_arrived=writes)
        return answer


def _records(page: Any) -> list[dict[str, Any]]:
    records = page.get("records") if isinstance(page, dict) else None
    if not isinstance(records, list):
        raise CrmUnavailable("Salesforce answered a query without records")
    return [record for record in records if isinstance(record, dict)]


def _relative(url: Any) -> str:
    """`url` when it is a path of the data API: joined to the org's own origin it cannot lead elsewhere."""
    if not isinstance(url, str) or not url.startswith("/services/data/") or ".." in url or "@" in url:
        raise GiveUp("Salesforce's next page is not a path of its own API")
    return url
