"""The benches of Salesforce and HubSpot: the sandbox, its switches as faults."""

import typing
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

from sandbox.config import Crm
from sandbox.person import Person
from sandbox.remote import RemoteSandbox
from sandbox.server import SandboxServer
from sandbox.switches import CrmSwitches, HubspotSwitches, SalesforceSwitches
from services.adapter_bench import AdapterBench, SeenCall

Faults = dict[str, dict[str, Any]]

#: Switches of OAuth and of connecting: they have tests of their own (`test_*_oauth.py`) and spoil no data call.
OAUTH_SWITCHES: Final = frozenset(
    {
        "access_token_life_s",
        "code_life_s",
        "pkce_required",
        "refresh_rotation",
        "reuse_detection",
        "token_fault",
        "token_fault_next",
        "max_approvals",
        "instance_url_override",
        "oauth_v1_gone",
        "token_reply_extras",
    }
)
#: Switches whose meaning needs another switch, or whose values do not follow from their type.
_PLANS: Final[Mapping[str, list[dict[str, Any]]]] = {
    "latency_ms": [{"latency_ms": 20}],
    "slow_reply_next": [{"slow_reply_next": 1, "slow_reply_ms": 100}, {"slow_reply_next": 1, "slow_reply_ms": 9000}],
    "slow_reply_ms": [{"slow_reply_next": -1, "slow_reply_ms": 50}],
    "retry_after_s": [{"retry_after_s": 7, "html_503_next": 1}],
    "random_fault_percent": [{"random_fault_percent": 40}],
    "random_faults": [{"random_faults": ["lose_reply_next"], "random_fault_percent": 60}],
    "daily_quota": [{"daily_quota": count} for count in (0, 1, 2)],
    "concurrent_limit": [{"concurrent_limit": 1}],
    "row_lock_every": [{"row_lock_every": 3}],
    "over_limit_code": [{"over_limit_code": "OTHER_CODE"}],
    "duplicate_id_code": [{"duplicate_id_code": "OTHER_CODE"}],
    "query_batch_size": [{"query_batch_size": 2}],
    "next_records_url_prefix": [{"next_records_url_prefix": "https://elsewhere.example", "query_batch_size": 2}],
    "ten_secondly_limit": [{"ten_secondly_limit": count} for count in (1, 2)],
    "search_per_second_limit": [{"search_per_second_limit": 1}],
    "rate_limit_policy": [
        {"rate_limit_policy": name, "rate_limited_next": 1} for name in ("TEN_SECONDLY_ROLLING", "DAILY", "SECONDLY")
    ],
    "rate_limit_body": [{"rate_limit_body": "category", "rate_limited_next": 1}],
    "search_delay_ms": [{"search_delay_ms": 400}],
    "search_most_groups": [{"search_most_groups": 1}],
    "search_most_filters": [{"search_most_filters": 1}],
    "search_most_group_filters": [{"search_most_group_filters": 1}],
    "search_max_body_chars": [{"search_max_body_chars": 200}],
    "silent_drop_every": [{"silent_drop_every": 3}],
    "api_versions": [{"api_versions": ["v3"]}],
    "admin_required_properties": [{"admin_required_properties": ["jobtitle"]}],
    "admin_rule_error": [{"admin_required_properties": ["jobtitle"], "admin_rule_error": "MISSING_PROPERTY"}],
    "trace_partial_status": [{"trace_partial_status": 200}],
}
_HUBSPOT_WRITES: Final = ("/batch/create", "/batch/update", "/batch/upsert", "/batch/archive")


def faults_of(switches: type[CrmSwitches]) -> Faults:
    """Every data switch at every setting that spoils something, by name.

    Raises:
        LookupError: A switch is new: say in `_PLANS` how it spoils, or in `OAUTH_SWITCHES` that it does not.
    """
    found: list[dict[str, Any]] = []
    for name, about in switches.model_fields.items():
        if name not in OAUTH_SWITCHES:
            found += _PLANS.get(name) or _settings(name, about.annotation, about.default)
    return {",".join(f"{name}={value}" for name, value in values.items()): values for values in found}


def _settings(name: str, kind: Any, default: Any) -> list[dict[str, Any]]:
    if name.endswith("_next"):
        return [{name: count} for count in (1, -1)]
    if kind is bool:
        return [{name: not default}]
    if typing.get_origin(kind) is typing.Literal:
        return [{name: value} for value in typing.get_args(kind) if value != default]
    raise LookupError(f"how does the switch {name} spoil a call? See _PLANS")


class SandboxBench:
    """One of the sandbox's two CRMs."""

    def __init__(self, slug: Crm, origin: str, faults: Faults) -> None:
        self.slug: str = slug
        self.origin = origin
        self.client = (f"sandbox-{slug}-client", f"sandbox-{slug}-secret-not-real")
        self.faults: Mapping[str, Mapping[str, Any]] = faults
        self._crm: Crm = slug
        self._sandbox = RemoteSandbox(origin)
        self._configured = self._sandbox.switches()[slug]

    def reset(self) -> None:
        """No records, no grants, no faults."""
        self._sandbox.reset()

    def consent(self, authorize_url: str, account_id: str | None = None) -> str:
        """Read the consent page and allow."""
        return Person().allow(authorize_url, account_id)

    def account_ids(self) -> list[str]:
        """The orgs or portals."""
        return self._sandbox.account_ids(self._crm)

    def switch(self, **values: Any) -> None:
        """Change switches; their table stands in `sandbox.switches`."""
        self._sandbox.switch(self._crm, **values)

    def end_faults(self) -> None:
        """Every switch back to where it was at the start."""
        self._sandbox.switch(self._crm, **self._configured)

    def expire_access_tokens(self, account_id: str) -> None:
        """Every access token of the account dies."""
        self._sandbox.expire_access_tokens(self._crm, account_id)

    def revoke_grants(self, account_id: str) -> None:
        """The customer uninstalls the app."""
        self._sandbox.revoke_grants(self._crm, account_id)

    def stored(self, account_id: str, crm_object: str) -> dict[str, dict[str, Any]]:
        """Record id -> fields, of the records that are neither deleted nor archived."""
        rows = self._sandbox.records(self._crm, account_id, crm_object)
        if self.slug == "hubspot":
            return {row["id"]: row["properties"] for row in rows if not row["archived"]}
        return {row["Id"]: row for row in rows if not row.get("IsDeleted")}

    def calls(self) -> list[SeenCall]:
        """The data calls in the journal."""
        entries = [entry for entry in self._sandbox.journal() if entry["crm"] == self.slug]
        data = [entry for entry in entries if "oauth" not in entry["path"] and "/id/" not in entry["path"]]
        return [SeenCall(entry["path"], entry["status"], entry["records"], _is_write(entry)) for entry in data]


def _is_write(entry: Mapping[str, Any]) -> bool:
    if entry["crm"] == "hubspot":
        return str(entry["path"]).endswith(_HUBSPOT_WRITES)
    is_read = entry["method"] == "POST" and "/composite/sobjects/" in entry["path"]  # retrieve by a list of ids
    return entry["method"] in {"POST", "PATCH", "DELETE"} and not is_read


@contextmanager
def salesforce_bench() -> Iterator[AdapterBench]:
    """A sandbox for Salesforce."""
    with SandboxServer() as server:
        yield SandboxBench("salesforce", server.origin, faults_of(SalesforceSwitches))


@contextmanager
def hubspot_bench() -> Iterator[AdapterBench]:
    """A sandbox for HubSpot."""
    with SandboxServer() as server:
        yield SandboxBench("hubspot", server.origin, faults_of(HubspotSwitches))
