"""What a finished command leaves behind: counts, statuses, completion, bounds; and that history says the same."""

import json
from collections import Counter
from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from consumer.decode import Refusal
from consumer.results import Ending, build_result, finish, not_storable, sync_id_of
from consumer.work import Work
from crm.adapters.hubspot import HubSpotAdapter
from crm.http import AllowedHosts, HttpClient
from crm.model import Connection, CrmRecord, PulledPage, RecordOutcome
from crm.resolution import Resolved
from crm.settings import OAuthClient
from crm.store.group_commit import FinishedCommand
from crm.store.outbox import MAX_MESSAGE_BYTES
from crm.sync import SyncAttempt
from schemas.failure import COMMAND_FAILURES, FailureCategory
from schemas.result import Failure, OutcomeWarning, SyncResult
from schemas.topics import Topics
from services.commands_in import NOW, WORKSPACE, work

TOPICS = Topics()
CONNECTION = Connection(UUID(int=5), WORKSPACE, "hubspot", status="connected", connected_at=NOW, crm_account_id="4711")
HTTP = HttpClient(timeout_s=1, connect_timeout_s=1, allowed_hosts=AllowedHosts(("hubapi.com",)))
ADAPTER = HubSpotAdapter(
    HTTP, OAuthClient(client_id="visibly-fake", client_secret=SecretStr("visibly-fake")), api_version="2026-09"
)
RESOLVED = Resolved(CONNECTION, ADAPTER, "contacts", ())
ACTIONS = ["created", "updated", "unchanged", "skipped", "failed"]
BROKEN = Failure(code="value_too_long", category=FailureCategory.BAD_DATA, message="too long")


def pushed(*actions: str, **changes: Any) -> Work:
    """A push of which each record came to one of `actions`; None for a record without outcome."""
    records = [{"ref": f"r{index}", "fields": {"email": f"{index}@example.com"}} for index in range(len(actions))]
    done = work(records=records, **changes)
    done.attempt = 1
    for index, action in enumerate(actions):
        if action:
            errors = (BROKEN,) if action == "failed" else ()
            done.outcomes[index] = RecordOutcome(index, action, ref=f"r{index}", errors=errors)
    return done


def result_in(finished: FinishedCommand, topic: str = TOPICS.results) -> dict[str, Any]:
    """The event that goes to a topic."""
    (message,) = (message for message in finished.messages if message.topic == topic)
    content: dict[str, Any] = json.loads(message.value or b"")
    return content


@given(actions=st.lists(st.sampled_from(ACTIONS), min_size=1, max_size=200))
def test_counts_add_up_to_the_input(actions: list[str]) -> None:
    """Record count = success + failure + skipped = the records of the command; success = created+updated+unchanged."""
    # Given, When
    result = build_result(pushed(*actions), Ending(SyncAttempt(RESOLVED)), NOW)
    # Then
    counts = Counter(actions)
    assert result.record_count == len(actions) == len(result.outcomes)
    assert result.success_count == counts["created"] + counts["updated"] + counts["unchanged"]
    assert (result.failure_count, result.skipped_count) == (counts["failed"], counts["skipped"])
    assert result.success_count + result.failure_count + result.skipped_count == result.record_count
    assert result.counts.model_dump() == {action: counts[action] for action in ACTIONS}
    assert [outcome.index for outcome in result.outcomes] == list(range(len(actions)))


@pytest.mark.parametrize(
    ("actions", "status"),
    [
        (["created"], "completed"),
        (["unchanged", "skipped"], "completed"),
        (["skipped"], "completed"),
        (["created", "failed"], "partial"),
        (["failed"], "failed"),
        (["failed", "skipped"], "failed"),
    ],
)
def test_the_status_follows_the_outcomes(actions: list[str], status: str) -> None:
    """`failed` when nothing succeeded and something failed, `partial` when both, else `completed`."""
    # Given, When
    result = build_result(pushed(*actions), Ending(SyncAttempt(RESOLVED)), NOW)
    # Then
    assert result.status == status


@pytest.mark.parametrize("code", sorted(COMMAND_FAILURES))
def test_a_refused_command_fails_every_record_with_its_reason(code: str) -> None:
    """No record is left without an outcome: each carries the command's own failure."""
    # Given
    refused = pushed("", "", "")
    # When
    result = build_result(refused, Ending(refusal=Refusal(code, "the reason", "entity")), NOW)
    # Then
    assert (result.status, result.failure_count, result.record_count) == ("failed", 3, 3)
    assert result.error is not None
    assert (result.error.code, result.error.message, result.error.field) == (code, "the reason", "entity")
    assert result.error.category == COMMAND_FAILURES[code].category
    assert [(outcome.ref, outcome.errors) for outcome in result.outcomes] == [
        (f"r{index}", [result.error]) for index in range(3)
    ]


def test_a_push_that_was_given_up_half_way_keeps_what_was_done() -> None:
    """Records with an outcome keep it; the others fail with the command's reason; the status is partial."""
    # Given
    half = pushed("created", "", "failed", "")
    # When
    result = build_result(half, Ending(SyncAttempt(RESOLVED), Refusal("crm_unavailable", "503 all day")), NOW)
    # Then
    assert result.status == "partial"
    assert [outcome.action for outcome in result.outcomes] == ["created", "failed", "failed", "failed"]
    assert [outcome.errors[0].code for outcome in result.outcomes[1:]] == [
        "crm_unavailable", "value_too_long", "crm_unavailable",
    ]  # fmt: skip


@pytest.mark.parametrize("records", [..., None, "all", {"a": 1}, [{}] * 201])
def test_a_command_whose_records_cannot_be_counted_has_no_outcomes(records: Any) -> None:
    """Without a readable list of at most 200 records the error stands for the whole; counts are 0."""
    # Given
    refused = work(records=records)
    # When
    result = build_result(refused, Ending(refusal=refused.refusal), NOW)
    # Then
    assert result.error is not None
    assert (result.error.code, result.status) == ("invalid_command", "failed")
    assert (result.record_count, result.outcomes) == (0, [])


def test_refused_records_of_any_shape_have_an_outcome() -> None:
    """Records that are no objects, or have a ref of another type, are counted and answered too."""
    # Given
    refused = work(records=[7, {"ref": 8}, {"ref": "mine\u0000"}, None])
    # When
    result = build_result(refused, Ending(refusal=refused.refusal), NOW)
    # Then
    assert [outcome.ref for outcome in result.outcomes] == [None, None, "mine", None]
    assert result.failure_count == 4


def test_a_pull_counts_what_it_brought_and_the_records_leave_on_their_own_topic() -> None:
    """Record count and success count are the page's; cursor and has_more are told; personal data stays apart."""
    # Given
    pull = work(direction="pull", records=...)
    page = PulledPage(
        (CrmRecord({"email": "a@b.c"}, crm_id="1"), CrmRecord({"email": "d@e.f"}, crm_id="2")), "cur", has_more=True
    )
    # When
    finished = finish(pull, Ending(SyncAttempt(RESOLVED, page=page)), TOPICS, NOW)
    # Then
    result, records = result_in(finished), result_in(finished, TOPICS.records)
    assert (result["record_count"], result["success_count"], result["status"]) == (2, 2, "completed")
    assert result["pull"] == {"cursor": "cur", "has_more": True}
    assert "a@b.c" not in json.dumps(result)
    assert [record["crm_id"] for record in records["records"]] == ["1", "2"]
    assert (records["cursor"], records["has_more"], records["sync_id"]) == ("cur", True, result["sync_id"])


def test_result_and_history_say_the_same() -> None:
    """The history row reads back as the very event that went out."""
    # Given
    done = pushed("created", "failed", "skipped")
    # When
    finished = finish(done, Ending(SyncAttempt(RESOLVED, record_url_template="https://x/{crm_id}")), TOPICS, NOW)
    # Then
    result, row = result_in(finished), finished.history
    assert row is not None
    same = set(result) & set(row) - {"integration"}
    assert {name: row[name] for name in same} == {name: result[name] for name in same}
    assert row["id"] == result["sync_id"]
    assert {**row["details"], **{name: row[name] for name in same}}.items() >= {
        name: result[name] for name in set(SyncResult.model_fields) - {"sync_id", "integration"}
    }.items()


def test_a_command_has_one_sync_id_and_one_dedupe_key_over_all_tries() -> None:
    """A second try, here or at another worker, stands for the same sync: its result cannot enter the outbox twice."""
    # Given
    first, second = pushed("created"), pushed("updated")
    second.attempt, second.epoch, second.offset = 3, 9, 4000
    # When
    messages = [finish(one, Ending(SyncAttempt(RESOLVED)), TOPICS, NOW).messages[0] for one in (first, second)]
    # Then
    assert sync_id_of(first) == sync_id_of(second)
    assert messages[0].dedupe_key == messages[1].dedupe_key


def test_a_reused_id_is_answered_under_an_id_of_its_own() -> None:
    """The refusal of a reused command id neither hides the first answer nor is hidden by it."""
    # Given
    first, reused = pushed("created"), pushed("")
    reused.refuse_as_reused()
    # When
    answers = [
        finish(first, Ending(SyncAttempt(RESOLVED)), TOPICS, NOW),
        finish(reused, Ending(refusal=reused.refusal), TOPICS, NOW),
    ]
    # Then
    assert [result_in(answer)["command_id"] for answer in answers] == ["c-1", "c-1"]
    assert result_in(answers[1])["error"]["code"] == "command_id_reused"
    assert len({answer.messages[0].dedupe_key for answer in answers}) == 2
    assert len({result_in(answer)["sync_id"] for answer in answers}) == 2


def test_an_outcome_that_cannot_be_stored_leaves_a_result_without_the_crms_words() -> None:
    """What PostgreSQL refuses is replaced as a whole: every record failed, `outcome_not_storable`."""
    # Given a record whose CRM text holds a NUL
    poisoned = pushed("created", "failed")
    bad = BROKEN.model_copy(update={"message": "a\u0000b"})
    poisoned.outcomes[1] = replace(poisoned.outcomes[1], errors=(bad,))
    # When
    finished = not_storable(poisoned, TOPICS, NOW)
    # Then
    result = result_in(finished)
    assert (result["status"], result["error"]["code"], result["failure_count"]) == ("failed", "outcome_not_storable", 2)
    assert "\\u0000" not in json.dumps(finished.history)
    assert finished.links == []


@pytest.mark.parametrize("character", ["x", "語", "🦊", "\u0001", '"'])
def test_the_worst_result_fits_into_a_message(character: str) -> None:
    """200 records, each with the most errors and warnings of the longest texts, stay below the message size limit."""
    # Given
    text = character * 300
    error = Failure(
        code="c" * 60, category=FailureCategory.CONFIGURATION, message=text, hint="h" * 100, field="f" * 100,
        crm_field=text[:100], crm_code=text[:100],
    )  # fmt: skip
    warning = OutcomeWarning(code="c" * 60, field="f" * 100, crm_field=text[:100], message=text)
    worst = pushed(*["failed"] * 200)
    for index in range(200):
        worst.outcomes[index] = RecordOutcome(
            index, "failed", ref="🦊" * 200, crm_id="0" * 40, errors=(error,) * 5, warnings=(warning,) * 5,
            merged_into=199,
        )  # fmt: skip
    # When
    finished = finish(worst, Ending(SyncAttempt(RESOLVED)), TOPICS, NOW)
    # Then
    (message,) = finished.messages
    assert message.size <= MAX_MESSAGE_BYTES
    result = result_in(finished)
    assert [len(outcome["errors"]) for outcome in result["outcomes"]] == [2] * 200
    assert [len(outcome["warnings"]) for outcome in result["outcomes"]] == [3] * 200
    assert finished.history is not None
    assert finished.history["outcomes"] == result["outcomes"]


def test_a_result_that_fits_keeps_its_texts_whole() -> None:
    """Texts are shortened only where a result would be too large."""
    # Given
    one = pushed("failed")
    one.outcomes[0] = replace(one.outcomes[0], errors=(BROKEN.model_copy(update={"message": "語" * 300}),))
    # When
    finished = finish(one, Ending(SyncAttempt(RESOLVED)), TOPICS, NOW)
    # Then
    assert result_in(finished)["outcomes"][0]["errors"][0]["message"] == "語" * 300


def test_the_result_goes_under_the_connections_key_with_the_commands_trace() -> None:
    """Key, CloudEvents type and traceparent let readers keep order, tell events apart and follow a trace."""
    # Given
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    done = pushed("created")
    done.readable = replace(done.readable, traceparent=trace)
    # When
    (message,) = finish(done, Ending(SyncAttempt(RESOLVED)), TOPICS, NOW).messages
    # Then
    headers = dict(message.headers)
    assert message.key == f"{WORKSPACE}:salesforce".encode()
    assert (headers["ce_type"], headers["traceparent"]) == (b"io.morket.crm.sync.result.v1", trace.encode())
