"""One account's authorized calls to HubSpot's API: URL, bearer token (RFC 6750 section 2.1), status check."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote

from crm.adapters.hubspot.errors import raise_for_status
from crm.errors import CrmUnavailable
from crm.http import HttpClient, Reply
from crm.model import AccountLimits, CallScope, OAuthTokens

#: All of HubSpot's accounts share one API host, whatever their data centre.
API_ORIGIN: Final = "https://api.hubapi.com"


@dataclass(frozen=True, slots=True)
class Calls:
    """The way to one account's data.

    Attributes:
        origin: Scheme and host (and the sandbox's path).
        version: Of the dated API, `2026-09`.
    """

    http: HttpClient
    origin: str
    version: str
    tokens: OAuthTokens
    scope: CallScope

    def objects_path(self, crm_object: str, tail: str = "") -> str:
        """`/crm/objects/{version}/{object}{tail}`."""
        return f"/crm/objects/{self.version}/{quote(crm_object, safe='')}{tail}"

    def associations_path(self, from_object: str, to_object: str, tail: str) -> str:
        """`/crm/associations/{version}/{from}/{to}{tail}`."""
        return f"/crm/associations/{self.version}/{quote(from_object, safe='')}/{quote(to_object, safe='')}{tail}"

    def send(self, method: str, path: str, *, params: Mapping[str, str] | None = None, json: Any = None) -> Reply:
        """One call; any HTTP status is returned. What its headers say of limits goes to `scope.limits`.

        Raises:
            CrmUnavailable: no answer.
            LeaseLost: by `scope.before_send`.
        """
        reply = self.http.send(
            method,
            self.origin + path,
            headers={"Authorization": f"Bearer {self.tokens.access_token}", "Accept": "application/json"},
            params=params,
            json=json,
            scope=self.scope,
        )
        self.scope.limits = limits_in(reply.headers) or self.scope.limits
        return reply

    def get(self, path: str, params: Mapping[str, str] | None = None) -> dict[str, Any]:
        """A read that must answer 2xx with a JSON object.

        Raises:
            CrmError: as `errors.raise_for_status` says.
        """
        return self._object(self.send("GET", path, params=params), f"GET {path}")

    def post(self, path: str, json: Any) -> dict[str, Any]:
        """As `get`, for searches and batch reads."""
        return self._object(self.send("POST", path, json=json), f"POST {path}")

    @staticmethod
    def _object(reply: Reply, what: str) -> dict[str, Any]:
        raise_for_status(reply, what=what)
        return json_object(reply, what)


def limits_in(headers: Mapping[str, str]) -> AccountLimits | None:
    """`X-HubSpot-RateLimit-*`; None where a reply says nothing (every search).

    `-Daily` and `-Daily-Remaining` come to private apps alone, so their absence is the usual case.
    https://developers.hubspot.com/docs/developer-tooling/platform/usage-guidelines
    """

    def number(name: str) -> int | None:
        text = headers.get(f"X-HubSpot-RateLimit-{name}", "").strip()
        return int(text) if text.isascii() and text.isdigit() else None

    window_ms, daily_max, daily_left = number("Interval-Milliseconds"), number("Daily"), number("Daily-Remaining")
    limits = AccountLimits(
        daily_used=daily_max - daily_left if daily_max is not None and daily_left is not None else None,
        daily_max=daily_max,
        window_left=number("Remaining"),
        window_max=number("Max"),
        window_s=window_ms / 1000 if window_ms is not None else None,
    )
    return limits if limits != AccountLimits() else None


def json_object(reply: Reply, what: str) -> dict[str, Any]:
    """The JSON object of a 2xx reply.

    Raises:
        CrmUnavailable: the body is something else (a proxy's page); the call may have been carried out.
    """
    body = reply.json()
    if not isinstance(body, dict):
        raise CrmUnavailable(f"HubSpot's answer to {what} is not a JSON object", may_have_arrived=True)
    return body


def objects_in(items: Any) -> list[dict[str, Any]]:
    """The JSON objects of a list in a reply; anything else is left out."""
    return [item for item in items if isinstance(item, dict)] if isinstance(items, list) else []
