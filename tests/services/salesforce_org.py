"""A Salesforce org of the sandbox with an adapter that is connected to it, for the tests of the adapter."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from pydantic import SecretStr

from crm.adapters.salesforce import SalesforceAdapter
from crm.http import AllowedHosts, HttpClient
from crm.mapping import mappings_for
from crm.model import CrmRecord, FieldMapping, OAuthTokens, PushOptions, RecordOutcome, SyncResult
from crm.settings import OAuthClient
from sandbox.remote import RemoteSandbox

CLIENT = OAuthClient(
    client_id="sandbox-salesforce-client", client_secret=SecretStr("sandbox-salesforce-secret-not-real")
)
REDIRECT_URI = "http://127.0.0.1:8000/api/v1/integrations/callback/salesforce"
API_VERSION = "v67.0"


@dataclass
class ConnectedOrg:
    """One org: its sandbox, its adapter, its tokens."""

    sandbox: RemoteSandbox
    adapter: SalesforceAdapter
    tokens: OAuthTokens

    @property
    def account_id(self) -> str:
        """The org's id."""
        return str(self.tokens.account_id)

    def push(
        self,
        crm_object: str,
        records: Sequence[CrmRecord],
        *,
        options: PushOptions | None = None,
        extra: tuple[FieldMapping, ...] = (),
    ) -> SyncResult:
        """Push with the default mappings and `extra` ones."""
        mappings = mappings_for(self.adapter.default_mappings(crm_object), extra)
        return self.adapter.push_records(self.tokens, records, mappings, options=options or PushOptions(crm_object))

    def push_one(self, crm_object: str, record: CrmRecord, **options: Any) -> RecordOutcome:
        """Push one record; its outcome."""
        (outcome,) = self.push(crm_object, [record], options=PushOptions(crm_object, **options)).outcomes
        return outcome

    def switch(self, **switches: Any) -> None:
        """Change switches of the simulated Salesforce."""
        self.sandbox.switch("salesforce", **switches)

    def stored(self, crm_object: str) -> list[dict[str, Any]]:
        """Every stored record that is not deleted, in the order of creation."""
        records = self.sandbox.records("salesforce", self.account_id, crm_object)
        return [record for record in records if not record["IsDeleted"]]

    def store(self, crm_object: str, *records: dict[str, Any]) -> list[str]:
        """Store records as a person in Salesforce would; their ids."""
        return self.sandbox.store("salesforce", self.account_id, crm_object, list(records))

    def calls(self) -> list[str]:
        """Method and path of every data call since the last reset."""
        entries = [entry for entry in self.sandbox.journal() if "/services/data/" in entry["path"]]
        return [f"{entry['method']} {entry['path'].split(API_VERSION)[1]}" for entry in entries]


@contextmanager
def connected_org(origin: str, *, timeout_s: float = 5.0) -> Iterator[ConnectedOrg]:
    """A fresh sandbox with an adapter on its first org."""
    sandbox = RemoteSandbox(origin)
    sandbox.reset()
    account_id = sandbox.account_ids("salesforce")[0]
    grant = sandbox.tokens("salesforce", account_id)
    http = HttpClient(
        timeout_s=timeout_s, connect_timeout_s=2.0, allowed_hosts=AllowedHosts(("salesforce.com",), origin)
    )
    adapter = SalesforceAdapter(http, CLIENT, api_version=API_VERSION, sandbox_origin=origin)
    tokens = OAuthTokens(
        access_token=grant["access_token"],
        refresh_token=grant["refresh_token"],
        account_id=account_id,
        instance_url=grant["instance_url"],
        extra={"session_life_s": 7200},
    )
    try:
        yield ConnectedOrg(sandbox, adapter, tokens)
    finally:
        sandbox._session.close()


def with_token(org: ConnectedOrg, access_token: str) -> ConnectedOrg:
    """The same org, called with another access token."""
    return replace(org, tokens=replace(org.tokens, access_token=access_token))
