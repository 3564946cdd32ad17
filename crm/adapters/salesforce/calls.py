"""Authenticated calls to one org's REST API. Source: REST API Developer Guide, "Status Codes and Error Responses"."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from crm.adapters.salesforce.errors import raise_for_status
from crm.errors import ConfigurationFault, CrmUnavailable, GiveUp
from crm.http import AllowedHosts, HttpClient, Reply
from crm.model import AccountLimits, CallScope, OAuthTokens

#: The host of a token reply's URLs. Not force.com: its sites hold pages that customers publish themselves.
HOST_SUFFIXES: Final = ("salesforce.com",)
_MAX_PAGES: Final = 50
# "api-usage=44/15000; per-app-api-usage=17/250(appName=...)": the app's own share is not the org's.
_API_USAGE: Final = re.compile(r"(?:^|[\s;,])api-usage=(\d{1,15})/(\d{1,15})")


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

    def check_version(self) -> None:
        """Make sure that the org serves our API version, after a 404 that may mean either.

        Source: REST API Developer Guide, resources_versions.htm.

        Raises:
            ConfigurationFault: it does not serve it, or not yet.
        """
        listed = self._send("GET", f"{self._instance_url}/services/data")
        served = [str(entry.get("version")) for entry in listed if isinstance(entry, dict)]
        if served and self.api_version.removeprefix("v") not in served:
            text = f"this org does not serve the API version {self.api_version}; its newest is v{served[-1]}"
            raise ConfigurationFault(text, code="crm_refused")

    def _send(self, method: str, url: str, *, writes: bool = False, headers: Any = None, **content: Any) -> Any:
        reply = self.http.send(
            method,
            url,
            headers={"Authorization": f"Bearer {self.tokens.access_token}", **(headers or {})},
            scope=self.scope,
            **content,
        )
        self.scope.limits = account_limits(reply) or self.scope.limits
        raise_for_status(reply, writes=writes)
        answer = reply.json()
        if not isinstance(answer, dict | list):
            raise CrmUnavailable("Salesforce answered 2xx with something that is not JSON", may_have_arrived=writes)
        return answer


def account_limits(reply: Reply) -> AccountLimits | None:
    """What `Sforce-Limit-Info` says of the org's rolling day. Source: REST API Developer Guide, "API Usage Header"."""
    found = _API_USAGE.search(reply.headers.get("Sforce-Limit-Info", ""))
    return AccountLimits(daily_used=int(found[1]), daily_max=int(found[2])) if found else None


def _records(page: Any) -> list[dict[str, Any]]:
    records = page.get("records") if isinstance(page, dict) else None
    if not isinstance(records, list):
        raise CrmUnavailable("Salesforce answered a query without records")
    return [_flat(record) for record in records if isinstance(record, dict)]


def _flat(record: dict[str, Any]) -> dict[str, Any]:
    """A row with the fields of its parents under their paths too (`Account.Name`), as the query names them."""
    parents = {name: held for name, held in record.items() if isinstance(held, dict) and name != "attributes"}
    paths = {f"{name}.{inner}": value for name, held in parents.items() for inner, value in held.items()}
    return {**record, **paths}


def _relative(url: Any) -> str:
    """`url` when it is a path of the data API: joined to the org's own origin it cannot lead elsewhere."""
    if not isinstance(url, str) or not url.startswith("/services/data/") or ".." in url or "@" in url:
        raise GiveUp("Salesforce's next page is not a path of its own API")
    return url
