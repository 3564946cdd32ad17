"""Write policies, deletes and modes on Salesforce: what they cost, and what only Salesforce does."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from crm.errors import CrmUnavailable, LeaseLost
from crm.model import AccountLimits, CallScope, CrmRecord, FieldMapping, PushOptions, RecordOutcome
from sandbox.server import SandboxServer
from schemas.command import PushMode, WritePolicy
from services.salesforce_org import ConnectedOrg, connected_org

EXTERNAL_ID = FieldMapping("morket_id", "Morket_Id__c")
LOOK_UP = ["GET /query", "PATCH /composite/sobjects", "POST /composite/sobjects"]
UPSERT = ["PATCH /composite/sobjects/Lead/Morket_Id__c"]


@pytest.fixture(scope="module")
def server() -> Iterator[SandboxServer]:
    with SandboxServer() as running:
        yield running


@pytest.fixture
def org(server: SandboxServer) -> Iterator[ConnectedOrg]:
    with connected_org(server.origin) as connected:
        yield connected


def person(index: int = 0, **fields: Any) -> CrmRecord:
    given = {"email": f"p{index}@acme.io", "last_name": f"N{index}", "company_name": "Acme", **fields}
    return CrmRecord({name: value for name, value in given.items() if value is not None}, index=index)


def codes(outcome: RecordOutcome) -> list[str]:
    return [error.code for error in outcome.errors] + [warning.code for warning in outcome.warnings]


def calls(org: ConnectedOrg) -> list[str]:
    return [call for call in org.calls() if "describe" not in call]


class SpoiledCall(CallScope):
    """Sets switches just before the nth call."""

    def __init__(self, org: ConnectedOrg, nth: int, **switches: Any) -> None:
        super().__init__(before_send=self._count)
        self._org, self._nth, self._switches, self._seen = org, nth, switches, 0

    def _count(self, _timeout_s: float) -> None:
        self._seen += 1
        if self._seen == self._nth:
            self._org.switch(**self._switches)


@pytest.mark.parametrize(
    ("policy", "title", "expected"),
    [("overwrite", "CEO", UPSERT), ("fill_if_empty", "CTO", LOOK_UP), ("create_only", "CTO", LOOK_UP[::2])],
)
def test_a_policy_turns_a_blind_upsert_into_a_look_up(
    org: ConnectedOrg, policy: WritePolicy, title: str, expected: list[str]
) -> None:
    """An upsert by external id overwrites, so any other policy takes look-up, update and create."""
    # Given a lead with a title and without a phone number
    org.store("Lead", {"LastName": "N0", "Company": "Acme", "Morket_Id__c": "m-0", "Title": "CTO"})
    options = PushOptions("Lead", match_on="crm:Morket_Id__c", write_policy=policy)

    # When it and a new one are pushed
    records = [person(i, morket_id=f"m-{i}", email=None, job_title="CEO", phone="1") for i in range(2)]
    outcomes = org.push("Lead", records, options=options, extra=(EXTERNAL_ID,)).outcomes

    # Then
    assert calls(org) == expected
    known, new = org.stored("Lead")
    assert (known["Title"], new["Title"], new["Morket_Id__c"]) == (title, "CEO", "m-1")
    assert (known.get("Phone") == "1") == (policy != "create_only")
    assert [outcome.action for outcome in outcomes][1] == "created"


def test_a_policy_of_the_key_alone_still_allows_the_blind_upsert(org: ConnectedOrg) -> None:
    """The key is what it is: its policy decides nothing."""
    # Given
    key = replace(EXTERNAL_ID, write_policy="create_only")

    # When
    options = PushOptions("Lead", match_on="crm:Morket_Id__c")
    org.push("Lead", [person(0, morket_id="m-0")], options=options, extra=(key,))

    # Then
    assert calls(org) == UPSERT


def test_a_mapping_with_a_policy_that_has_no_value_costs_nothing(org: ConnectedOrg) -> None:
    """Only the policies of fields that are sent ask for a look-up."""
    # Given a known lead, and fill_if_empty for titles alone
    (crm_id,) = org.store("Lead", {"LastName": "Old", "Company": "Acme", "Email": "p0@acme.io"})
    title = FieldMapping("job_title", "Title", write_policy="fill_if_empty")

    # When a push by id has no title
    org.push("Lead", [replace(person(0), crm_id=crm_id)], extra=(title,))

    # Then
    assert calls(org) == ["PATCH /composite/sobjects"]


def test_records_found_two_ways_are_judged_by_what_the_crm_holds(org: ConnectedOrg) -> None:
    """One by id and one by e-mail are one update, and what is held counts for the fields of both."""
    # Given a lead with a title and a city
    held = {"LastName": "N1", "Company": "Acme", "Email": "p1@acme.io", "Title": "CTO", "City": "Bonn"}
    (crm_id,) = org.store("Lead", held)

    # When both speak of it, each with a field of its own that is filled
    by_id = CrmRecord({"city": "Köln", "phone": "1"}, index=0, crm_id=crm_id)
    options = PushOptions("Lead", write_policy="fill_if_empty")
    first, second = org.push("Lead", [by_id, person(1, job_title="CEO")], options=options).outcomes

    # Then only the empty one was filled
    (row,) = org.stored("Lead")
    assert (row["Title"], row["City"], row["Phone"]) == ("CTO", "Bonn", "1")
    assert (first.action, second.action, second.merged_into) == ("updated", "updated", 0)


@pytest.mark.parametrize("policy", ["overwrite", "fill_if_empty"])
def test_a_dead_link_is_looked_up_again_under_every_policy(org: ConnectedOrg, policy: WritePolicy) -> None:
    """With fill_if_empty the look-up by id finds out, else the update; each record is then matched for itself."""
    # Given a link of two addresses to a lead that was deleted, and a live lead with one of them
    gone, live = org.store("Lead", *({"LastName": "X", "Company": "A", "Email": f"{n}@acme.io"} for n in ("z", "p0")))
    org.adapter.delete_records(org.tokens, "Lead", [gone], scope=CallScope())
    links = {"p0@acme.io": gone, "p1@acme.io": gone}

    # When
    options = PushOptions("Lead", links=links, write_policy=policy)
    first, second = org.push("Lead", [person(0, phone="1"), person(1)], options=options).outcomes

    # Then
    assert (first.action, first.crm_id) == ("updated", live)
    assert (second.action, second.merged_into) == ("created", None)


@pytest.mark.parametrize(
    ("mode", "policy"), [("upsert", "fill_if_empty"), ("upsert", "create_only"), ("create", None), ("update", None)]
)
def test_a_given_id_that_is_gone_fails_whatever_is_written(
    org: ConnectedOrg, mode: PushMode, policy: WritePolicy | None
) -> None:
    """Even with nothing to write to it, nobody is told that it exists; the others of the push are not touched by it."""
    # Given
    (gone,) = org.store("Lead", {"LastName": "X", "Company": "A"})
    org.adapter.delete_records(org.tokens, "Lead", [gone], scope=CallScope())

    # When
    options = PushOptions("Lead", mode=mode, write_policy=policy)
    first, second = org.push("Lead", [replace(person(0), crm_id=gone), person(1)], options=options).outcomes

    # Then
    assert codes(first) == ["record_gone"]
    assert second.action == ("failed" if mode == "update" else "created")


def test_an_update_without_a_value_to_send_reads_whether_the_record_is_there(org: ConnectedOrg) -> None:
    """One look-up by id instead of a write."""
    # Given
    (kept,) = org.store("Lead", {"LastName": "X", "Company": "A"})

    # When
    options = PushOptions("Lead", write_policy="create_only")
    (outcome,) = org.push("Lead", [replace(person(0), crm_id=kept)], options=options).outcomes

    # Then
    assert (outcome.action, outcome.crm_id) == ("unchanged", kept)
    assert calls(org) == ["GET /query"]


@pytest.mark.parametrize("crm_object", ["Lead", "Contact"])
def test_people_may_be_leads_or_contacts_in_every_mode(org: ConnectedOrg, crm_object: str) -> None:
    """The connection's setting decides; every mode works on both."""
    # Given
    assert org.adapter.resolve_object("person", {"person_object": crm_object.lower()}) == crm_object

    def push(mode: Any, *indices: int, **fields: Any) -> list[tuple[str, list[str]]]:
        records = [replace(person(at, **fields), index=place) for place, at in enumerate(indices)]
        if crm_object == "Contact":
            records = [replace(one, fields={**one.fields, "company_name": None}) for one in records]
        outcomes = org.push(crm_object, records, options=PushOptions(crm_object, mode=mode)).outcomes
        return [(outcome.action, codes(outcome)) for outcome in outcomes]

    # When / Then
    assert push("create", 0, 1) == [("created", []), ("created", [])]
    assert push("create", 1, 2) == [("skipped", ["already_exists"]), ("created", [])]
    assert push("update", 0, 9, city="Bonn", job_title="CTO") == [("updated", []), ("failed", ["not_found"])]
    assert push("upsert", 0, 3, city="Bonn", job_title="CTO") == [("unchanged", []), ("created", [])]
    assert push("delete", 0, 9) == [("updated", ["deleted"]), ("unchanged", ["not_found"])]
    city = "City" if crm_object == "Lead" else "MailingCity"
    assert [(row["LastName"], row.get(city)) for row in org.stored(crm_object)] == [
        ("N1", None),
        ("N2", None),
        ("N3", "Bonn"),
    ]


def test_a_delete_takes_ids_of_its_own_object_only(org: ConnectedOrg) -> None:
    """Salesforce deletes whatever an id stands for: a contact's id among leads deletes nothing."""
    # Given
    (contact,) = org.store("Contact", {"LastName": "C"})

    # When
    records = [CrmRecord({}, index=0, crm_id=contact), CrmRecord({}, index=1, crm_id="nonsense")]
    first, second = org.push("Lead", records, options=PushOptions("Lead", mode="delete")).outcomes

    # Then
    assert (first.action, codes(first), codes(second)) == ("unchanged", ["not_found"], ["record_gone"])
    assert len(org.stored("Contact")) == 1


def test_a_delete_by_link_or_by_what_matches_now(org: ConnectedOrg) -> None:
    """A link is followed; a dead one is no reason to miss the record. Nothing is linked to what was deleted."""
    # Given a linked lead whose address has changed, and a dead link to another
    linked, gone, found = org.store(
        "Lead",
        *({"LastName": "X", "Company": "A", "Email": f"{name}@acme.io"} for name in ("new", "z", "p1")),
    )
    org.adapter.delete_records(org.tokens, "Lead", [gone], scope=CallScope())
    links = {"p0@acme.io": linked, "p1@acme.io": gone}

    # When a record that repeats the first comes too
    records = [person(0), person(1), replace(person(0), index=2)]
    outcomes = org.push("Lead", records, options=PushOptions("Lead", mode="delete", links=links)).outcomes

    # Then
    assert [(one.action, one.crm_id, one.merged_into) for one in outcomes] == [
        ("updated", linked, None),
        ("updated", found, None),
        ("updated", linked, 0),
    ]
    assert {outcome.match_value for outcome in outcomes} == {None}
    assert org.stored("Lead") == []


def test_200_deletes_cost_two_look_ups_and_one_call(org: ConnectedOrg) -> None:
    """One call deletes 200; values that could not be written do not matter."""
    # Given
    org.push("Lead", [person(index) for index in range(200)])
    before = len(org.calls())

    # When
    records = [person(index, job_title="x" * 200) for index in range(200)]
    result = org.push("Lead", records, options=PushOptions("Lead", mode="delete"))

    # Then
    assert {outcome.action for outcome in result.outcomes} == {"updated"}
    assert org.calls()[before:] == ["GET /query", "DELETE /composite/sobjects"]
    assert org.stored("Lead") == []


def test_a_delete_whose_answer_is_lost_may_be_sent_again(org: ConnectedOrg) -> None:
    """Deleting twice is harmless: the retry finds nothing and says so."""
    # Given
    org.push("Lead", [person(0)])
    scope = SpoiledCall(org, 2, lose_reply_next=1)

    # When
    result = org.push("Lead", [person(0)], options=PushOptions("Lead", mode="delete", scope=scope))
    (again,) = org.push("Lead", [person(0)], options=PushOptions("Lead", mode="delete")).outcomes

    # Then
    assert isinstance(result.interrupted_by, CrmUnavailable)
    assert (codes(result.outcomes[0]), result.outcomes[0].retryable) == (["crm_unavailable"], True)
    assert (again.action, codes(again)) == ("unchanged", ["not_found"])


@pytest.mark.parametrize("fault", ["lose_reply_next", "cut_body_next", "hang_after_next"])
@pytest.mark.parametrize("mode", ["upsert", "create"])
def test_a_create_whose_answer_is_lost_is_never_made_twice(server: SandboxServer, mode: Any, fault: str) -> None:
    """The retry looks first, and finds what the lost call made."""
    # Given 30 people, and a reply that is lost after they were created
    people = [person(index) for index in range(30)]
    with connected_org(server.origin, timeout_s=1.0) as org:
        scope = SpoiledCall(org, 3, **{fault: 1})

        # When the push is made, and what may be retried is retried
        result = org.push("Lead", people, options=PushOptions("Lead", mode=mode, scope=scope))
        left = [people[outcome.index] for outcome in result.outcomes if outcome.retryable]
        again = org.push("Lead", left, options=PushOptions("Lead", mode=mode)).outcomes

        # Then
        assert len(left) == 30
        assert {outcome.action for outcome in again} == {"unchanged" if mode == "upsert" else "skipped"}
        assert [outcome.crm_id for outcome in again] == [row["Id"] for row in org.stored("Lead")]
        assert len(org.stored("Lead")) == 30


def test_two_errors_of_one_record_are_both_told(org: ConnectedOrg) -> None:
    """Salesforce may refuse a record for several reasons at once."""
    # Given an org with state picklists and a validation rule
    org.switch(state_country_picklists=True, validation_rule=True)

    # When
    outcome = org.push_one("Lead", person(0, country="Atlantis", description="forbidden"))

    # Then
    assert [(error.code, error.field) for error in outcome.errors] == [
        ("invalid_value", "country"),
        ("validation_rule", "description"),
    ]


def test_states_and_countries_are_spelled_as_the_org_takes_them(org: ConnectedOrg) -> None:
    """Codes become names where both are picklists, also in the code fields themselves."""
    # Given
    org.switch(state_country_picklists=True)
    codes_too = (FieldMapping("iso_country", "CountryCode"), FieldMapping("iso_state", "StateCode"))

    # When
    records = [
        person(0, country="us", state="ca"),
        person(1, iso_country="de"),
        person(2, country="DE", state="Bayern"),
    ]
    outcomes = org.push("Lead", records, extra=codes_too).outcomes

    # Then
    assert [outcome.action for outcome in outcomes] == ["created", "created", "failed"]
    first, second = org.stored("Lead")
    assert (first["Country"], first["State"], second["CountryCode"]) == ("United States", "California", "DE")
    assert outcomes[2].errors[0].crm_code == "FIELD_INTEGRITY_EXCEPTION"


def test_every_reply_tells_what_is_used_of_the_day(org: ConnectedOrg) -> None:
    """`Sforce-Limit-Info` is read on answers, also on refusals."""
    # Given
    org.switch(daily_quota=1000)
    scope = CallScope()

    # When
    org.push("Lead", [person(0)], options=PushOptions("Lead", scope=scope))
    assert scope.limits == AccountLimits(daily_used=3, daily_max=1000)
    org.switch(quota_exceeded_next=1)
    refused = CallScope()
    with pytest.raises(Exception, match="TotalRequests"):
        org.push("Lead", [person(0)], options=PushOptions("Lead", scope=refused))

    # Then
    assert refused.limits == AccountLimits(daily_used=3, daily_max=1000)


def test_a_lost_lease_stops_a_delete(org: ConnectedOrg) -> None:
    """Also between the look-up and the delete."""
    # Given
    org.push("Lead", [person(0)])
    seen: list[float] = []

    def refuse(timeout_s: float) -> None:
        seen.append(timeout_s)
        if len(seen) == 2:
            raise LeaseLost("gone")

    # When / Then
    with pytest.raises(LeaseLost):
        org.push("Lead", [person(0)], options=PushOptions("Lead", mode="delete", scope=CallScope(before_send=refuse)))
    assert len(org.stored("Lead")) == 1
