"""One CRM of the registry, connected the way a person does it, with the verbs of its adapter at hand."""

import base64
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

from crm.adapters.contract import CrmAdapter
from crm.model import CallScope, CrmRecord, OAuthTokens, PulledPage, PullOptions, PushOptions, SyncResult
from crm.registry import build_registry
from crm.settings import Settings
from services.adapter_bench import AdapterBench

VERIFIER: Final = "a-code-verifier-of-more-than-forty-three-characters"
CHALLENGE: Final = base64.urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest()).decode().rstrip("=")
TIMEOUT_S: Final = 1.0


@dataclass
class Connected:
    """An adapter, its CRM's bench and the tokens of a consent."""

    bench: AdapterBench
    adapter: CrmAdapter
    redirect_uri: str
    tokens: OAuthTokens

    @property
    def slug(self) -> str:
        """The CRM's slug."""
        return self.bench.slug

    @property
    def person(self) -> str:
        """The CRM object of people."""
        return self.adapter.resolve_object("person", {})

    @property
    def company(self) -> str:
        """The CRM object of companies."""
        return self.adapter.resolve_object("company", {})

    def code(self, account_id: str | None = None) -> str:
        """The code of a new consent."""
        location = self.bench.consent(self.auth_url("s"), account_id)
        return parse_qs(urlsplit(location).query)["code"][0]

    def auth_url(self, state: str) -> str:
        """An authorization request with everything the CRM wants."""
        challenge = CHALLENGE if self.adapter.capabilities.pkce else None
        return self.adapter.get_auth_url(state, self.redirect_uri, code_challenge=challenge)

    def exchange(self, code: str) -> OAuthTokens:
        """Tokens for a code."""
        verifier = VERIFIER if self.adapter.capabilities.pkce else None
        return self.adapter.exchange_code(code, self.redirect_uri, code_verifier=verifier)

    def push(self, records: Sequence[CrmRecord], crm_object: str | None = None, **options: Any) -> SyncResult:
        """Push with the default mappings."""
        name = crm_object or self.person
        mappings = self.adapter.default_mappings(name)
        return self.adapter.push_records(self.tokens, records, mappings, options=PushOptions(name, **options))

    def pull(self, limit: int = 200, crm_object: str | None = None, **options: Any) -> PulledPage:
        """Pull with the default mappings."""
        name = crm_object or self.person
        mappings = self.adapter.default_mappings(name)
        return self.adapter.pull_records(self.tokens, name, mappings, limit, options=PullOptions(**options))

    def crm_field(self, crm_object: str, morket_field: str) -> str:
        """The CRM's name of a field that has a default mapping."""
        mappings = self.adapter.default_mappings(crm_object)
        return next(one.crm_field for one in mappings if one.morket_field == morket_field)

    def held(self, crm_id: str, crm_object: str, *morket_fields: str) -> list[object]:
        """What the CRM holds in the fields that Morket's are mapped to."""
        wanted = [self.crm_field(crm_object, field) for field in morket_fields]
        rows = self.adapter.read_records(self.tokens, crm_object, [crm_id], wanted, scope=CallScope())
        return [rows[crm_id].get(name) for name in wanted]

    def stored(self, crm_object: str) -> dict[str, dict[str, Any]]:
        """Record id -> the CRM's fields, as the CRM itself has them."""
        return self.bench.stored(str(self.tokens.account_id), crm_object)

    def secrets(self) -> list[str]:
        """What must never be seen in a text."""
        return [self.tokens.access_token, str(self.tokens.refresh_token), self.bench.client[1]]


def connect(bench: AdapterBench) -> Connected:
    """Reset the CRM and connect to its first account. The environment must name the client: see `client_settings`."""
    bench.reset()
    adapter = build_registry(settings_for(bench.origin)).get(bench.slug)
    redirect_uri = f"http://127.0.0.1:8000/api/v1/integrations/callback/{bench.slug}"
    connected = Connected(bench, adapter, redirect_uri, OAuthTokens("none yet"))
    connected.tokens = connected.exchange(connected.code())
    return connected


def client_settings(bench: AdapterBench) -> dict[str, str]:
    """The environment variables of the bench's OAuth client."""
    prefix = bench.slug.upper().replace("-", "_")
    return {f"{prefix}_CLIENT_ID": bench.client[0], f"{prefix}_CLIENT_SECRET": bench.client[1]}


def settings_for(origin: str) -> Settings:
    """Settings whose CRM calls go to a stand-in."""
    return Settings.model_validate(
        {
            "DATABASE_URL": "postgresql://nobody@127.0.0.1/none",
            "CRM_SYNC_MASTER_KEYS": "k1:none",
            "INTEGRATION_OAUTH_REDIRECT_BASE": "http://127.0.0.1:8000/api/v1/integrations/callback",
            "CRM_SANDBOX_ORIGIN": origin,
            "CRM_SYNC_CALL_TIMEOUT_S": TIMEOUT_S,
        }
    )


def person(index: int = 0, **fields: Any) -> CrmRecord:
    """A person with what every CRM needs; a field of None is left out."""
    given = {"email": f"p{index}@acme.io", "last_name": f"N{index}", "company_name": "Acme", **fields}
    return CrmRecord({name: value for name, value in given.items() if value is not None}, index=index, ref=f"r{index}")


def company(index: int = 0, **fields: Any) -> CrmRecord:
    """A company with what every CRM needs; a field of None is left out."""
    given = {"company_domain": f"acme{index}.io", "company_name": f"A{index}", **fields}
    return CrmRecord({name: value for name, value in given.items() if value is not None}, index=index, ref=f"c{index}")
