"""What is true of HubSpot alone: batch upserts with trace ids, lists that lack inputs, conflicts that name a record."""

import re
from collections.abc import Iterator
from typing import Any

import pytest

from crm.adapters.hubspot import HubSpotAdapter
from crm.errors import (
    CommandRefused,
)
from crm.http import AllowedHosts, HttpClient, Reply
from crm.model import CallScope, CrmRecord, FieldMapping, PullOptions, PushOptions
from sandbox.server import SandboxServer
from schemas.command import PushMode
from services.hubspot_portal import API_VERSION, ConnectedPortal, connected_portal


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


def test_a_broken_record_does_not_spoil_the_one_it_would_be_merged_with(portal: ConnectedPortal) -> None:
    """Of two records with one e-mail, the one with a bad value fails alone; the other lands."""
    # Given a good and a broken record of one address
    stage = FieldMapping("lifecycle_stage", "lifecyclestage")
    records = [
        CrmRecord({"email": "ada@acme.io", "lifecycle_stage": "Astronaut"}, index=0),
        CrmRecord({"email": "ada@acme.io", "city": "Riga"}, index=1),
    ]

    # When they are pushed
    broken, good = portal.push("contacts", records, extra=(stage,)).outcomes

    # Then each has its own outcome
    assert (broken.action, broken.errors[0].code) == ("failed", "invalid_option")
    assert (good.action, good.merged_into) == ("created", None)


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
        (PushOptions("2-1", mode="delete"), "no_mapping_for_entity"),
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
    assert found == {crm_id: {"city": "Riga"}}
    assert gone == {crm_id: True, "1": False}
    assert portal.stored("contacts")[0]["archived"]
    assert scope.api_calls == 3


def test_links_to_records_stay_on_hubspots_hosts(portal: ConnectedPortal) -> None:
    """The link uses the account's data centre when its name is HubSpot's, and never another host."""
    # Given an adapter for the real HubSpot, and accounts with a good and a bad page host
    adapter = HubSpotAdapter(portal.http, None, api_version=API_VERSION)
    eu = portal.tokens_like(ui_domain="app-eu1.hubspot.com")
    evil = portal.tokens_like(ui_domain="evil.example/app.hubspot.com")

    # When links are made / Then the bad host is not used
    account = portal.tokens.account_id
    assert adapter.record_url_template(eu, "contacts") == (
        f"https://app-eu1.hubspot.com/contacts/{account}/record/0-1/{{crm_id}}"
    )
    assert str(adapter.record_url_template(evil, "companies")).startswith("https://app.hubspot.com/contacts/")


class CustomObjects(HttpClient):
    """A way to the sandbox on which its deals answer to a custom object's name; the sandbox has no custom objects."""

    def send(self, method: str, url: str, **rest: Any) -> Reply:
        """Send with the name changed."""
        return super().send(method, re.sub(r"/2026-09/(2-1234567|p_car)(?=/|$)", "/2026-09/deals", url), **rest)


@pytest.mark.parametrize("name", ["2-1234567", "p_Car"])
def test_custom_objects_go_by_their_own_name(portal: ConnectedPortal, name: str) -> None:
    """A custom object has no defaults: with a workspace's mappings it is created, found, read, pulled and deleted."""
    # Given an adapter whose account has such an object, and mappings with a unique property
    hosts = AllowedHosts(("hubapi.com",), portal.origin)
    http = CustomObjects(timeout_s=5.0, connect_timeout_s=2.0, allowed_hosts=hosts)
    adapter = HubSpotAdapter(http, None, api_version=API_VERSION, sandbox_origin=portal.origin)
    crm_object = adapter.resolve_object(name, {})
    mappings = (
        FieldMapping("car_id", "morket_id", identifier=True),
        FieldMapping("car_name", "dealname"),
    )
    records = [CrmRecord({"car_id": f"c-{at}", "car_name": "Roadster"}, index=at) for at in range(3)]

    # When records are pushed twice, pulled and deleted
    def push(mode: PushMode) -> list[str]:
        options = PushOptions(crm_object, mode=mode)
        result = adapter.push_records(portal.tokens, records, mappings, options=options)
        return [outcome.action for outcome in result.outcomes]

    actions = [push("upsert"), push("create"), push("delete")[:1]]
    page = adapter.pull_records(portal.tokens, crm_object, mappings, 10, options=PullOptions(include_deleted=True))

    # Then every verb knows it
    assert actions == [["created"] * 3, ["skipped"] * 3, ["updated"]]
    assert {(record.fields["car_id"], record.deleted) for record in page} == {(f"c-{at}", True) for at in range(3)}
    assert adapter.default_mappings(crm_object) == ()
    assert crm_object in str(adapter.record_url_template(portal.tokens, crm_object))
