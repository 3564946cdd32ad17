"""The HubSpot adapter: the owner's interface over this folder's parts."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Final

from crm.adapters.contract import Capabilities
from crm.adapters.hubspot import defaults
from crm.adapters.hubspot.associations import association_fields
from crm.adapters.hubspot.batch import BATCH_SIZE
from crm.adapters.hubspot.calls import API_ORIGIN, Calls
from crm.adapters.hubspot.errors import raise_for_status
from crm.adapters.hubspot.flags import HubSpotFlags
from crm.adapters.hubspot.oauth import AUTHORIZE_ORIGIN, HubSpotOAuth
from crm.adapters.hubspot.pace import SHARED_PACE
from crm.adapters.hubspot.properties import PropertyCatalogue
from crm.adapters.hubspot.pull import Pull
from crm.adapters.hubspot.push import Push
from crm.adapters.hubspot.search import Search
from crm.http import HttpClient
from crm.model import (
    CallScope,
    CrmRecord,
    FieldDescription,
    FieldMapping,
    OAuthTokens,
    PulledPage,
    PullOptions,
    PushOptions,
    SyncResult,
)
from crm.settings import OAuthClient

_UI_HOST: Final = "app.hubspot.com"
_DEFAULT_FLAGS: Final = HubSpotFlags()


class HubSpotAdapter:
    """HubSpot over its dated API.

    Args:
        http: Calls hubapi.com and hubspot.com only (and the sandbox).
        client: The registered OAuth client; None: everything but OAuth works.
        api_version: One version for OAuth, objects, properties and account-info.
        sandbox_origin: `http://127.0.0.1:PORT`; both of HubSpot's hosts are then `{origin}/hubspot`.
        clock: The time in UTC.
        flags: What HubSpot's documents leave open, and what an operator decides.
    """

    slug = "hubspot"
    name = "HubSpot"
    capabilities = Capabilities(
        entities={"person": ("contacts",), "company": ("companies",)},
        batch_size=BATCH_SIZE,
        pkce=False,
        rotates_refresh_token=True,
        revocation="refresh_only",
        search_lag_s=10.0,
        scopes=defaults.SCOPES,
        login_hosts={},
        modes=frozenset({"upsert", "create", "update", "delete"}),
    )

    def __init__(
        self,
        http: HttpClient,
        client: OAuthClient | None,
        *,
        api_version: str,
        sandbox_origin: str | None = None,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        flags: HubSpotFlags = _DEFAULT_FLAGS,
    ) -> None:
        self.capabilities = replace(type(self).capabilities, pkce=flags.pkce)
        self._http = http
        self._version = api_version
        self._clock = clock
        self._api = f"{sandbox_origin}/hubspot" if sandbox_origin else API_ORIGIN
        self._pages = f"{sandbox_origin}/hubspot" if sandbox_origin else f"https://{_UI_HOST}"
        authorize = f"{sandbox_origin}/hubspot" if sandbox_origin else AUTHORIZE_ORIGIN
        self._is_sandbox = sandbox_origin is not None
        self._oauth = HubSpotOAuth(http, client, api_version, authorize, self._api, clock, flags)
        self._catalogue = PropertyCatalogue()
        self._pace = SHARED_PACE

    def get_auth_url(
        self, state: str, redirect_uri: str, *, code_challenge: str | None = None, login_host: str | None = None
    ) -> str:
        """See `crm.adapters.contract.CrmAdapter`."""
        return self._oauth.authorization_url(state, redirect_uri, code_challenge=code_challenge, login_host=login_host)

    def exchange_code(
        self,
        code: str,
        redirect_uri: str,
        *,
        code_verifier: str | None = None,
        login_host: str | None = None,  # noqa: ARG002 - HubSpot has one authorization server
        callback_params: Mapping[str, str] | None = None,  # noqa: ARG002 - HubSpot sends nothing of use
    ) -> OAuthTokens:
        """See `crm.adapters.contract.CrmAdapter`."""
        return self._oauth.exchange(code, redirect_uri, code_verifier)

    def refresh_token(self, refresh_token: str, *, tokens: OAuthTokens | None = None) -> OAuthTokens:
        """See `crm.adapters.contract.CrmAdapter`."""
        return self._oauth.refresh(refresh_token, tokens)

    def revoke(self, tokens: OAuthTokens) -> None:
        """Revoke the refresh token; the app stays installed unless the flags say otherwise.

        See `crm.adapters.contract.CrmAdapter`.
        """
        self._oauth.revoke(tokens)

    def push_records(
        self,
        tokens: OAuthTokens,
        records: Sequence[CrmRecord],
        field_mappings: Sequence[FieldMapping],
        *,
        options: PushOptions,
    ) -> SyncResult:
        """See `crm.adapters.contract.CrmAdapter`."""
        push = Push(self._calls(tokens, options.scope), self._catalogue, self._pace, options)
        return push.run(records, field_mappings)

    def pull_records(
        self,
        tokens: OAuthTokens,
        entity: str,
        field_mappings: Sequence[FieldMapping],
        limit: int,
        *,
        options: PullOptions | None = None,
    ) -> PulledPage:
        """See `crm.adapters.contract.CrmAdapter`."""
        chosen = options or PullOptions()
        crm_object = defaults.resolve_object(entity)
        calls = self._calls(tokens, chosen.scope)
        fields = self._catalogue.of(calls, crm_object)
        pull = Pull(Search(calls, crm_object, self._pace), fields, field_mappings, chosen, self._clock)
        return pull.run(limit)

    def read_records(
        self,
        tokens: OAuthTokens,
        crm_object: str,
        crm_ids: Sequence[str],
        crm_fields: Sequence[str],
        *,
        scope: CallScope,
    ) -> Mapping[str, Mapping[str, object]]:
        """See `crm.adapters.contract.CrmAdapter`; values are HubSpot's texts."""
        found = Search(self._calls(tokens, scope), crm_object, self._pace).by_id(crm_ids, crm_fields)
        return {crm_id: {name: record.properties.get(name) for name in crm_fields} for crm_id, record in found.items()}

    def delete_records(
        self, tokens: OAuthTokens, crm_object: str, crm_ids: Sequence[str], *, scope: CallScope
    ) -> Mapping[str, bool]:
        """Archive by id: HubSpot keeps records for 90 days after it. See `crm.adapters.contract.CrmAdapter`."""
        calls = self._calls(tokens, scope)
        # The archive call answers 204 for ids that never were, so what exists is read first.
        present = list(Search(calls, crm_object, self._pace).by_id(crm_ids, ()))
        path = calls.objects_path(crm_object, "/batch/archive")
        for start in range(0, len(present), BATCH_SIZE):
            body = {"inputs": [{"id": crm_id} for crm_id in present[start : start + BATCH_SIZE]]}
            raise_for_status(calls.send("POST", path, json=body), what=f"POST {path}")
        return {crm_id: crm_id in present for crm_id in crm_ids}

    def describe_fields(
        self, tokens: OAuthTokens, crm_object: str, *, scope: CallScope
    ) -> tuple[FieldDescription, ...]:
        """See `crm.adapters.contract.CrmAdapter`; associations that can be mapped to stand at the end."""
        properties = self._catalogue.of(self._calls(tokens, scope), crm_object).values()
        return (*properties, *association_fields(crm_object))

    def resolve_object(self, entity: str, settings: Mapping[str, object]) -> str:  # noqa: ARG002 - one object each
        """See `crm.adapters.contract.CrmAdapter`."""
        return defaults.resolve_object(entity)

    def default_mappings(self, crm_object: str) -> tuple[FieldMapping, ...]:
        """See `crm.adapters.contract.CrmAdapter`."""
        return defaults.default_mappings(crm_object)

    def default_match_field(self, crm_object: str) -> str | None:
        """See `crm.adapters.contract.CrmAdapter`."""
        return defaults.facts_of(crm_object).match_field

    def record_url_template(self, tokens: OAuthTokens, crm_object: str) -> str | None:
        """`https://app.hubspot.com/contacts/{account}/record/{type}/{crm_id}`, on the account's own data centre."""
        type_id = defaults.facts_of(crm_object).type_id
        if not tokens.account_id or not type_id:
            return None
        host = str(tokens.extra.get("ui_domain") or "")
        is_vendors = host.endswith(".hubspot.com") and host.replace(".", "").replace("-", "").isalnum()
        pages = f"https://{host}" if is_vendors and not self._is_sandbox else self._pages
        return f"{pages}/contacts/{tokens.account_id}/record/{type_id}/{{crm_id}}"

    def _calls(self, tokens: OAuthTokens, scope: CallScope) -> Calls:
        return Calls(self._http, self._api, self._version, tokens, scope)
