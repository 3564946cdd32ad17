"""A HubSpot account of the sandbox with an adapter that is connected to it, for the tests of the adapter."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import requests
from pydantic import SecretStr

from crm.adapters.hubspot import HubSpotAdapter
from crm.http import AllowedHosts, HttpClient
from crm.mapping import mappings_for
from crm.model import (
    CallScope,
    CrmRecord,
    FieldMapping,
    OAuthTokens,
    PulledPage,
    PullOptions,
    PushOptions,
    SyncResult,
)
from crm.settings import OAuthClient

CLIENT = OAuthClient(client_id="sandbox-hubspot-client", client_secret=SecretStr("sandbox-hubspot-secret-not-real"))
API_VERSION = "2026-09"
REDIRECT_URI = "http://127.0.0.1:8000/api/v1/integrations/callback/hubspot"


@dataclass
class ConnectedPortal:
    """One account: its sandbox, its adapter, its tokens."""

    origin: str
    http: HttpClient
    adapter: HubSpotAdapter
    tokens: OAuthTokens

    def push(
        self,
        crm_object: str,
        records: Sequence[CrmRecord],
        *,
        options: PushOptions | None = None,
        extra: tuple[FieldMapping, ...] = (),
        tokens: OAuthTokens | None = None,
    ) -> SyncResult:
        """Push with the default mappings and `extra` ones."""
        mappings = mappings_for(self.adapter.default_mappings(crm_object), extra)
        return self.adapter.push_records(
            tokens or self.tokens, records, mappings, options=options or PushOptions(crm_object)
        )

    def pull(self, entity: str, limit: int, *, extra: tuple[FieldMapping, ...] = (), **options: Any) -> PulledPage:
        """Pull with the default mappings and `extra` ones; `options` are those of `PullOptions`."""
        mappings = mappings_for(self.adapter.default_mappings(self.adapter.resolve_object(entity, {})), extra)
        return self.adapter.pull_records(self.tokens, entity, mappings, limit, options=PullOptions(**options))

    def delete(self, crm_object: str, ids: Sequence[str]) -> None:
        """Archive records, as a person in HubSpot would."""
        self.adapter.delete_records(self.tokens, crm_object, ids, scope=CallScope())

    def scope(self) -> CallScope:
        """Leave to call, counted."""
        return CallScope()

    def switch(self, **switches: Any) -> None:
        """Change switches of the simulated HubSpot."""
        self._control("post", "switches", {"hubspot": switches})

    def stored(self, crm_object: str) -> list[dict[str, Any]]:
        """Every stored record, in the order of creation."""
        found: list[dict[str, Any]] = self._control("get", f"records/hubspot/{self.tokens.account_id}/{crm_object}")[
            "records"
        ]
        return found

    def store(self, crm_object: str, *records: Mapping[str, str]) -> list[str]:
        """Store records as a person in HubSpot would; their ids."""
        path = f"records/hubspot/{self.tokens.account_id}/{crm_object}"
        ids: list[str] = self._control("post", path, {"records": list(records)})["ids"]
        return ids

    def calls(self) -> int:
        """How many data calls the sandbox has had since its last reset."""
        return sum("/crm/" in entry["path"] for entry in self._control("get", "journal"))

    def expire(self) -> None:
        """Let every access token of the account expire."""
        self._control("post", f"tokens/hubspot/{self.tokens.account_id}/expire")

    def tokens_with(self, *scopes: str) -> OAuthTokens:
        """Tokens of another grant of the account, with these scopes."""
        reply = self._control("post", f"tokens/hubspot/{self.tokens.account_id}", {"scopes": list(scopes)})
        return replace(self.tokens, access_token=reply["access_token"], refresh_token=reply["refresh_token"])

    def tokens_like(self, **extra: str) -> OAuthTokens:
        """The tokens with other extras."""
        return replace(self.tokens, extra=extra)

    def _control(self, method: str, path: str, body: object = None) -> Any:
        reply = requests.request(method, f"{self.origin}/_sandbox/{path}", json=body, timeout=10)
        reply.raise_for_status()
        return reply.json()


@contextmanager
def connected_portal(origin: str) -> Iterator[ConnectedPortal]:
    """A fresh sandbox with an adapter on its first portal."""
    with requests.Session() as session:
        session.post(f"{origin}/_sandbox/reset", timeout=10).raise_for_status()
        account = session.get(f"{origin}/_sandbox/accounts/hubspot", timeout=10).json()[0]["account_id"]
        grant = session.post(f"{origin}/_sandbox/tokens/hubspot/{account}", timeout=10).json()
    http = HttpClient(
        timeout_s=5.0, connect_timeout_s=2.0, allowed_hosts=AllowedHosts(("hubapi.com", "hubspot.com"), origin)
    )
    tokens = OAuthTokens(
        access_token=grant["access_token"],
        refresh_token=grant["refresh_token"],
        expires_at=datetime.now(UTC) + timedelta(minutes=30),
        account_id=account,
    )
    yield ConnectedPortal(
        origin, http, HubSpotAdapter(http, CLIENT, api_version=API_VERSION, sandbox_origin=origin), tokens
    )
