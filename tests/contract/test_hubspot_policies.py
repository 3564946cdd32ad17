"""May a value replace what is in HubSpot: write policies of command, mapping and connection; and mode delete."""

from collections.abc import Iterator
from typing import Any

import pytest

from crm.model import CallScope, CrmRecord, FieldMapping, PushOptions, RecordOutcome
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


def held(portal: ConnectedPortal, crm_object: str = "contacts") -> dict[str, str]:
    """The properties of the first record."""
    properties: dict[str, str] = portal.stored(crm_object)[0]["properties"]
    return properties


def codes(outcome: RecordOutcome) -> list[tuple[str, str | None]]:
    return [(warning.code, warning.crm_field) for warning in outcome.warnings]


POLICIES = [
    # policy, by id or by e-mail -> phone (was filled), city (was empty), action, warnings
    ("overwrite", ("2", "Riga"), "updated", []),
    ("fill_if_empty", ("1", "Riga"), "updated", [("kept_existing_value", "phone")]),
    ("create_only", ("1", None), "unchanged", []),
]


@pytest.mark.parametrize("by_id", [True, False])
@pytest.mark.parametrize(("policy", "values", "action", "warnings"), POLICIES)
def test_a_commands_policy_decides_about_every_field(
    portal: ConnectedPortal, policy: Any, values: Any, action: str, warnings: Any, *, by_id: bool
) -> None:
    """What a person typed is replaced, kept, or left alone, whether the record is named by id or by e-mail."""
    # Given a contact with a phone and no city
    (crm_id,) = portal.store("contacts", {"email": "a@acme.io", "phone": "1"})

    # When both are pushed with a policy, and a new contact
    known = CrmRecord({"email": "a@acme.io", "phone": "2", "city": "Riga"}, crm_id=crm_id if by_id else None)
    new = CrmRecord({"email": "b@acme.io", "phone": "2"}, index=1)
    outcome, made = portal.push("contacts", [known, new], options=PushOptions("contacts", write_policy=policy)).outcomes

    # Then the policy held, and the new contact has everything
    assert (held(portal)["phone"], held(portal).get("city")) == values
    assert (outcome.action, codes(outcome)) == (action, warnings)
    assert made.action == "created"
    assert portal.stored("contacts")[1]["properties"]["phone"] == "2"


def test_policies_of_mapping_and_connection(portal: ConnectedPortal) -> None:
    """The mapping's policy comes before the connection's, the command's before both."""
    # Given a contact, a mapping that keeps the phone, and a connection that writes on creation only
    portal.store("contacts", {"email": "a@acme.io", "phone": "1", "city": "Lima", "jobtitle": "CTO"})
    extra = (
        FieldMapping("phone", "phone", write_policy="fill_if_empty"),
        FieldMapping("city", "city"),
        FieldMapping("job_title", "jobtitle", write_policy="overwrite"),
    )
    record = CrmRecord({"email": "a@acme.io", "phone": "2", "city": "Riga", "job_title": "CEO"})

    # When it is pushed without and with a policy of the command
    options = PushOptions("contacts", default_write_policy="create_only")
    first = portal.push("contacts", [record], extra=extra, options=options).outcomes[0]
    after_first = dict(held(portal))
    options = PushOptions("contacts", default_write_policy="create_only", write_policy="overwrite")
    portal.push("contacts", [record], extra=extra, options=options)

    # Then each held in its turn
    assert [after_first[name] for name in ("phone", "city", "jobtitle")] == ["1", "Lima", "CEO"]
    assert codes(first) == [("kept_existing_value", "phone")]
    assert [held(portal)[name] for name in ("phone", "city", "jobtitle")] == ["2", "Riga", "CEO"]


def test_a_clear_follows_the_fields_policy(portal: ConnectedPortal) -> None:
    """A field that may only be filled or created is never emptied."""
    # Given a contact with three fields of three policies
    portal.store("contacts", {"email": "a@acme.io", "phone": "1", "city": "Lima", "jobtitle": "CTO"})
    extra = (
        FieldMapping("phone", "phone", write_policy="fill_if_empty"),
        FieldMapping("city", "city", write_policy="create_only"),
    )

    # When all three are cleared
    record = CrmRecord({"email": "a@acme.io"}, clear=("phone", "city", "job_title"))
    outcome = portal.push("contacts", [record], extra=extra).outcomes[0]

    # Then only the overwritable one is empty
    assert (held(portal)["phone"], held(portal)["city"], held(portal).get("jobtitle")) == ("1", "Lima", None)
    assert (outcome.action, codes(outcome)) == ("updated", [("kept_existing_value", "phone")])


@pytest.mark.parametrize("policy", ["fill_if_empty", "create_only"])
def test_nothing_left_to_write_is_unchanged(portal: ConnectedPortal, policy: Any) -> None:
    """A company all of whose fields are kept costs no write; the same value again is no warning."""
    # Given a company
    portal.store("companies", {"domain": "acme.io", "name": "Acme"})

    # When the same values are pushed under the policy
    record = CrmRecord({"company_domain": "acme.io", "company_name": "Acme"})
    options = PushOptions("companies", write_policy=policy)
    outcome = portal.push("companies", [record], options=options).outcomes[0]

    # Then it is unchanged without a word
    assert (outcome.action, outcome.warnings) == ("unchanged", ())


def test_a_record_in_the_way_is_read_before_its_policy_is_decided(portal: ConnectedPortal) -> None:
    """A create that HubSpot refuses by naming a record that search does not show yet follows the policies too."""
    # Given a company that search does not show, with a unique id and a phone
    extra = (
        FieldMapping("deal_id", "morket_id"),
        FieldMapping("deal_name", "dealname", identifier=True),
        FieldMapping("note", "description", write_policy="fill_if_empty"),
        FieldMapping("sum", "amount"),
    )
    portal.switch(search_delay_ms=60_000)
    portal.store("deals", {"dealname": "Big", "morket_id": "d-1", "description": "by hand"})

    # When the deal is pushed by its name
    record = CrmRecord({"deal_id": "d-1", "deal_name": "Big", "note": "ours", "sum": 5})
    outcome = portal.push("deals", [record], extra=extra).outcomes[0]

    # Then what a person typed is kept and the rest is written
    assert (outcome.action, codes(outcome)) == ("updated", [("kept_existing_value", "description")])
    assert (held(portal, "deals")["description"], held(portal, "deals")["amount"]) == ("by hand", "5")


def test_what_each_policy_costs(portal: ConnectedPortal) -> None:
    """100 known contacts: one call while everything is overwritten, a look-up and a write under the other policies."""
    # Given 100 contacts and metadata that is known
    people = [CrmRecord({"email": f"p{index}@acme.io", "city": "Riga"}, index=index) for index in range(100)]
    portal.push("contacts", people)
    costs = {}

    # When another value comes under each policy
    for policy in ("overwrite", "fill_if_empty", "create_only"):
        scope = CallScope()
        records = [CrmRecord({**person.fields, "phone": policy}, index=person.index) for person in people]
        portal.push("contacts", records, options=PushOptions("contacts", write_policy=policy, scope=scope))
        costs[policy] = scope.api_calls

    # Then that is the price
    assert costs == {"overwrite": 1, "fill_if_empty": 1, "create_only": 1}
    portal.push("contacts", [CrmRecord({"email": "p0@acme.io"}, clear=("phone",))])
    scope = CallScope()
    record = CrmRecord({"email": "p0@acme.io", "phone": "9"})
    portal.push("contacts", [record], options=PushOptions("contacts", write_policy="fill_if_empty", scope=scope))
    assert scope.api_calls == 2


def test_delete_archives_what_the_records_mean(portal: ConnectedPortal) -> None:
    """By id, by e-mail in any case; twice is harmless; without key it fails; the rest of the record does not matter."""
    # Given three contacts
    ids = portal.store("contacts", *({"email": f"p{index}@acme.io"} for index in range(3)))
    records = [
        CrmRecord({}, index=0, crm_id=ids[0]),
        CrmRecord({"email": "P1@ACME.io", "job_title": "x" * 70_000}, index=1),
        CrmRecord({"email": "nobody@acme.io"}, index=2),
        CrmRecord({"last_name": "N"}, index=3),
        CrmRecord({"email": "p1@acme.io"}, index=4),
        CrmRecord({}, index=5, crm_id="00Q5e000001abcDEA0"),
    ]

    # When they are deleted twice
    options = PushOptions("contacts", mode="delete")
    first = portal.push("contacts", records, options=options).outcomes
    second = portal.push("contacts", records[:2], options=options).outcomes

    # Then two are archived, the third stays
    actions = ["updated", "updated", "unchanged", "failed", "updated", "unchanged"]
    assert [outcome.action for outcome in first] == actions
    warnings = [[warning.code for warning in outcome.warnings] for outcome in first]
    assert warnings == [["deleted"], ["deleted"], ["not_found"], [], ["deleted"], ["not_found"]]
    assert first[3].errors[0].code == "no_match_value"
    assert (first[1].crm_id, first[4].merged_into) == (ids[1], 1)
    assert [outcome.action for outcome in second] == ["unchanged", "unchanged"]
    assert [row["archived"] for row in portal.stored("contacts")] == [True, True, False]


def test_delete_leaves_ambiguous_companies_alone(portal: ConnectedPortal) -> None:
    """Two companies with one domain are `several_matches`; none of them is deleted."""
    # Given two companies of one domain and one of another
    portal.store("companies", {"domain": "acme.io"}, {"domain": "acme.io"}, {"domain": "globex.com"})

    # When both domains are deleted
    records = [CrmRecord({"company_domain": name}, index=at) for at, name in enumerate(("acme.io", "www.globex.com"))]
    several, gone = portal.push("companies", records, options=PushOptions("companies", mode="delete")).outcomes

    # Then only the clear one is gone
    assert several.errors[0].code == "several_matches"
    assert gone.action == "updated"
    assert [row["archived"] for row in portal.stored("companies")] == [False, False, True]


def test_200_deletes_cost_two_look_ups_and_two_calls(portal: ConnectedPortal) -> None:
    """Deletes go in batches of 100, and a lost answer leaves them retryable."""
    # Given 200 contacts
    people = [CrmRecord({"email": f"p{index}@acme.io"}, index=index) for index in range(200)]
    portal.push("contacts", people)
    scope = CallScope()
    scope.before_send = lambda _timeout_s: portal.switch(lose_reply_next=int(scope.api_calls == 3))

    # When they are deleted and the last answer is lost, and what is left once more
    result = portal.push("contacts", people, options=PushOptions("contacts", mode="delete", scope=scope))
    left = [person for person, outcome in zip(people, result.outcomes, strict=True) if outcome.retryable]
    again = portal.push("contacts", left, options=PushOptions("contacts", mode="delete")).outcomes

    # Then everything is gone, and nothing was claimed that was not known
    assert scope.api_calls == 4
    assert [outcome.action for outcome in result.outcomes] == ["updated"] * 100 + ["failed"] * 100
    assert {outcome.action for outcome in again} == {"unchanged"}
    assert all(row["archived"] for row in portal.stored("contacts"))
