"""Authenticated callers of the two simulated APIs that add nothing to them, for the sandbox's own tests."""

from typing import Any

import requests

from sandbox.remote import RemoteSandbox

_TIMEOUT_S = 10.0


class SalesforceCaller:
    """Calls the data API of the first org. ``session`` can be given more headers."""

    def __init__(self, remote: RemoteSandbox) -> None:
        self.remote = remote
        self.org_id = remote.account_ids("salesforce")[0]
        tokens = remote.tokens("salesforce", self.org_id)
        self.instance_url: str = tokens["instance_url"]
        self.session = requests.Session()
        self.session.headers["Authorization"] = f"Bearer {tokens['access_token']}"

    def send(self, method: str, path: str, **more: Any) -> requests.Response:
        """Send a request below ``/services/data/v67.0``; ``more`` is what ``requests`` takes."""
        url = f"{self.instance_url}/services/data/v67.0{path}"
        return self.session.request(method, url, timeout=_TIMEOUT_S, **more)

    def collection(self, method: str, records: list[dict[str, Any]], path: str = "", **body: Any) -> requests.Response:
        """Send records to sObject Collections."""
        return self.send(method, f"/composite/sobjects{path}", json={"allOrNone": False, "records": records, **body})

    def query(self, soql: str, **headers: str) -> dict[str, Any]:
        """Return the first page of a query."""
        reply: dict[str, Any] = self.send("GET", "/query", params={"q": soql}, headers=headers).json()
        return reply

    def stored(self, name: str = "Lead") -> list[dict[str, Any]]:
        """Return what the sandbox has stored of one object."""
        return self.remote.records("salesforce", self.org_id, name)


class HubspotCaller:
    """Calls the objects API of the first portal. ``session`` can be given more headers."""

    def __init__(self, remote: RemoteSandbox) -> None:
        self.remote = remote
        self.hub_id = remote.account_ids("hubspot")[0]
        self.session = requests.Session()
        token = remote.tokens("hubspot", self.hub_id)["access_token"]
        self.session.headers["Authorization"] = f"Bearer {token}"

    def send(self, method: str, path: str, version: str = "2026-09", **more: Any) -> requests.Response:
        """Send a request below ``/crm/objects/{version}`` (legacy: ``/crm/v3/objects``).

        ``more`` is what ``requests`` takes.
        """
        base = f"{version}/objects" if version.startswith("v") else f"objects/{version}"
        url = f"{self.remote.origin}/hubspot/crm/{base}/{path}"
        return self.session.request(method, url, timeout=_TIMEOUT_S, **more)

    def batch(self, path: str, inputs: list[dict[str, Any]], **body: Any) -> requests.Response:
        """Send inputs to a batch endpoint."""
        return self.send("POST", path, json={"inputs": inputs, **body})

    def search(self, kind: str = "companies", **body: Any) -> requests.Response:
        """Send a search body."""
        return self.send("POST", f"{kind}/search", json=body)

    def stored(self, name: str = "contacts") -> list[dict[str, Any]]:
        """Return what the sandbox has stored of one object type."""
        return self.remote.records("hubspot", self.hub_id, name)
