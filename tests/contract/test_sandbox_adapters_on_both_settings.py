"""Our adapters under both settings of every uncertain fact: whichever a vendor turns out to do, the promises hold.

The promises: one outcome for each record, what the outcomes claim is what the CRM holds, a second push makes no copies.
"""

import base64
import hashlib
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from crm.adapters.hubspot import HubSpotAdapter
from crm.adapters.salesforce import SalesforceAdapter
from crm.errors import CrmError, PermissionDenied
from crm.model import CallScope, CrmRecord, FieldMapping, RecordOutcome
from sandbox.person import Person
from sandbox.server import SandboxServer
from services.hubspot_portal import CLIENT as HUBSPOT_CLIENT
from services.hubspot_portal import REDIRECT_URI, ConnectedPortal, connected_portal
from services.salesforce_org import CLIENT as SALESFORCE_CLIENT
from services.salesforce_org import ConnectedOrg, connected_org

LANDED = {"created", "updated", "unchanged"}
VERIFIER = "a-code-verifier-of-more-than-forty-three-characters"
CHALLENGE = base64.urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest()).decode().rstrip("=")


@pytest.fixture(scope="module")
def server() -> Iterator[SandboxServer]:
    with SandboxServer() as running:
        yield running


@pytest.fixture
def portal(server: SandboxServer) -> Iterator[ConnectedPortal]:
    with connected_portal(server.origin) as connected:
        yield connected


@pytest.fixture
def org(server: SandboxServer) -> Iterator[ConnectedOrg]:
    with connected_org(server.origin) as connected:
        yield connected


def people(count: int, title: str = "CTO") -> list[CrmRecord]:
    return [
        CrmRecord(
            {"email": f"p{at}@acme.io", "last_name": f"N{at}", "job_title": title, "company_name": "Acme"}, index=at
        )
        for at in range(count)
    ]


def actions(outcomes: tuple[RecordOutcome, ...]) -> list[str]:
    return [outcome.action for outcome in sorted(outcomes, key=lambda outcome: outcome.index)]


@pytest.mark.parametrize(
    "setting",
    [
        {"unknown_field": "call"},
        {"unknown_field": "record"},
        {"collections_email_upsert": False},
        {"collections_email_upsert": True},
        {"newest_version": 67},
        {"newest_version": 68},
        {"over_limit_code": "EXCEEDED_ID_LIMIT"},
        {"over_limit_code": "LIMIT_EXCEEDED"},
        {"duplicate_id_code": "DUPLICATE_VALUE"},
        {"duplicate_id_code": "INVALID_ID_FIELD"},
    ],
    ids=str,
)
def test_salesforce_keeps_its_promises(org: ConnectedOrg, setting: dict[str, Any]) -> None:
    """200 leads, one of them with a key twice and one that the org refuses, then all again."""
    # Given the setting, a rule of the org, and records of which one breaks it and two are one person
    org.switch(validation_rule=True, **setting)
    records = people(200)
    records[7] = CrmRecord({**records[7].fields, "description": "forbidden"}, index=7)
    records[9] = CrmRecord({**records[8].fields, "job_title": "CEO"}, index=9)
    more = (FieldMapping("description", "Description"),)

    # When they are pushed twice
    first = org.push("Lead", records, extra=more).outcomes
    second = org.push("Lead", records, extra=more).outcomes

    # Then 198 leads exist, once each, and the outcomes say so
    assert [outcome.index for outcome in first] == list(range(200))
    assert [outcome.index for outcome in first if outcome.action not in LANDED] == [7]
    assert [outcome.index for outcome in second if outcome.action not in LANDED] == [7]
    stored = {record["Id"]: record for record in org.stored("Lead")}
    assert set(stored) == {outcome.crm_id for outcome in first if outcome.action in LANDED}
    assert len(stored) == 198


@pytest.mark.parametrize(("newest", "works"), [(68, True), (67, False)])
def test_a_salesforce_version_that_is_not_there_is_an_error_not_a_loss(
    org: ConnectedOrg, server: SandboxServer, *, newest: int, works: bool
) -> None:
    """Pinned to v68.0 on an org that serves v67.0 at most: nothing is claimed to have landed."""
    # Given an adapter of the newest version
    org.switch(newest_version=newest)
    adapter = SalesforceAdapter(org.adapter._http, SALESFORCE_CLIENT, api_version="v68.0", sandbox_origin=server.origin)
    org.adapter = adapter

    # When a lead is pushed
    try:
        landed = actions(org.push("Lead", people(1)).outcomes) == ["created"]
    except CrmError:
        landed = False

    # Then the outcome is the truth
    assert (landed, len(org.stored("Lead"))) == (works, int(works))


HUBSPOT_SETTINGS: tuple[dict[str, Any], ...] = (
    {"trace_partial_status": 207},
    {"trace_partial_status": 200},
    {"trace_partial_update": True},
    {"trace_partial_update": False},
    {"email_partial_upsert": True},
    {"email_partial_upsert": False},
    {"email_upsert_needs_email": False},
    {"email_upsert_needs_email": True},
    {"non_text_values": "refuse"},
    {"non_text_values": "take"},
    {"admin_rule_error": "REQUIRED_FIELD"},
    {"admin_rule_error": "CONDITIONALLY_REQUIRED"},
    {"missing_update_ids": "error"},
    {"missing_update_ids": "silent"},
    {"search_max_body_chars": 0},
    {"search_max_body_chars": 3000},
    {"search_most_groups": 10, "search_most_filters": 25},
)
COMPANY_SWITCHES = {"search_max_body_chars", "search_most_groups", "missing_update_ids", "trace_partial_update"}


@pytest.mark.parametrize("setting", HUBSPOT_SETTINGS, ids=str)
def test_hubspot_contacts_keep_their_promises(portal: ConnectedPortal, setting: dict[str, Any]) -> None:
    """150 contacts, one of them refused by the account's rule, then all again with another title."""
    # Given the setting, a rule of the account, and records of which one breaks it
    portal.switch(admin_required_properties=["company"], **setting)
    records = people(150)
    records[60] = CrmRecord({"email": "p60@acme.io", "last_name": "N60"}, index=60)

    # When they are pushed twice
    first = portal.push("contacts", records).outcomes
    second = portal.push(
        "contacts", [CrmRecord({**one.fields, "job_title": "CEO"}, index=one.index) for one in records]
    )

    # Then 149 contacts exist, once each, with the later title
    assert [outcome.index for outcome in first if outcome.action not in LANDED] == [60]
    assert [outcome.index for outcome in second.outcomes if outcome.action not in LANDED] == [60]
    stored = {record["id"]: record["properties"] for record in portal.stored("contacts")}
    assert set(stored) == {outcome.crm_id for outcome in first if outcome.action in LANDED}
    assert {properties["jobtitle"] for properties in stored.values()} == {"CEO"}
    assert len(stored) == 149


@pytest.mark.parametrize("setting", [one for one in HUBSPOT_SETTINGS if COMPANY_SWITCHES & set(one)], ids=str)
def test_hubspot_companies_keep_their_promises(portal: ConnectedPortal, setting: dict[str, Any]) -> None:
    """200 companies by domain, which means searches with long lists: once created, once updated, no copies."""
    # Given the setting
    portal.switch(search_per_second_limit=0, **setting)
    companies = [
        CrmRecord({"company_name": f"Company {at}", "company_domain": f"company-{at}.example"}, index=at)
        for at in range(200)
    ]

    # When they are pushed twice
    first = portal.push("companies", companies).outcomes
    second = portal.push("companies", companies).outcomes

    # Then each exists once
    assert actions(first) == ["created"] * 200
    assert set(actions(second)) <= {"updated", "unchanged"}
    assert {record["id"] for record in portal.stored("companies")} == {outcome.crm_id for outcome in first}
    assert len(portal.stored("companies")) == 200


@pytest.mark.parametrize(("pinned", "served"), [("2026-09", ["2026-09"]), ("2026-03", ["v3", "2026-03"])])
def test_hubspot_works_on_the_version_that_is_pinned(
    portal: ConnectedPortal, server: SandboxServer, pinned: str, served: list[str]
) -> None:
    """One constant moves data calls and tokens alike; nothing of the adapter needs another version."""
    # Given an adapter of one version, and a HubSpot that serves no other
    portal.switch(api_versions=served, oauth_v1_gone=True)
    portal.adapter = HubSpotAdapter(portal.http, HUBSPOT_CLIENT, api_version=pinned, sandbox_origin=server.origin)

    # When tokens are refreshed, and contacts pushed and pulled
    portal.tokens = portal.adapter.refresh_token(str(portal.tokens.refresh_token), tokens=portal.tokens)
    pushed = portal.push("contacts", people(3)).outcomes
    pulled = portal.pull("contacts", 10)

    # Then all of it works
    assert actions(pushed) == ["created"] * 3
    assert len(pulled.records) == 3


@pytest.mark.parametrize("extras", [True, False])
@pytest.mark.parametrize("is_pkce", [True, False])
@pytest.mark.parametrize("rotates", [True, False])
def test_hubspot_connects_whatever_its_token_reply_holds(
    portal: ConnectedPortal, *, extras: bool, is_pkce: bool, rotates: bool
) -> None:
    """The account is known and both tokens work, with optional members or without, with PKCE or without."""
    # Given the settings
    portal.switch(token_reply_extras=extras, pkce_required=is_pkce, refresh_rotation=rotates)

    # When a person connects and the tokens are refreshed
    url = portal.adapter.get_auth_url("s", REDIRECT_URI, code_challenge=CHALLENGE if is_pkce else None)
    code = parse_qs(urlsplit(Person().allow(url)).query)["code"][0]
    tokens = portal.adapter.exchange_code(code, REDIRECT_URI, code_verifier=VERIFIER if is_pkce else None)
    refreshed = portal.adapter.refresh_token(str(tokens.refresh_token), tokens=tokens)

    # Then the account is the one chosen
    assert (tokens.account_id, refreshed.account_id) == (portal.tokens.account_id, portal.tokens.account_id)
    assert (refreshed.refresh_token != tokens.refresh_token) == rotates
    assert portal.adapter.describe_fields(refreshed, "contacts", scope=CallScope())


@pytest.mark.parametrize("place", ["context", "errors"])
def test_a_missing_scope_is_a_permission_problem_wherever_it_is_named(portal: ConnectedPortal, place: str) -> None:
    """The customer is asked to consent again, never the records blamed."""
    # Given the setting and tokens that may not write contacts
    portal.switch(missing_scopes_in=place)
    narrow = portal.tokens_with("oauth", "crm.objects.contacts.read")

    # When contacts are pushed
    # Then it is the permission that is told
    with pytest.raises(PermissionDenied, match="required scopes"):
        portal.push("contacts", people(2), tokens=narrow)
    assert portal.stored("contacts") == []
