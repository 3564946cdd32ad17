"""What is true of Salesforce alone: sObject Collections, SOQL look-ups, external ids, its limits and refusals."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest

from crm.adapters.salesforce.calls import Org
from crm.adapters.salesforce.describe import ObjectFields
from crm.errors import (
    AccessTokenRejected,
    CommandRefused,
    CrmUnavailable,
    GiveUp,
    LeaseLost,
    QuotaExhausted,
    RateLimited,
)
from crm.model import CallScope, CrmRecord, FieldMapping, OAuthTokens, PullOptions, PushOptions, RecordOutcome
from sandbox.server import SandboxServer
from services.salesforce_org import ConnectedOrg, connected_org, with_token

EXTERNAL_ID = FieldMapping("morket_id", "Morket_Id__c")


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
    return [error.code for error in outcome.errors]


def test_200_new_leads_cost_a_describe_a_look_up_and_one_write(org: ConnectedOrg) -> None:
    """200 new people are one SOQL look-up and one Collections call; the describe is read once an hour."""
    # Given an org without leads, and 200 people
    people = [person(index) for index in range(200)]

    # When they are pushed
    result = org.push("Lead", people)

    # Then three calls left, every outcome names the stored record, in order
    assert org.calls() == ["GET /sobjects/Lead/describe", "GET /query", "POST /composite/sobjects"]
    assert {outcome.action for outcome in result.outcomes} == {"created"}
    assert [outcome.crm_id for outcome in result.outcomes] == [row["Id"] for row in org.stored("Lead")]


def test_the_same_people_again_are_unchanged(org: ConnectedOrg) -> None:
    """A second push of the same records writes nothing and makes nothing."""
    # Given 30 leads of an earlier push
    people = [person(index, employee_count=index + 1, website="https://acme.io") for index in range(30)]
    org.push("Lead", people)
    before = len(org.calls())

    # When the same is pushed again, with other letters in the address
    again = [replace(one, fields={**one.fields, "email": str(one.fields["email"]).upper()}) for one in people]
    result = org.push("Lead", again)

    # Then nothing was written
    assert {outcome.action for outcome in result.outcomes} == {"unchanged"}
    assert org.calls()[before:] == ["GET /query"]
    assert len(org.stored("Lead")) == 30


def test_existing_leads_are_updated_and_new_ones_created_in_order(org: ConnectedOrg) -> None:
    """One push may update and create; outcomes stand in the order of the records."""
    # Given one lead
    org.store("Lead", {"LastName": "Old", "Company": "Acme", "Email": "p1@acme.io"})

    # When three people are pushed, the second of them known
    result = org.push("Lead", [person(index) for index in range(3)])

    # Then only the second was updated
    assert [outcome.action for outcome in result.outcomes] == ["created", "updated", "created"]
    assert sorted(row["LastName"] for row in org.stored("Lead")) == ["N0", "N1", "N2"]


def test_long_addresses_take_several_look_ups(org: ConnectedOrg) -> None:
    """A query travels in the URL, which has a limit: 200 long values are looked up in parts, and all are found."""
    # Given 200 people whose addresses need escapes and are nearly as long as they may be
    people = [person(index, email=f"o'neill+{index:03}{'x' * 48}@sub.acme.io") for index in range(200)]
    org.push("Lead", people)
    before = len(org.calls())

    # When they are pushed again
    result = org.push("Lead", people)

    # Then
    assert {outcome.action for outcome in result.outcomes} == {"unchanged"}
    assert set(org.calls()[before:]) == {"GET /query"}
    assert len(org.calls()) - before == 2


def test_one_adapter_serves_many_threads(org: ConnectedOrg) -> None:
    """Pushes of several threads through one adapter do not mix."""

    # When eight threads push 20 people each
    def push(block: int) -> list[str]:
        records = [replace(person(block * 20 + index), index=index) for index in range(20)]
        return [str(outcome.crm_id) for outcome in org.push("Lead", records).outcomes]

    with ThreadPoolExecutor(8) as pool:
        ids = list(pool.map(push, range(8)))

    # Then each outcome names the record of its own address
    stored = {row["Email"]: row["Id"] for row in org.stored("Lead")}
    assert ids == [[stored[f"p{block * 20 + index}@acme.io"] for index in range(20)] for block in range(8)]


def test_dirty_people_fail_before_sending_with_a_reason_for_a_person(org: ConnectedOrg) -> None:
    """Each dirty record fails alone, names Morket's field and says what is wrong; the others land."""
    # Given one good record and dirty ones
    records = [
        person(0, last_name="O'Neill \\ 😀", job_title="Ingénieure"),
        person(1, job_title="x" * 163),
        person(2, email="not an address"),
        person(3, company_name=None),
        person(4, employee_count="many"),
        person(5, email=None),
        person(6, last_name="half\ud800"),
    ]

    # When they are pushed
    outcomes = org.push("Lead", records).outcomes

    # Then
    assert [codes(outcome) for outcome in outcomes] == [
        [],
        ["value_too_long"],
        ["invalid_email"],
        ["required_field_missing"],
        ["invalid_value"],
        ["no_match_value"],
        ["invalid_value"],
    ]
    assert outcomes[1].errors[0].message == "Title holds 128 characters, 163 were sent"
    assert [outcome.errors[0].field for outcome in outcomes[1:]] == [
        "job_title",
        "email",
        "company_name",
        "employee_count",
        "email",
        "last_name",
    ]
    assert [row["LastName"] for row in org.stored("Lead")] == ["O'Neill \\ 😀"]


def test_records_with_one_key_are_merged_and_a_dirty_one_spoils_nothing(org: ConnectedOrg) -> None:
    """Records with one e-mail become one lead; a dirty one among them fails alone."""
    # Given three spellings of one address, the second with a value that does not fit
    records = [
        person(0, email="Ada@acme.io", first_name="Ada"),
        person(1, email="ada@acme.io", job_title="x" * 129),
        person(2, email="ADA@ACME.IO", phone="1"),
    ]

    # When they are pushed
    first, dirty, last = org.push("Lead", records).outcomes

    # Then one lead holds both good ones
    (row,) = org.stored("Lead")
    assert (row["FirstName"], row["LastName"], row["Phone"]) == ("Ada", "N2", "1")
    assert (first.action, last.action, last.merged_into, last.crm_id) == ("created", "updated", 0, first.crm_id)
    assert (codes(dirty), dirty.merged_into) == (["value_too_long"], None)


def test_one_crm_record_found_two_ways_is_written_once(org: ConnectedOrg) -> None:
    """A record named by its id and another that matches it by e-mail are one update, in order."""
    # Given a lead
    (lead_id,) = org.store("Lead", {"LastName": "Old", "Company": "Acme", "Email": "p1@acme.io", "Title": "CTO"})

    # When it is pushed by its 15-character id and by its address
    by_id = CrmRecord({"job_title": "CEO"}, index=0, crm_id=lead_id[:15])
    first, second = org.push("Lead", [by_id, person(1, job_title="CTO")]).outcomes

    # Then the later value won, in one write
    (row,) = org.stored("Lead")
    assert (row["Title"], row["LastName"]) == ("CTO", "N1")
    assert (first.crm_id, second.crm_id, second.merged_into) == (lead_id, lead_id, 0)


def test_several_matches_are_named_and_none_is_written(org: ConnectedOrg) -> None:
    """Two leads with one e-mail: the record fails and names both."""
    # Given two leads with one address
    ids = org.store("Lead", *({"LastName": "X", "Company": "Acme", "Email": "p0@acme.io"} for _ in range(2)))

    # When the address is pushed
    outcome = org.push_one("Lead", person(0))

    # Then
    assert codes(outcome) == ["several_matches"]
    assert all(crm_id in outcome.errors[0].message for crm_id in ids)


def test_create_skips_what_exists_and_update_fails_what_does_not(org: ConnectedOrg) -> None:
    """`create` leaves an existing record alone; `update` makes nothing."""
    # Given a lead
    org.store("Lead", {"LastName": "Old", "Company": "Acme", "Email": "p0@acme.io"})

    # When both modes meet a known and an unknown address
    created = org.push("Lead", [person(0), person(1)], options=PushOptions("Lead", mode="create")).outcomes
    updated = org.push("Lead", [person(0), person(2)], options=PushOptions("Lead", mode="update")).outcomes

    # Then
    assert [(one.action, [warning.code for warning in one.warnings]) for one in created] == [
        ("skipped", ["already_exists"]),
        ("created", []),
    ]
    assert [one.action for one in updated] == ["updated", "failed"]
    assert codes(updated[1]) == ["not_found"]


def test_a_create_without_match_value_is_created_plainly(org: ConnectedOrg) -> None:
    """Mode create needs no match value."""
    # When a person without e-mail is created
    outcome = org.push_one("Lead", person(0, email=None), mode="create")

    # Then
    assert outcome.action == "created"
    assert len(org.stored("Lead")) == 1


def test_an_external_id_is_a_true_upsert_of_one_call(org: ConnectedOrg) -> None:
    """`crm:<external id>` needs no look-up: one call creates and updates."""
    # Given a lead with an external id
    org.store("Lead", {"LastName": "Old", "Company": "Acme", "Morket_Id__c": "m-1"})
    options = PushOptions("Lead", match_on="crm:morket_id__C")

    # When two records are pushed by it
    records = [person(0, morket_id="m-0", email=None), person(1, morket_id="m-1", email=None)]
    outcomes = org.push("Lead", records, options=options, extra=(EXTERNAL_ID,)).outcomes

    # Then
    assert [outcome.action for outcome in outcomes] == ["created", "updated"]
    assert [call for call in org.calls() if "describe" not in call] == ["PATCH /composite/sobjects/Lead/Morket_Id__c"]
    assert {row["Morket_Id__c"] for row in org.stored("Lead")} == {"m-0", "m-1"}


@pytest.mark.parametrize("match_on", ["crm:Nonsense__c", "crm:Fax", "linkedin_url", "crm:Id) OR (Name"])
def test_a_match_field_that_is_not_mapped_refuses_the_command(org: ConnectedOrg, match_on: str) -> None:
    """A match field must be mapped to a field of the object."""
    # When / Then
    with pytest.raises(CommandRefused) as refused:
        org.push_one("Lead", person(0), match_on=match_on)
    assert refused.value.code == "invalid_match_field"


def test_accounts_match_by_domain_however_the_website_is_spelled(org: ConnectedOrg) -> None:
    """Websites are compared as domains: scheme, www and path do not matter, and a longer domain is another company."""
    # Given accounts as people typed them
    acme, _other, umlaut = org.store(
        "Account",
        {"Name": "Acme", "Website": "https://www.ACME.io/about?x=1"},
        {"Name": "Not Acme", "Website": "notacme.io"},
        {"Name": "Bücher", "Website": "http://bücher.example"},
    )

    # When three domains are pushed
    domains = ["acme.io", "acme_io.example", "xn--bcher-kva.example"]
    records = [
        CrmRecord({"company_domain": name, "company_name": name}, index=index) for index, name in enumerate(domains)
    ]
    outcomes = org.push("Account", records).outcomes

    # Then
    assert [outcome.action for outcome in outcomes] == ["updated", "created", "updated"]
    assert (outcomes[0].crm_id, outcomes[2].crm_id) == (acme, umlaut)
    assert outcomes[0].match_value == "acme.io"


def test_a_link_saves_the_look_up(org: ConnectedOrg) -> None:
    """A recorded link is written to without asking."""
    # Given a lead whose address a person has changed since it was linked
    (lead_id,) = org.store("Lead", {"LastName": "Old", "Company": "Acme", "Email": "new@acme.io"})

    # When its old address is pushed
    outcome = org.push_one("Lead", person(0, email="p0@acme.io"), links={"p0@acme.io": lead_id})

    # Then
    assert (outcome.action, outcome.crm_id) == ("updated", lead_id)
    assert "GET /query" not in org.calls()


def test_a_dead_link_is_looked_up_again_once(org: ConnectedOrg) -> None:
    """When the linked record is gone, the record is matched by its values again."""
    # Given a link to a lead that was deleted, and a live lead with the address
    gone, live = org.store("Lead", *({"LastName": "X", "Company": "A", "Email": f"{n}@acme.io"} for n in ("z", "p0")))
    org.adapter.delete_records(org.tokens, "Lead", [gone], scope=CallScope())

    # When two addresses are pushed with the dead link, one of them without a match
    links = {"p0@acme.io": gone, "p1@acme.io": gone}
    first, second = org.push("Lead", [person(0), person(1)], options=PushOptions("Lead", links=links)).outcomes

    # Then each is matched for itself
    assert (first.action, first.crm_id) == ("updated", live)
    assert (second.action, second.merged_into) == ("created", None)


def test_a_given_id_that_is_gone_fails_the_record(org: ConnectedOrg) -> None:
    """The publisher's own crm_id is never replaced by a guess."""
    # Given a deleted lead
    (gone,) = org.store("Lead", {"LastName": "X", "Company": "A", "Email": "p0@acme.io"})
    org.adapter.delete_records(org.tokens, "Lead", [gone], scope=CallScope())

    # When it is pushed by id, and an id that is none
    records = [replace(person(0), crm_id=gone), replace(person(1), crm_id="abc")]
    first, second = org.push("Lead", records).outcomes

    # Then
    assert (codes(first), codes(second)) == (["record_gone"], ["record_gone"])
    assert org.stored("Lead") == []


def test_clear_empties_and_blank_leaves_alone(org: ConnectedOrg) -> None:
    """`clear` sends null; a blank value leaves Salesforce's alone."""
    # Given a lead with phone and city
    org.store("Lead", {"LastName": "N0", "Company": "Acme", "Email": "p0@acme.io", "Phone": "1", "City": "Łódź"})

    # When the phone is cleared and the city is blank
    outcome = org.push_one("Lead", replace(person(0, city="  "), clear=("phone",)))

    # Then
    (row,) = org.stored("Lead")
    assert (outcome.action, row.get("Phone"), row["City"]) == ("updated", None, "Łódź")


def test_defaults_fill_new_records_only(org: ConnectedOrg) -> None:
    """A mapping's default value never overwrites what a record holds."""
    # Given a lead with a company
    org.store("Lead", {"LastName": "Old", "Company": "Acme", "Email": "p0@acme.io"})
    company = FieldMapping("company_name", "Company", default_value="[Unknown]")

    # When a known and a new person without company are pushed
    records = [person(0, company_name=None), person(1, company_name=None)]
    outcomes = org.push("Lead", records, extra=(company,)).outcomes

    # Then
    assert [outcome.action for outcome in outcomes] == ["updated", "created"]
    assert [row["Company"] for row in org.stored("Lead")] == ["Acme", "[Unknown]"]


def test_unknown_and_read_only_fields_are_left_out_with_a_warning(org: ConnectedOrg) -> None:
    """A mapping to a field that the org does not have does not fail the record."""
    # When a value is mapped to a field that is not there, one to a read-only field, and one to nothing
    extra = (FieldMapping("score", "Score__c"), FieldMapping("display_name", "Name"))
    record = person(0, score=3, display_name="Ada L", linkedin_url="https://linkedin.com/in/ada")
    (outcome,) = org.push("Lead", [record], extra=extra).outcomes

    # Then
    assert outcome.action == "created"
    assert {warning.code for warning in outcome.warnings} == {"unknown_field", "read_only_field", "unmapped_field"}


def test_a_restricted_picklist_takes_labels_and_names_its_options(org: ConnectedOrg) -> None:
    """An option is found in any case; another value fails and says what is possible."""
    # When
    rating = (FieldMapping("rating", "Rating"),)
    good, bad = org.push("Lead", [person(0, rating="hot"), person(1, rating="Lava")], extra=rating).outcomes

    # Then
    assert (good.action, org.stored("Lead")[0]["Rating"]) == ("created", "Hot")
    assert bad.errors[0].code == "invalid_option"
    assert "Hot, Warm, Cold" in bad.errors[0].message


def believe_in_a_ghost(org: ConnectedOrg) -> FieldMapping:
    """Let the adapter remember, for two minutes already, a field that the org no longer has, and map it."""
    org.adapter.describe_fields(org.tokens, "Lead", scope=CallScope())
    ((key, (read_at, fields)),) = org.adapter._describes._known.items()
    ghost = replace(fields.by_name["title"], name="Ghost__c")
    remembered = replace(fields, by_name={**fields.by_name, "ghost__c": ghost})
    org.adapter._describes._known[key] = (read_at - 120, remembered)
    return FieldMapping("ghost", "Ghost__c")


def insist_on_a_ghost(org: ConnectedOrg) -> FieldMapping:
    """Let every describe name a field that Salesforce refuses, and map it."""
    described = org.adapter._describes.get

    def haunted(one: Org, crm_object: str) -> ObjectFields:
        fields = described(one, crm_object)
        ghost = replace(fields.by_name["title"], name="Ghost__c")
        return replace(fields, by_name={**fields.by_name, "ghost__c": ghost})

    org.adapter._describes.get = haunted  # type: ignore[method-assign]
    return FieldMapping("ghost", "Ghost__c")


def test_a_field_that_vanished_is_noticed_by_the_first_write(org: ConnectedOrg) -> None:
    """Plain creates without a look-up: the refused call wrote nothing, so it is made again without the field."""
    # Given an adapter that believes in a field that the org no longer has
    ghost = believe_in_a_ghost(org)
    records = [person(index, email=None, ghost="boo") for index in range(40)]

    # When
    result = org.push("Lead", records, options=PushOptions("Lead", mode="create"), extra=(ghost,))

    # Then
    assert {outcome.action for outcome in result.outcomes} == {"created"}
    assert [warning.code for warning in result.outcomes[0].warnings] == ["unknown_field"]
    assert len(org.stored("Lead")) == 40


def test_a_field_that_vanished_is_noticed_before_the_first_write(org: ConnectedOrg) -> None:
    """A look-up or a pull that names a field that is gone is made again with the fields as they are now."""
    # Given an adapter that believes in a field that the org no longer has
    ghost = believe_in_a_ghost(org)

    # When records name it
    result = org.push("Lead", [person(index, ghost="boo") for index in range(3)], extra=(ghost,))

    # Then they land without it, and say so
    assert {outcome.action for outcome in result.outcomes} == {"created"}
    assert [warning.code for warning in result.outcomes[0].warnings] == ["unknown_field"]

    # And a pull finds out too
    ghost = believe_in_a_ghost(org)
    assert len(org.adapter.pull_records(org.tokens, "Lead", [ghost], 200)) == 3


def test_a_refused_call_is_split_down_to_the_record_that_spoils_it(org: ConnectedOrg) -> None:
    """40 plain creates, one of which makes Salesforce refuse the whole call: 39 land."""
    # Given creates without a look-up, one with a field that is described and refused
    ghost = insist_on_a_ghost(org)
    records = [person(index, email=None, ghost="boo" if index == 17 else None) for index in range(40)]

    # When they are pushed
    result = org.push("Lead", records, options=PushOptions("Lead", mode="create"), extra=(ghost,))

    # Then at most 2 * log2(40) calls were made beside the first: fields that were just read are not read again
    assert len([call for call in org.calls() if call.startswith("POST")]) <= 1 + 2 * 6
    assert org.calls().count("GET /sobjects/Lead/describe") == 1
    assert [outcome.index for outcome in result.outcomes if outcome.action == "failed"] == [17]
    assert result.outcomes[17].errors[0].crm_code == "INVALID_FIELD"
    assert result.outcomes[17].errors[0].code == "unknown_field"
    assert len(org.stored("Lead")) == 39


def test_a_split_has_a_budget(org: ConnectedOrg) -> None:
    """When every record spoils its call, the splitting ends; what was not tried alone is retryable."""
    # Given 64 records that each make Salesforce refuse the whole call, even after the fields were read again
    ghost = insist_on_a_ghost(org)
    org.adapter.describe_fields(org.tokens, "Lead", scope=CallScope())
    ((key, (read_at, fields)),) = org.adapter._describes._known.items()
    org.adapter._describes._known[key] = (read_at - 120, fields)
    records = [person(index, email=None, ghost="boo") for index in range(64)]

    # When they are pushed
    before = len(org.calls())
    result = org.push("Lead", records, options=PushOptions("Lead", mode="create"), extra=(ghost,))

    # Then at most 2 * log2(64) + 8 calls were made beside the first, its repetition and the describe between them
    assert len(org.calls()) - before <= 3 + 2 * 6 + 8
    assert {code for outcome in result.outcomes for code in codes(outcome)} == {"unknown_field", "split_budget_spent"}
    assert all(outcome.retryable for outcome in result.outcomes if codes(outcome) == ["split_budget_spent"])


def test_what_salesforce_refuses_for_one_record_is_translated(org: ConnectedOrg) -> None:
    """A validation rule's own words reach the reader, without what no database can hold."""
    # Given an admin's rule and an org that writes unstorable characters
    org.switch(validation_rule=True, poison_messages=True)

    # When one of two records breaks the rule
    good, bad = org.push("Lead", [person(0), person(1, description="forbidden words")]).outcomes

    # Then
    assert (good.action, codes(bad)) == ("created", ["validation_rule"])
    failure = bad.errors[0]
    assert failure.message == "The description must not contain this word. Ask your Salesforce administrator."
    assert (failure.field, failure.crm_code) == ("description", "FIELD_CUSTOM_VALIDATION_EXCEPTION")


@pytest.mark.parametrize(
    ("switch", "code", "retryable"),
    [
        ({"row_lock_next": 1}, "record_locked", True),
        ({"storage_full": True}, "storage_full", False),
    ],
)
def test_faults_of_single_records_say_whether_a_retry_helps(
    org: ConnectedOrg, switch: dict[str, Any], code: str, *, retryable: bool
) -> None:
    """A locked row may be sent again, a full org not."""
    # Given
    org.switch(**switch)

    # When
    outcome = org.push_one("Lead", person(0))

    # Then
    assert (codes(outcome), outcome.retryable) == ([code], retryable)


def test_duplicate_rules_that_alert_pass_and_those_that_block_do_not(org: ConnectedOrg) -> None:
    """The duplicate header lets alerts pass; a blocking rule is a conflict."""
    # Given two accounts' names in use
    org.store("Account", {"Name": "Acme", "Website": "acme.example"})
    record = CrmRecord({"company_name": "Acme", "company_domain": "acme.io"})

    # When a second Acme is pushed under both kinds of rule
    org.switch(duplicate_rule="block")
    blocked = org.push_one("Account", record)
    org.switch(duplicate_rule="alert")
    alerted = org.push_one("Account", record)

    # Then
    assert (codes(blocked), alerted.action) == (["duplicate_detected"], "created")


def test_a_lost_reply_of_a_create_is_retryable_with_a_match_value_only(org: ConnectedOrg) -> None:
    """Without a match value nobody can tell whether the record was made: it is not sent again."""
    # Given an org that carries the next write out and then cuts the connection
    people = [person(0), person(1, email=None)]
    org.push("Lead", [person(9)])
    org.adapter.push_records  # noqa: B018 - the describe is known now: the look-up comes first
    scope = _CutBefore(org, nth=2)

    # When
    result = org.push("Lead", people, options=PushOptions("Lead", mode="create", scope=scope))

    # Then
    known, unknown = result.outcomes
    assert isinstance(result.interrupted_by, CrmUnavailable)
    assert (codes(known), known.retryable) == (["crm_unavailable"], True)
    assert (codes(unknown), unknown.retryable) == (["outcome_unknown"], False)

    # And the retry finds what was made
    again = org.push_one("Lead", person(0), mode="create")
    assert again.action == "skipped"


class _CutBefore(CallScope):
    """Lets the sandbox lose the reply of the nth call."""

    def __init__(self, org: ConnectedOrg, nth: int) -> None:
        super().__init__(before_send=self._count)
        self._org, self._nth, self._seen = org, nth, 0

    def _count(self, _timeout_s: float) -> None:
        self._seen += 1
        if self._seen == self._nth:
            self._org.switch(lose_reply_next=1)


@pytest.mark.parametrize(
    ("switch", "expected"),
    [
        ({"quota_exceeded_next": 1}, QuotaExhausted),
        ({"concurrent_exceeded_next": 1}, RateLimited),
        ({"error_500_next": 1}, CrmUnavailable),
        ({"html_503_next": 1, "retry_after_s": 7}, CrmUnavailable),
    ],
)
def test_run_level_faults_before_the_first_write_are_raised(
    org: ConnectedOrg, switch: dict[str, Any], expected: type[Exception]
) -> None:
    """Nothing was written, so the whole command may be tried again."""
    # Given
    org.switch(**switch)

    # When / Then
    with pytest.raises(expected) as raised:
        org.push("Lead", [person(0)])
    if "retry_after_s" in switch:
        assert getattr(raised.value, "retry_after_s", None) == 7


def test_a_quota_that_ends_between_two_writes_interrupts_the_push(org: ConnectedOrg) -> None:
    """What was written stays final; what was not is failed and retryable."""
    # Given one known lead, and a quota that ends with the third data call of the push (look-up, update, create)
    org.push("Lead", [person(0)])
    used = len(org.calls())
    org.switch(daily_quota=used + 2)

    # When
    result = org.push("Lead", [person(0, job_title="CTO"), person(1)])

    # Then
    assert isinstance(result.interrupted_by, QuotaExhausted)
    assert [outcome.action for outcome in result.outcomes] == ["updated", "failed"]
    assert (codes(result.outcomes[1]), result.outcomes[1].retryable) == (["quota_exhausted"], True)


def test_an_expired_session_is_said_before_anything_is_written(org: ConnectedOrg) -> None:
    """401 is for the caller: refresh once, try once more."""
    # When / Then
    with pytest.raises(AccessTokenRejected):
        with_token(org, "00Dbroken!token").push("Lead", [person(0)])


def test_a_lost_lease_stops_the_push_at_once(org: ConnectedOrg) -> None:
    """No call leaves after the scope refused."""

    def refuse(_timeout_s: float) -> None:
        raise LeaseLost("gone")

    # When / Then
    with pytest.raises(LeaseLost):
        org.push("Lead", [person(0)], options=PushOptions("Lead", scope=CallScope(before_send=refuse)))
    assert org.calls() == []


def test_an_object_that_does_not_exist_refuses_the_command(org: ConnectedOrg) -> None:
    """Unknown objects and names that are code are refused with a stable code."""
    for name in ("Nonsense__c", "Lead; DROP"):
        # When / Then
        with pytest.raises(CommandRefused) as refused:
            org.adapter.push_records(
                org.tokens, [person(0)], (FieldMapping("email", "Email"),), options=PushOptions(name)
            )
        assert refused.value.code == "no_mapping_for_entity"


def test_a_pull_neither_skips_nor_repeats_when_records_share_an_instant(org: ConnectedOrg) -> None:
    """Pages of 7 over 60 records of one transaction bring each once; the last cursor brings only what comes after."""
    # Given 60 leads of one instant and one page size that fits nowhere
    org.push("Lead", [person(index) for index in range(60)])
    mappings = org.adapter.default_mappings("Lead")
    seen: list[str | None] = []
    cursor: str | None = None

    # When they are pulled page by page
    for _ in range(20):
        page = org.adapter.pull_records(org.tokens, "Lead", mappings, 7, options=PullOptions(cursor=cursor))
        seen += [record.crm_id for record in page]
        cursor = page.cursor
        if not page.has_more:
            break

    # Then each came once, and the cursor brings later changes only
    assert sorted(map(str, seen)) == sorted(row["Id"] for row in org.stored("Lead"))
    org.push("Lead", [person(3, job_title="CTO")])
    later = org.adapter.pull_records(org.tokens, "Lead", mappings, 200, options=PullOptions(cursor=cursor))
    assert [record.fields["email"] for record in later] == ["p3@acme.io"]
    assert later.records[0].fields["full_name"] == "N3"


def test_a_pull_brings_typed_values_and_deleted_records_on_request(org: ConnectedOrg) -> None:
    """Numbers are numbers, empty fields null, and deletions are told when they are asked for."""
    # Given two accounts, one deleted
    kept, gone = org.store(
        "Account",
        {"Name": "Acme", "Website": "https://www.acme.io", "NumberOfEmployees": 12, "AnnualRevenue": 1000000},
        {"Name": "Gone"},
    )
    org.adapter.delete_records(org.tokens, "Account", [gone], scope=CallScope())
    mappings = org.adapter.default_mappings("Account")

    # When
    live = org.adapter.pull_records(org.tokens, "account", mappings, 200)
    every = org.adapter.pull_records(org.tokens, "Account", mappings, 200, options=PullOptions(include_deleted=True))

    # Then
    (record,) = live.records
    assert (record.crm_id, record.fields["employee_count"], record.fields["annual_revenue"]) == (kept, 12, 1000000)
    assert (record.fields["company_domain"], record.fields["phone"]) == ("acme.io", None)
    assert {(one.crm_id, one.deleted) for one in every} == {(kept, False), (gone, True)}


def test_next_pages_are_followed_on_the_org_only(org: ConnectedOrg) -> None:
    """A next page that points elsewhere is refused: it would carry the token there."""
    # Given pages of 5 rows
    org.push("Lead", [person(index) for index in range(12)])
    mappings = org.adapter.default_mappings("Lead")
    org.switch(query_batch_size=5)

    # When / Then
    assert len(org.adapter.pull_records(org.tokens, "Lead", mappings, 200)) == 12
    for prefix in ("https://evil.example", "//evil.example", "@evil.example"):
        org.switch(next_records_url_prefix=prefix)
        with pytest.raises(GiveUp):
            org.adapter.pull_records(org.tokens, "Lead", mappings, 200)


@pytest.mark.parametrize("cursor", ["x", "bm9uc2Vuc2U", "WzEsIkxlYWQiLCIyMDI2JyBPUiAnMSIsbnVsbF0", "é"])
def test_a_foreign_cursor_is_refused(org: ConnectedOrg, cursor: str) -> None:
    """Cursors are checked before they become a query."""
    # When / Then
    with pytest.raises(CommandRefused) as refused:
        org.adapter.pull_records(org.tokens, "Lead", (), 10, options=PullOptions(cursor=cursor))
    assert refused.value.code == "invalid_cursor"


def test_a_cursor_of_another_object_is_refused(org: ConnectedOrg) -> None:
    """A cursor belongs to one object."""
    # Given
    page = org.adapter.pull_records(org.tokens, "Contact", (), 10)

    # When / Then
    with pytest.raises(CommandRefused):
        org.adapter.pull_records(org.tokens, "Lead", (), 10, options=PullOptions(cursor=page.cursor))


def test_deleting_by_id_leaves_other_objects_alone(org: ConnectedOrg) -> None:
    """Salesforce deletes whatever an id stands for: only ids of the named object are passed on."""
    # Given a lead and a contact
    (lead,) = org.store("Lead", {"LastName": "L", "Company": "A"})
    (contact,) = org.store("Contact", {"LastName": "C"})

    # When both ids are deleted as leads
    gone = org.adapter.delete_records(org.tokens, "Lead", [lead[:15], contact, "nonsense"], scope=CallScope())

    # Then
    assert gone == {lead[:15]: True, contact: False, "nonsense": False}
    assert len(org.stored("Contact")) == 1


def test_tokens_that_point_elsewhere_are_not_used(org: ConnectedOrg) -> None:
    """A stored instance_url outside of Salesforce gets no call."""
    # Given
    stray = replace(org, tokens=replace(org.tokens, instance_url="https://salesforce.com.evil.example"))

    # When / Then
    with pytest.raises(GiveUp):
        stray.push("Lead", [person(0)])


def test_tokens_survive_their_own_json(org: ConnectedOrg) -> None:
    """What the adapter puts into tokens is JSON."""
    # When / Then
    assert OAuthTokens.from_json(org.tokens.to_json()) == org.tokens
