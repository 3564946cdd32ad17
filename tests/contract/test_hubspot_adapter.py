"""What is true of HubSpot alone: batch upserts with trace ids, lists that lack inputs, conflicts that name a record."""

from collections.abc import Iterator
from typing import Any

import pytest

from crm.adapters.hubspot import HubSpotAdapter
from crm.errors import (
    CommandRefused,
)
from crm.model import CallScope, CrmRecord, FieldMapping, PushOptions
from sandbox.server import SandboxServer
from services.hubspot_portal import ConnectedPortal, connected_portal


@pytest.fixture(scope="module")
def server() -> Iterator[SandboxServer]:
    with SandboxServer() as running:
        yield running


@pytest.fixture
def portal(server: SandboxServer) -> Iterator[ConnectedPortal]:
    with connected_portal(server.origin) as connected:
        yield connected


def people(count: int, start: int = 0) -> list[CrmRecord]:
    return [
        CrmRecord({"email": f"p{index}@acme.io", "last_name": f"N{index}"}, index=index - start, ref=f"ctc_{index}")
        for index in range(start, start + count)
    ]


def companies(*domains: str, **fields: Any) -> list[CrmRecord]:
    return [CrmRecord({"company_domain": name, **fields}, index=index) for index, name in enumerate(domains)]


def test_200_contacts_cost_two_calls_and_the_metadata(portal: ConnectedPortal) -> None:
    """A push of 200 contacts by e-mail is two batch upserts; the property list is read once an hour."""
    # Given an adapter that has read the contacts' properties
    portal.push("contacts", people(1))

    # When 200 contacts are pushed, one of them known
    before = portal.calls()
    result = portal.push("contacts", people(200))

    # Then two calls brought one outcome each, in order
    assert portal.calls() - before == 2
    assert [outcome.index for outcome in result.outcomes] == list(range(200))
    assert [outcome.action for outcome in result.outcomes] == ["updated"] + ["created"] * 199
    stored = {row["properties"]["email"]: row["id"] for row in portal.stored("contacts")}
    assert [outcome.crm_id for outcome in result.outcomes] == [stored[f"p{index}@acme.io"] for index in range(200)]


def test_dirty_contacts_are_refused_before_sending_and_the_others_land(portal: ConnectedPortal) -> None:
    """Invalid e-mails, over-long texts and unknown options fail alone, with Morket's field name and a reason."""
    # Given one good contact and four dirty ones
    stage = FieldMapping("lifecycle_stage", "lifecyclestage")
    records = [
        CrmRecord({"email": "Good@Acme.io", "last_name": "Çelik 😀"}, index=0),
        CrmRecord({"email": "not an address"}, index=1),
        CrmRecord({"email": "a@acme.io", "job_title": "x" * 65_537}, index=2),
        CrmRecord({"email": "b@acme.io", "lifecycle_stage": "Astronaut"}, index=3),
        CrmRecord({"last_name": "Nobody"}, index=4),
    ]

    # When they are pushed
    result = portal.push("contacts", records, extra=(stage,))

    # Then only the good one is stored, and each other says why
    assert [outcome.action for outcome in result.outcomes] == ["created", "failed", "failed", "failed", "failed"]
    assert [(outcome.errors[0].code, outcome.errors[0].field) for outcome in result.outcomes[1:]] == [
        ("invalid_email", "email"),
        ("value_too_long", "job_title"),
        ("invalid_option", "lifecycle_stage"),
        ("no_match_value", "email"),
    ]
    assert result.outcomes[2].errors[0].message == "Job Title holds 65536 characters, 65537 were sent"
    assert [row["properties"]["lastname"] for row in portal.stored("contacts")] == ["Çelik 😀"]


def test_records_with_one_address_are_merged(portal: ConnectedPortal) -> None:
    """Two records with one e-mail in any case become one contact; the second names the first."""
    # Given two spellings of one address
    records = [
        CrmRecord({"email": "ada@acme.io", "first_name": "Ada"}, index=0, ref="a"),
        CrmRecord({"email": "ADA@acme.io", "last_name": "Lovelace"}, index=1, ref="b"),
    ]

    # When they are pushed
    first, second = portal.push("contacts", records).outcomes

    # Then one contact holds both, and each record has its outcome
    (row,) = portal.stored("contacts")
    assert (row["properties"]["firstname"], row["properties"]["lastname"]) == ("Ada", "Lovelace")
    assert (second.merged_into, second.ref, second.crm_id) == (0, "b", first.crm_id)


def test_clear_empties_and_absent_leaves_alone(portal: ConnectedPortal) -> None:
    """A cleared field is sent as an empty text; a field that is not there keeps its value."""
    # Given a contact with phone and city
    portal.push("contacts", [CrmRecord({"email": "a@acme.io", "phone": "1", "city": "Łódź"})])

    # When the phone is cleared
    portal.push("contacts", [CrmRecord({"email": "a@acme.io", "city": " "}, clear=("phone",))])

    # Then it is gone, and the city is not
    (row,) = portal.stored("contacts")
    assert "phone" not in row["properties"]
    assert row["properties"]["city"] == "Łódź"


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


def test_fields_that_hubspot_lacks_are_left_out_with_a_warning(portal: ConnectedPortal) -> None:
    """Unknown and read-only properties are not sent; the record lands, and warnings name the Morket fields."""
    # Given mappings to a property that is not there and to one that cannot be written
    extra = (FieldMapping("score", "no_such_property"), FieldMapping("source", "hs_analytics_source"))

    # When a record carries both
    record = CrmRecord({"email": "a@acme.io", "score": 5, "source": "REFERRALS"})
    outcome = portal.push("contacts", [record], extra=extra).outcomes[0]

    # Then it is stored, with two warnings
    assert outcome.action == "created"
    assert [(warning.code, warning.field) for warning in outcome.warnings] == [
        ("unknown_field", "score"),
        ("read_only_field", "source"),
    ]


def test_default_values_are_for_new_records_only(portal: ConnectedPortal) -> None:
    """A mapping's default value fills new records; existing ones keep what they have."""
    # Given a default, an existing contact and a new one
    extra = (FieldMapping("country", "country", default_value="Latvia"),)
    portal.store("contacts", {"email": "old@acme.io", "country": "Peru"})
    records = [
        CrmRecord({"email": "old@acme.io", "city": "Lima"}),
        CrmRecord({"email": "new@acme.io", "city": "Riga"}, index=1),
    ]

    # When both are pushed
    result = portal.push("contacts", records, extra=extra)

    # Then only the new one has the default
    rows = {row["properties"]["email"]: row["properties"]["country"] for row in portal.stored("contacts")}
    assert rows == {"old@acme.io": "Peru", "new@acme.io": "Latvia"}
    assert [outcome.action for outcome in result.outcomes] == ["updated", "created"]


@pytest.mark.parametrize(
    ("options", "code"),
    [
        (PushOptions("contacts", mode="delete"), "not_supported_yet"),
        (PushOptions("contacts", write_policy="fill_if_empty"), "not_supported_yet"),
        (PushOptions("contacts", match_on="shoe_size"), "invalid_match_field"),
        (PushOptions("contacts", match_on="crm:no_such"), "invalid_match_field"),
        (PushOptions("2-123456"), "no_mapping_for_entity"),
    ],
)
def test_commands_that_cannot_run_are_refused_whole(portal: ConnectedPortal, options: PushOptions, code: str) -> None:
    """What is not built, not mapped or not there is refused with its code before anything is written."""
    # Given such a command / When it is pushed / Then it is refused
    with pytest.raises(CommandRefused) as refused:
        portal.push(options.crm_object, people(1), options=options)
    assert refused.value.code == code
    assert portal.stored("contacts") == []


@pytest.mark.parametrize(
    ("entity", "crm_object"),
    [
        ("person", "contacts"),
        ("Contact", "contacts"),
        ("CONTACTS", "contacts"),
        ("0-1", "contacts"),
        ("company", "companies"),
        ("Companies", "companies"),
        ("0-2", "companies"),
        ("deal", "deals"),
        ("2-1234567", "2-1234567"),
        ("P48110001_Car", "p48110001_car"),
    ],
)
def test_entities_are_known_by_all_their_names(portal: ConnectedPortal, entity: str, crm_object: str) -> None:
    """Neutral names, singulars, plurals and type ids in any case lead to one object."""
    # Given a name / When it is resolved / Then it is HubSpot's object
    assert portal.adapter.resolve_object(entity, {}) == crm_object


def test_an_object_that_hubspot_cannot_have_is_refused(portal: ConnectedPortal) -> None:
    """`Lead` is Salesforce's; HubSpot refuses it as `no_mapping_for_entity`."""
    # Given another CRM's object / When it is resolved / Then it is refused
    with pytest.raises(CommandRefused) as refused:
        portal.adapter.resolve_object("Lead", {})
    assert refused.value.code == "no_mapping_for_entity"


def test_read_and_delete_by_id(portal: ConnectedPortal) -> None:
    """Reading gives HubSpot's texts of what exists; deleting tells what existed and archives it."""
    # Given a contact and an id that never was
    (crm_id,) = portal.store("contacts", {"email": "a@acme.io", "city": "Riga"})
    scope = CallScope()

    # When both are read and deleted
    found = portal.adapter.read_records(portal.tokens, "contacts", [crm_id, "1", "x"], ["city"], scope=scope)
    gone = portal.adapter.delete_records(portal.tokens, "contacts", [crm_id, "1"], scope=scope)

    # Then the contact was there and is archived
    assert list(found) == [crm_id]
    assert found[crm_id]["city"] == "Riga"
    assert gone == {crm_id: True, "1": False}
    assert portal.stored("contacts")[0]["archived"]
    assert scope.api_calls == 3


def test_links_to_records_stay_on_hubspots_hosts(portal: ConnectedPortal) -> None:
    """The link uses the account's data centre when its name is HubSpot's, and never another host."""
    # Given an adapter for the real HubSpot, and accounts with a good and a bad page host
    adapter = HubSpotAdapter(portal.http, None)
    eu = portal.tokens_like(ui_domain="app-eu1.hubspot.com")
    evil = portal.tokens_like(ui_domain="evil.example/app.hubspot.com")

    # When links are made / Then the bad host is not used
    account = portal.tokens.account_id
    assert adapter.record_url_template(eu, "contacts") == (
        f"https://app-eu1.hubspot.com/contacts/{account}/record/0-1/{{crm_id}}"
    )
    assert str(adapter.record_url_template(evil, "companies")).startswith("https://app.hubspot.com/contacts/")
