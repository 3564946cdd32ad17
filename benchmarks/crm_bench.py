"""A sandbox in a process of its own, and both adapters on it, for the measurements."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

from crm.adapters.contract import CrmAdapter
from crm.model import CallScope, CrmRecord, FieldMapping, OAuthTokens
from crm.registry import build_registry
from crm.settings import Settings
from sandbox.remote import RemoteSandbox

Slug = Literal["salesforce", "hubspot"]
SLUGS: tuple[Slug, ...] = ("salesforce", "hubspot")


@dataclass(frozen=True)
class Bench:
    """One adapter, connected to the sandbox; `switch` changes the CRM's switches."""

    slug: Slug
    adapter: CrmAdapter
    tokens: OAuthTokens
    sandbox: RemoteSandbox
    crm_object: str
    mappings: tuple[FieldMapping, ...]

    def switch(self, **values: Any) -> None:
        """Change switches of this CRM."""
        self.sandbox.switch(self.slug, **values)


@contextmanager
def running_sandbox() -> Iterator[str]:
    """Run `python -m sandbox`; yield its origin."""
    command = [sys.executable, "-m", "sandbox", "--seed", "1"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        if process.stdout is None:
            raise RuntimeError("the sandbox has no output")
        try:
            yield process.stdout.readline().strip()
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(10)


def connected(slug: Slug, origin: str) -> Bench:
    """An adapter with tokens of the CRM's first account, after a reset; no limit of the CRM is in the way."""
    prefix = slug.upper()
    os.environ |= {f"{prefix}_CLIENT_ID": f"sandbox-{slug}-client", f"{prefix}_CLIENT_SECRET": "not-used"}
    sandbox = RemoteSandbox(origin)
    sandbox.reset()
    if slug == "hubspot":
        sandbox.switch(slug, ten_secondly_limit=0, search_per_second_limit=0, search_delay_ms=0)
    account = sandbox.account_ids(slug)[0]
    grant = sandbox.tokens(slug, account)
    tokens = OAuthTokens(grant["access_token"], account_id=account, instance_url=grant.get("instance_url"))
    adapter = build_registry(_settings(origin)).get(slug)
    crm_object = adapter.resolve_object("person", {})
    mappings = _all_mapped(adapter, tokens, crm_object)
    return Bench(slug, adapter, tokens, sandbox, crm_object, mappings)


def _all_mapped(adapter: CrmAdapter, tokens: OAuthTokens, crm_object: str) -> tuple[FieldMapping, ...]:
    """The defaults, and a text field of the CRM for each field of our records that has none."""
    defaults = adapter.default_mappings(crm_object)
    key = (FieldMapping("morket_id", "Morket_Id__c"),) if adapter.slug == "salesforce" else ()
    known = {one.morket_field for one in (*defaults, *key)}
    taken = {one.crm_field for one in (*defaults, *key)}
    described = adapter.describe_fields(tokens, crm_object, scope=CallScope())
    free = (
        one.name
        for one in described
        if one.kind in {"string", "textarea", "url"} and one.updateable and not one.unique and one.name not in taken
    )
    more = [FieldMapping(name, crm_field) for name, crm_field in zip(_person(0).keys() - known, free, strict=False)]
    return (*defaults, *key, *more)


def people(count: int) -> list[CrmRecord]:
    """Records of 20 fields with texts of ordinary length."""
    return [CrmRecord(_person(index), index=index, ref=f"ctc_{index}") for index in range(count)]


def _person(index: int) -> dict[str, Any]:
    return {
        "morket_id": f"m-{index}",
        "email": f"person.{index}@company-{index}.example",
        "first_name": "Ada",
        "last_name": f"Lovelace {index}",
        "job_title": "Senior Director of Engineering",
        "phone": f"+49 30 {1_000_000 + index}",
        "mobile_phone": f"+49 170 {1_000_000 + index}",
        "company_name": f"Analytical Engines {index} GmbH",
        "website": f"https://www.company-{index}.example/about",
        "annual_revenue": 1_500_000 + index,
        "street": "Unter den Linden 77",
        "city": "Berlin",
        "state": "Berlin",
        "postal_code": "10117",
        "country": "Germany",
        "description": "Enriched from public sources; works on programmes for engines that compute.",
        "lead_source": "Web",
        "linkedin_url": f"https://www.linkedin.com/in/ada-lovelace-{index}",
        "employee_count": 250 + index,
        "company_domain": f"company-{index}.example",
    }


def _settings(origin: str) -> Settings:
    return Settings.model_validate(
        {
            "DATABASE_URL": "postgresql://nobody@127.0.0.1/none",
            "CRM_SYNC_MASTER_KEYS": "k1:none",
            "INTEGRATION_OAUTH_REDIRECT_BASE": "http://127.0.0.1:8000/callback",
            "CRM_SANDBOX_ORIGIN": origin,
        }
    )
