"""Which HubSpot record a record of ours stands for: by id, by link, by unique property, by search."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import requests

from crm.adapters.hubspot import HubSpotAdapter
from crm.errors import RateLimited
from crm.model import CallScope, CrmRecord, FieldMapping, PushOptions
from sandbox.server import SandboxServer
from services.hubspot_portal import API_VERSION, ConnectedPortal, connected_portal


@pytest.fixture(scope="module")
def server() -> Iterator[SandboxServer]:
    with SandboxServer() as running:
        yield running


@pytest.fixture
def portal(server: SandboxServer) -> Iterator[ConnectedPortal]:
    with connected_portal(server.origin) as connected:
        yield connected


def companies(*domains: str, **fields: Any) -> list[CrmRecord]:
    return [CrmRecord({"company_domain": name, **fields}, index=index) for index, name in enumerate(domains)]


def test_companies_match_by_normalised_domain(portal: ConnectedPortal) -> None:
    """URLs, `www.` and case do not make another company; equal values are `unchanged` and cost no write."""
    # Given a company whose domain was imported with www
    portal.store("companies", {"domain": "www.Acme.io", "name": "Acme"}, {"domain": "globex.com", "name": "Globex"})

    # When both are pushed in other spellings, and a third as a website alone
    records = companies("HTTPS://Acme.io/about", company_name="Acme Inc", employee_count=50)
    records.append(CrmRecord({"company_domain": "www.globex.com.", "company_name": "Globex"}, index=1))
    records.append(CrmRecord({"website": "https://www.initech.example/x", "company_name": "Initech"}, index=2))
    result = portal.push("companies", records)

    # Then the first is updated, the second unchanged, the third created with its domain
    assert [outcome.action for outcome in result.outcomes] == ["updated", "unchanged", "created"]
    assert [outcome.match_value for outcome in result.outcomes] == ["acme.io", "globex.com", "initech.example"]
    rows = {row["properties"]["name"]: row["properties"] for row in portal.stored("companies")}
    assert rows["Acme Inc"]["numberofemployees"] == "50"
    assert rows["Initech"]["domain"] == "initech.example"
    assert len(rows) == 3


@pytest.mark.parametrize("match_on", [None, "website"])
def test_a_website_alone_finds_its_company_again(portal: ConnectedPortal, match_on: str | None) -> None:
    """A company that comes with a website alone is made with its domain, even where the website maps elsewhere."""
    # Given a workspace that keeps websites in a property of its own
    extra = (FieldMapping("website", "twitterhandle"),)
    records = [CrmRecord({"website": "https://www.acme.io/en", "company_name": "Acme"})]
    options = PushOptions("companies", match_on=match_on)

    # When such a company is pushed twice
    first = portal.push("companies", records, extra=extra, options=options).outcomes[0]
    second = portal.push("companies", records, extra=extra, options=options).outcomes[0]

    # Then the second push finds the first one's
    assert (first.action, second.action) == ("created", "unchanged")
    assert portal.stored("companies")[0]["properties"]["domain"] == "acme.io"


def test_pushing_companies_again_creates_nothing(portal: ConnectedPortal) -> None:
    """The second push of the same 200 companies finds all of them, over several searches, and writes none."""
    # Given 200 pushed companies with long domains
    domains = [f"subsidiary-{index:03}.of-a-rather-long-company-name.example" for index in range(200)]
    portal.push("companies", companies(*domains, company_name="Same"))

    # When they are pushed again
    again = portal.push("companies", companies(*domains, company_name="Same"))

    # Then all are unchanged
    assert {outcome.action for outcome in again.outcomes} == {"unchanged"}
    assert len(portal.stored("companies")) == 200


def test_links_bridge_the_search_lag(portal: ConnectedPortal) -> None:
    """A company that search does not show yet is found by its link; a link to a gone record is not believed."""
    # Given a fresh company and an account whose search lags
    created = portal.push("companies", companies("acme.io", company_name="Acme")).outcomes[0]
    portal.switch(search_delay_ms=60_000)

    # When it is pushed again with its link, and another company with a link to nothing
    options = PushOptions("companies", links={"acme.io": str(created.crm_id), "globex.com": "404404404"})
    records = companies("acme.io", "globex.com", company_name="Renamed")
    result = portal.push("companies", records, options=options)

    # Then nothing is doubled
    assert [outcome.action for outcome in result.outcomes] == ["updated", "created"]
    assert result.outcomes[0].crm_id == created.crm_id
    assert len(portal.stored("companies")) == 2


def test_several_matches_name_the_records(portal: ConnectedPortal) -> None:
    """A domain that two companies have is `several_matches`; its message names both, and neither is written."""
    # Given two companies with one domain
    ids = portal.store("companies", {"domain": "acme.io", "name": "A"}, {"domain": "acme.io", "name": "B"})

    # When the domain is pushed
    outcome = portal.push("companies", companies("acme.io", company_name="C")).outcomes[0]

    # Then it failed with both ids
    assert outcome.errors[0].code == "several_matches"
    assert all(crm_id in outcome.errors[0].message for crm_id in ids)


@pytest.mark.parametrize("crm_object", ["contacts", "companies"])
def test_create_and_update_modes(portal: ConnectedPortal, crm_object: str) -> None:
    """`create` skips what exists, `update` fails what does not; each does the rest."""
    # Given one record that exists and one that does not
    key, known, unknown = ("email", "a@acme.io", "b@acme.io")
    if crm_object == "companies":
        key, known, unknown = ("company_domain", "acme.io", "globex.com")
    portal.push(crm_object, [CrmRecord({key: known})])
    both = [CrmRecord({key: known, "city": "Riga"}, index=0), CrmRecord({key: unknown, "city": "Riga"}, index=1)]

    # When both are pushed in each mode
    updated = portal.push(crm_object, both, options=PushOptions(crm_object, mode="update")).outcomes
    created = portal.push(crm_object, both, options=PushOptions(crm_object, mode="create")).outcomes

    # Then the modes keep to their word
    assert [outcome.action for outcome in updated] == ["updated", "failed"]
    assert updated[1].errors[0].code == "not_found"
    assert [outcome.action for outcome in created] == ["skipped", "created"]
    assert (created[0].warnings[0].code, created[0].crm_id) == ("already_exists", updated[0].crm_id)


def test_a_known_id_comes_before_any_match(portal: ConnectedPortal) -> None:
    """A record with `crm_id` is updated by it, its e-mail included; an id that is gone fails."""
    # Given a contact
    (crm_id,) = portal.store("contacts", {"email": "old@acme.io"})

    # When it gets another address by its id, beside an id that never was
    records = [
        CrmRecord({"email": "new@acme.io"}, crm_id=crm_id),
        CrmRecord({"email": "x@acme.io"}, index=1, crm_id="1"),
    ]
    first, second = portal.push("contacts", records).outcomes

    # Then the contact has it, and the other record is gone
    assert (first.action, first.crm_id) == ("updated", crm_id)
    assert portal.stored("contacts")[0]["properties"]["email"] == "new@acme.io"
    assert second.errors[0].code == "record_gone"


def test_the_later_of_two_ways_to_one_record_wins(portal: ConnectedPortal) -> None:
    """A record found by its domain and one named by id may be the same company: the later one's values stay."""
    # Given a company
    (crm_id,) = portal.store("companies", {"domain": "acme.io", "name": "Acme"})

    # When it is pushed by domain, then by id
    by_domain = CrmRecord({"company_domain": "acme.io", "city": "Riga", "phone": "1"}, index=0)
    by_id = CrmRecord({"city": "Lima"}, crm_id=crm_id, index=1)
    result = portal.push("companies", [by_domain, by_id])

    # Then both are written, in their order
    properties = portal.stored("companies")[0]["properties"]
    assert [outcome.action for outcome in result.outcomes] == ["updated", "updated"]
    assert (properties["city"], properties["phone"]) == ("Lima", "1")


def test_ids_that_vanish_silently_are_failures_too(portal: ConnectedPortal) -> None:
    """A batch update that leaves an unknown id out of both lists has failed it."""
    # Given an account that says nothing about unknown ids
    portal.switch(missing_update_ids="silent")

    # When one is updated
    outcome = portal.push("contacts", [CrmRecord({"city": "Riga"}, crm_id="1")]).outcomes[0]

    # Then it failed
    assert outcome.errors[0].code == "no_answer_for_record"


def test_a_conflict_with_another_record_names_it(portal: ConnectedPortal) -> None:
    """An update that would take another contact's address is `duplicate_detected`, and the text names that contact."""
    # Given two contacts
    first, second = portal.store("contacts", {"email": "a@acme.io"}, {"email": "b@acme.io"})

    # When the second is given the first's address by its id
    outcome = portal.push("contacts", [CrmRecord({"email": "a@acme.io"}, crm_id=second)]).outcomes[0]

    # Then the failure names the first
    assert (outcome.errors[0].code, outcome.errors[0].crm_code) == ("duplicate_detected", "CONFLICT")
    assert first in outcome.errors[0].message


def test_a_create_that_meets_an_existing_record_writes_to_it(portal: ConnectedPortal) -> None:
    """When search does not show a record yet, the conflict that names it turns the create into an update."""
    # Given a deal that search does not show, with a unique Morket id
    mappings = (FieldMapping("deal_id", "morket_id"), FieldMapping("deal_name", "dealname", default_value="New"))
    record = CrmRecord({"deal_id": "d-1", "deal_name": "Big"})
    options = PushOptions("deals", match_on="deal_id")
    created = portal.push("deals", [record], options=options, extra=mappings).outcomes[0]

    # When another record without match value, in mode create, carries the same unique value
    name_only = (FieldMapping("deal_name", "dealname", identifier=True), FieldMapping("deal_id", "morket_id"))
    again = CrmRecord({"deal_id": "d-1", "deal_name": "Bigger"})
    portal.switch(search_delay_ms=60_000)
    upserted = portal.push("deals", [again], extra=name_only).outcomes[0]
    skipped = portal.push("deals", [again], extra=name_only, options=PushOptions("deals", mode="create")).outcomes[0]

    # Then the existing deal was written to, and mode create left it alone
    assert created.action == "created"
    assert (upserted.action, upserted.crm_id) == ("updated", created.crm_id)
    assert (skipped.action, skipped.crm_id) == ("skipped", created.crm_id)
    assert [row["properties"]["dealname"] for row in portal.stored("deals")] == ["Bigger"]


@pytest.mark.parametrize("crm_id", ["00Q5e000001abcDEA0", "404404404"])
@pytest.mark.parametrize("fields", [{}, {"city": "Riga"}])
def test_an_id_that_hubspot_does_not_have_fails_alone(
    portal: ConnectedPortal, crm_id: str, fields: dict[str, str]
) -> None:
    """Another CRM's id, or one of a gone record, is `record_gone`, with values to write or without; the others land."""
    # Given a record with such an id and a good one
    records = [CrmRecord(fields, crm_id=crm_id), CrmRecord({"email": "a@acme.io"}, index=1)]

    # When both are pushed
    gone, good = portal.push("contacts", records).outcomes

    # Then one is gone and one is there
    assert gone.errors[0].code == "record_gone"
    assert good.action == "created"


def test_adapters_of_one_process_share_the_search_limit(portal: ConnectedPortal) -> None:
    """Two adapters push companies of one account at once: HubSpot refuses none of their searches."""
    # Given a second adapter, and an account whose first look-ups are done
    other = HubSpotAdapter(portal.http, None, api_version=API_VERSION, sandbox_origin=portal.origin)
    mappings = other.default_mappings("companies")

    def push(adapter: HubSpotAdapter, at: int) -> str:
        options = PushOptions("companies")
        record = CrmRecord({"company_domain": f"c{at}.example", "company_name": "C"})
        return adapter.push_records(portal.tokens, [record], mappings, options=options).outcomes[0].action

    # When both push seven companies from four threads
    with ThreadPoolExecutor(4) as threads:
        pushed = [threads.submit(push, (portal.adapter, other)[at % 2], at) for at in range(14)]
        actions = [one.result() for one in pushed]

    # Then every one was looked up and created, without a refusal
    assert actions == ["created"] * 14
    journal = requests.get(f"{portal.origin}/_sandbox/journal", timeout=10).json()
    assert {entry["status"] for entry in journal if entry["path"].endswith("/search")} == {200}


def test_a_limit_while_reading_the_record_in_the_way_is_no_loss(portal: ConnectedPortal) -> None:
    """After a refused create the existing record is read; a limit there leaves the record retryable."""
    # Given a deal that search does not show, and a limit that is reached when it is read
    mappings = (
        FieldMapping("deal_id", "morket_id"),
        FieldMapping("deal_name", "dealname", identifier=True),
        FieldMapping("note", "description", write_policy="fill_if_empty"),
    )
    portal.switch(search_delay_ms=60_000)
    portal.store("deals", {"dealname": "Big", "morket_id": "d-1", "description": "by hand"})
    scope = CallScope()
    scope.before_send = lambda _timeout_s: portal.switch(rate_limited_next=int(scope.api_calls == 3))
    records = [
        CrmRecord({"deal_id": "d-1", "deal_name": "Big", "note": "ours"}),
        CrmRecord({"deal_name": "Other"}, index=1),
    ]

    # When it is pushed
    result = portal.push("deals", records, extra=mappings, options=PushOptions("deals", scope=scope))

    # Then the other deal is there, and this one may be sent again
    first, second = result.outcomes
    assert isinstance(result.interrupted_by, RateLimited)
    assert (first.errors[0].code, first.retryable, second.action) == ("not_sent", True, "created")
    assert portal.stored("deals")[0]["properties"]["description"] == "by hand"
