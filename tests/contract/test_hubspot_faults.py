"""HubSpot at its worst: partial, silent, refused, lost and late answers; each record still has its true outcome."""

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from crm.errors import (
    AccessTokenRejected,
    CrmUnavailable,
    LeaseLost,
    PermissionDenied,
    QuotaExhausted,
    RateLimited,
)
from crm.model import CallScope, CrmRecord, PushOptions
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


@pytest.mark.parametrize("status", [200, 207])
def test_errors_are_found_in_any_2xx_reply(portal: ConnectedPortal, status: int) -> None:
    """A partial failure is read from `errors`, whatever 2xx status HubSpot sends it with."""
    # Given a rule of the account that one record breaks, and the status
    portal.switch(trace_partial_status=status, admin_required_properties=["company"])
    records = [CrmRecord({"email": "a@acme.io", "company_name": "Acme"}), CrmRecord({"email": "b@acme.io"}, index=1)]

    # When both are pushed
    good, bad = portal.push("contacts", records).outcomes

    # Then one landed, and the other says what is missing
    assert good.action == "created"
    assert (bad.action, bad.errors[0].code, bad.errors[0].crm_field) == ("failed", "required_field_missing", "company")
    assert bad.errors[0].crm_code == "REQUIRED_FIELD"


def test_a_batch_that_is_refused_whole_is_split_down_to_the_offender(portal: ConnectedPortal) -> None:
    """Where trace ids bring no partial success, halving finds the offender; all others land."""
    # Given an account that refuses batches as a whole, and one bad record of 100
    portal.switch(email_partial_upsert=False, admin_required_properties=["lastname"])
    records = [
        CrmRecord({"email": f"p{index}@acme.io"} | ({"last_name": "N"} if index != 61 else {}), index=index)
        for index in range(100)
    ]

    # When they are pushed
    before = portal.calls()
    result = portal.push("contacts", records)

    # Then 99 landed, one failed with its reason, within the split budget
    failed = [outcome for outcome in result.outcomes if outcome.action == "failed"]
    assert [(outcome.index, outcome.errors[0].code) for outcome in failed] == [(61, "required_field_missing")]
    assert len(portal.stored("contacts")) == 99
    assert portal.calls() - before <= 2 + 22


def test_a_spent_split_budget_leaves_records_to_be_sent_again(portal: ConnectedPortal) -> None:
    """When too many records are bad, what was not sent on its own is `split_budget_spent` and retryable."""
    # Given a whole batch of records that the account refuses
    portal.switch(email_partial_upsert=False, admin_required_properties=["company"])

    # When it is pushed
    result = portal.push("contacts", people(100))

    # Then the calls are bounded, nothing counts as written, and the unsent ones may be sent again
    codes = {outcome.errors[0].code for outcome in result.outcomes}
    assert codes == {"required_field_missing", "split_budget_spent"}
    assert portal.calls() <= 2 + 22
    assert all(outcome.retryable for outcome in result.outcomes if outcome.errors[0].code == "split_budget_spent")
    assert portal.stored("contacts") == []


def test_silence_about_a_record_is_a_failure(portal: ConnectedPortal) -> None:
    """A 2xx reply with empty lists has failed every record: `no_answer_for_record`."""
    # Given an account that answers nothing once
    portal.switch(silent_failure_next=1)

    # When two contacts are pushed
    result = portal.push("contacts", people(2))

    # Then both are failed
    assert {outcome.errors[0].code for outcome in result.outcomes} == {"no_answer_for_record"}


def test_results_that_are_left_out_fail_only_their_records(portal: ConnectedPortal) -> None:
    """Fewer results than inputs: the missing ones are failed, the shuffled others keep their own ids."""
    # Given an account that leaves out every third result
    portal.switch(silent_drop_every=3)

    # When nine contacts are pushed
    result = portal.push("contacts", people(9))

    # Then three have no answer, and the ids of the others are right
    stored = {row["properties"]["email"]: row["id"] for row in portal.stored("contacts")}
    answered = [outcome for outcome in result.outcomes if outcome.action == "created"]
    assert len(answered) == 6
    assert all(outcome.crm_id == stored[str(outcome.match_value)] for outcome in answered)


@pytest.mark.parametrize(
    ("switches", "error", "wait_s"),
    [
        ({"rate_limited_next": -1}, RateLimited, 10.0),
        ({"rate_limited_next": -1, "rate_limit_policy": "SECONDLY", "rate_limit_body": "category"}, RateLimited, 1.0),
        ({"rate_limited_next": -1, "rate_limit_policy": "DAILY"}, QuotaExhausted, 3600.0),
        ({"rate_limited_next": -1, "retry_after_s": 7}, RateLimited, 7.0),
        ({"locked_423_next": -1}, CrmUnavailable, 2.0),
        ({"moving_477_next": -1, "retry_after_s": 900}, CrmUnavailable, 900.0),
    ],
)
def test_refusals_before_the_first_write_are_raised(
    portal: ConnectedPortal, switches: dict[str, Any], error: type[RateLimited], wait_s: float
) -> None:
    """Rate limits, quotas and locks are errors of their own, with the seconds to wait."""
    # Given an account in that state
    portal.push("contacts", people(1))
    portal.switch(**switches)

    # When a contact is pushed / Then the error says what to do
    with pytest.raises(error) as raised:
        portal.push("contacts", people(1))
    assert raised.value.retry_after_s == wait_s


def test_a_limit_between_two_calls_interrupts_and_keeps_what_is_done(portal: ConnectedPortal) -> None:
    """When the second of two batches is refused, the first one's outcomes are final and the second's are retryable."""
    # Given an account that allows the metadata and one write
    portal.switch(ten_secondly_limit=2)

    # When 150 contacts are pushed
    result = portal.push("contacts", people(150))

    # Then 100 landed, and 50 wait for another attempt
    assert isinstance(result.interrupted_by, RateLimited)
    assert [outcome.action for outcome in result.outcomes] == ["created"] * 100 + ["failed"] * 50
    assert all(outcome.retryable and outcome.errors[0].code == "rate_limited" for outcome in result.outcomes[100:])


def test_a_lost_answer_leaves_upserts_retryable(portal: ConnectedPortal) -> None:
    """A reply that never came interrupts the push; an upsert by e-mail may simply be sent again."""
    # Given a connection that is cut after the write was carried out
    portal.push("contacts", people(1))
    portal.switch(lose_reply_next=1)

    # When contacts are pushed, and then again
    lost = portal.push("contacts", people(3, start=5))
    again = portal.push("contacts", people(3, start=5))

    # Then nothing is doubled
    assert isinstance(lost.interrupted_by, CrmUnavailable)
    assert all(outcome.retryable for outcome in lost.outcomes)
    assert {outcome.action for outcome in again.outcomes} == {"updated"}
    assert len(portal.stored("contacts")) == 4


def test_a_lost_create_without_match_value_is_never_repeated(portal: ConnectedPortal) -> None:
    """A create that nothing can find again is `outcome_unknown` and not retryable; one with a match value is."""
    # Given two creates, one without e-mail, whose answer is lost
    portal.push("contacts", people(1))
    scope = CallScope()

    def lose_the_write(_timeout_s: float) -> None:
        portal.switch(lose_reply_next=scope.api_calls)  # nothing was sent before the look-up, one call before the write

    scope.before_send = lose_the_write
    records = [CrmRecord({"last_name": "Nobody"}), CrmRecord({"email": "a@acme.io"}, index=1)]

    # When the write's answer is lost, the look-up before it not
    options = PushOptions("contacts", mode="create", scope=scope)
    nameless, named = portal.push("contacts", records, options=options).outcomes

    # Then only the one that can be looked up may be sent again
    assert (nameless.errors[0].code, nameless.retryable) == ("outcome_unknown", False)
    assert (named.errors[0].code, named.retryable) == ("crm_unavailable", True)


@pytest.mark.parametrize("fault", ["html_503_next", "error_500_next"])
def test_server_faults_are_unavailable_and_may_have_arrived(portal: ConnectedPortal, fault: str) -> None:
    """After a 5xx, HTML or not, a write may have been carried out: the push is interrupted, not forgotten."""
    # Given an account whose server fails once
    portal.push("contacts", people(1))
    portal.switch(**{fault: 1})

    # When a contact is pushed
    result = portal.push("contacts", people(1))

    # Then it is retryable
    assert isinstance(result.interrupted_by, CrmUnavailable)
    assert result.interrupted_by.may_have_arrived
    assert result.outcomes[0].retryable


def test_an_expired_token_and_a_missing_scope_are_told_apart(portal: ConnectedPortal) -> None:
    """401 asks for a refresh, 403 for a person's rights."""
    # Given a token without write access, then an expired one
    reader = portal.tokens_with("oauth", "crm.objects.contacts.read")

    # When contacts are pushed with each / Then the errors differ
    with pytest.raises(PermissionDenied):
        portal.push("contacts", people(1), tokens=reader)
    portal.expire()
    with pytest.raises(AccessTokenRejected):
        portal.push("contacts", people(1))


def test_no_call_leaves_without_leave(portal: ConnectedPortal) -> None:
    """A worker that lost its partition sends nothing: `LeaseLost` passes through, even between two calls."""
    # Given a scope that refuses the third call
    asked: list[float] = []

    def before_send(timeout_s: float) -> None:
        asked.append(timeout_s)
        if len(asked) == 3:
            raise LeaseLost("the partition has another owner")

    # When two batches are pushed / Then the second one's refusal is raised, after one write
    with pytest.raises(LeaseLost):
        portal.push("contacts", people(150), options=PushOptions("contacts", scope=CallScope(before_send)))
    assert len(portal.stored("contacts")) == 100


def test_poisoned_texts_are_cleaned(portal: ConnectedPortal) -> None:
    """NUL and lone surrogates in HubSpot's messages never reach an outcome."""
    # Given messages that no database can store
    portal.switch(poison_messages=True, admin_required_properties=["company"])

    # When a record is refused
    outcome = portal.push("contacts", people(1)).outcomes[0]

    # Then its texts can be stored
    assert outcome.errors[0].code == "required_field_missing"
    assert "\x00" not in outcome.errors[0].message
    outcome.errors[0].message.encode()


FAULTS = st.fixed_dictionaries(
    {
        "trace_partial_status": st.sampled_from([200, 207]),
        "email_partial_upsert": st.booleans(),
        "silent_drop_every": st.sampled_from([0, 0, 3, 7]),
        "silent_failure_next": st.sampled_from([0, 0, 1]),
        "shuffle_results": st.booleans(),
        "admin_required_properties": st.sampled_from([[], ["lastname"]]),
        "ten_secondly_limit": st.sampled_from([0, 0, 2, 5]),
    }
)
ROWS = st.lists(
    st.fixed_dictionaries(
        {"email": st.sampled_from([f"p{index}@acme.io" for index in range(130)] + ["broken"])},
        optional={"last_name": st.sampled_from(["Ng", "O'Neil"]), "city": st.sampled_from(["Riga", "Łódź"])},
    ),
    min_size=1,
    max_size=200,
)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(faults=FAULTS, rows=ROWS)
def test_no_outcome_lies(server: SandboxServer, faults: dict[str, Any], rows: list[dict[str, str]]) -> None:
    """Under any mixture of faults: one outcome each, `created` is stored under its id, a refusal is not stored."""
    # Given an account with some faults and any records
    with connected_portal(server.origin) as portal:
        portal.adapter.describe_fields(portal.tokens, "contacts", scope=CallScope())
        portal.switch(**faults)

        # When the records are pushed
        try:
            result = portal.push("contacts", [CrmRecord(dict(row), index=index) for index, row in enumerate(rows)])
        except RateLimited:
            assert portal.stored("contacts") == []
            return

        # Then every record has an outcome, and it is true
        stored = {row["properties"]["email"]: row["id"] for row in portal.stored("contacts")}
        assert [outcome.index for outcome in result.outcomes] == list(range(len(rows)))
        for outcome, row in zip(result.outcomes, rows, strict=True):
            if outcome.action == "failed":
                never_stored = {"invalid_email", "required_field_missing", "split_budget_spent", "not_sent"}
                assert outcome.errors[0].code not in never_stored or row["email"] not in stored
            else:
                assert outcome.action == ("created" if outcome.merged_into is None else "updated")
                assert outcome.crm_id == stored[row["email"]]
