"""A client of the control API, for the demo and the tests."""

from typing import Any

import requests

from sandbox.config import Crm

_TIMEOUT_S = 30.0


class RemoteSandbox:
    """The control API of the sandbox at ``origin``. Every method raises ``requests.HTTPError`` when it is refused."""

    def __init__(self, origin: str) -> None:
        self.origin = origin
        self._session = requests.Session()

    def switch(self, crm: Crm, **values: Any) -> None:
        """Change switches of one CRM; their table stands in ``sandbox.switches``."""
        self._post("switches", {crm: values})

    def switches(self) -> dict[str, dict[str, Any]]:
        """Return every switch as it is now."""
        switches: dict[str, dict[str, Any]] = self._get("switches")
        return switches

    def reset(self) -> None:
        """Go back to default accounts, no records, no grants, configured switches."""
        self._post("reset", {})

    def account_ids(self, crm: Crm) -> list[str]:
        """Return the ids of all orgs or portals."""
        return [card["account_id"] for card in self._get(f"accounts/{crm}")]

    def add_account(self, crm: Crm, name: str) -> str:
        """Make one more org or portal and return its id."""
        return str(self._post(f"accounts/{crm}", {"name": name})["account_id"])

    def tokens(self, crm: Crm, account_id: str, scopes: list[str] | None = None) -> dict[str, Any]:
        """Return a token reply for an account, as if a person had consented."""
        reply: dict[str, Any] = self._post(f"tokens/{crm}/{account_id}", {"scopes": scopes} if scopes else {})
        return reply

    def expire_access_tokens(self, crm: Crm, account_id: str) -> None:
        """Let every access token of an account expire now."""
        self._post(f"tokens/{crm}/{account_id}/expire", {})

    def revoke_grants(self, crm: Crm, account_id: str) -> None:
        """End every grant of an account, as a customer does who uninstalls the app."""
        self._post(f"tokens/{crm}/{account_id}/revoke", {})

    def records(self, crm: Crm, account_id: str, object_name: str) -> list[dict[str, Any]]:
        """Return all stored records of one object, deleted ones included."""
        records: list[dict[str, Any]] = self._get(f"records/{crm}/{account_id}/{object_name}")["records"]
        return records

    def store(self, crm: Crm, account_id: str, object_name: str, records: list[dict[str, Any]]) -> list[str]:
        """Store records under the CRM's own rules and return their ids."""
        ids: list[str] = self._post(f"records/{crm}/{account_id}/{object_name}", {"records": records})["ids"]
        return ids

    def journal(self) -> list[dict[str, Any]]:
        """Return the latest requests, oldest first."""
        entries: list[dict[str, Any]] = self._get("journal")
        return entries

    def stats(self) -> dict[str, Any]:
        """Return counts by route and status, requests in flight now and at most."""
        stats: dict[str, Any] = self._get("stats")
        return stats

    def _get(self, path: str) -> Any:
        return self._read(self._session.get(f"{self.origin}/_sandbox/{path}", timeout=_TIMEOUT_S))

    def _post(self, path: str, body: dict[str, Any]) -> Any:
        return self._read(self._session.post(f"{self.origin}/_sandbox/{path}", json=body, timeout=_TIMEOUT_S))

    def _read(self, response: requests.Response) -> Any:
        response.raise_for_status()
        return response.json()
