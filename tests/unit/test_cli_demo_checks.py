"""The demo's checker must see every kind of lie: each claim fails when its evidence is wrong."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import pytest

from cli.demo.checks import Account, check_all, expected_codes, summary
from cli.demo.evidence import Evidence
from cli.demo.expected import differences, expected_records
from cli.demo.syncs import Pull, Push, sample_records
from schemas.command import PullCommand, PushCommand, PushRecord
from schemas.records import PulledRecord, PulledRecords
from schemas.result import Counts, Outcome, PullSummary, SyncResult

WORKSPACE = UUID(int=1)
NOW = datetime(2026, 11, 22, tzinfo=UTC)
ADA = {"email": "Ada@example.com", "last_name": "Lovelace", "job_title": "Analyst"}
KEY = ("Lead", "00Q1")
STORED = {"Id": "00Q1", "Email": "ada@example.com", "LastName": "Lovelace", "Title": "Countess", "IsDeleted": False}


def _push(slug: str, entity: str, records: Sequence[dict[str, Any]], outcomes: Sequence[Outcome]) -> Push:
    command = PushCommand(
        command_id=str(uuid4()),
        workspace_id=WORKSPACE,
        integration=slug,
        entity=entity,
        direction="push",
        records=[PushRecord(ref=f"r{n}", fields=fields) for n, fields in enumerate(records)],
    )
    counts = Counts(**{outcome.action: 0 for outcome in outcomes}).model_dump()
    for outcome in outcomes:
        counts[outcome.action] += 1
    result = _result(str(command.command_id), slug, counts=Counts(**counts), outcomes=list(outcomes))
    return Push(slug, (command,), (result,))


def _result(command_id: str, slug: str, **content: Any) -> SyncResult:
    counts: Counts = content.setdefault("counts", Counts())
    success = counts.created + counts.updated + counts.unchanged
    return SyncResult.model_validate(
        {
            "command_id": command_id,
            "sync_id": uuid4(),
            "workspace_id": WORKSPACE,
            "integration": slug,
            "direction": "push",
            "status": "completed",
            "record_count": success + counts.failed,
            "success_count": success,
            "failure_count": counts.failed,
            "skipped_count": 0,
            "started_at": NOW,
            "completed_at": NOW,
            "api_calls": 2,
            **content,
        }
    )


def _story() -> tuple[Account, Evidence]:
    """Two records that are one person, pushed twice, pulled once; everything as it should be."""
    both = [ADA, {"email": "ada@example.com", "job_title": "Countess"}]

    def outcomes(action: str) -> list[Outcome]:
        first = {"index": 0, "ref": "ctc_003", "crm_id": "00Q1", "action": action}
        merged = {"index": 1, "ref": "ctc_037", "crm_id": "00Q1", "action": action, "merged_into": 0}
        return [Outcome.model_validate(first), Outcome.model_validate(merged)]

    first = _push("salesforce", "person", both, outcomes("created"))
    again = _push("salesforce", "person", both, outcomes("updated"))
    pull = PullCommand(
        command_id="pull", workspace_id=WORKSPACE, integration="salesforce", entity="person", direction="pull"
    )
    pulled = _result("pull", "salesforce", direction="pull", pull=PullSummary(cursor="x", has_more=False))
    account = Account(
        {"salesforce": first, "hubspot": _push("hubspot", "person", [ADA], [])},
        {"salesforce": again},
        {"salesforce": Pull("salesforce", (pull,), (pulled,))},
    )
    account = replace(account, first={"salesforce": first})
    page = PulledRecords(
        command_id="pull",
        sync_id=uuid4(),
        workspace_id=WORKSPACE,
        connection_id=uuid4(),
        integration="salesforce",
        entity="person",
        crm_object="Lead",
        records=[PulledRecord(crm_id="00Q1", fields={})],
    )
    results = (*first.results, *again.results, pulled)
    ids = tuple(result.command_id for result in results)
    return account, Evidence(results, (page,), ids, {"salesforce": {KEY: STORED}})


def _broken(account: Account, evidence: Evidence) -> list[int]:
    return [number for number, check in enumerate(check_all(account, evidence)) if not check.holds]


def test_a_true_story_holds() -> None:
    """When everything is as claimed, nothing speaks against it."""
    # Given
    account, evidence = _story()
    # When / Then
    assert _broken(account, evidence) == []


@pytest.mark.parametrize(
    ("stored", "words"),
    [
        ({KEY: {**STORED, "Title": "Analyst"}}, "Title: pushed 'Countess', stored 'Analyst'"),
        ({KEY: {**STORED, "LastName": None}}, "LastName: pushed 'Lovelace', stored ''"),
        ({}, "was pushed but is not stored"),
        ({KEY: STORED, ("Lead", "00Q2"): STORED}, "00Q2 is stored but was not pushed"),
    ],
)
def test_what_a_crm_holds_is_compared_field_by_field(stored: dict[Any, Any], words: str) -> None:
    """A changed, missing or extra value or record is a difference."""
    # Given
    account, _ = _story()
    # When
    found = differences(expected_records(account.first["salesforce"]), stored)
    # Then
    assert any(words in difference for difference in found)


def test_lost_and_doubled_results_are_seen() -> None:
    """A result event that is missing, doubled, or without its history row breaks the last claim alone."""
    # Given
    account, evidence = _story()
    lies = [
        replace(evidence, results=evidence.results[1:]),
        replace(evidence, results=(*evidence.results, evidence.results[0])),
        replace(evidence, history_commands=evidence.history_commands[1:]),
    ]
    # When
    broken = [_broken(account, lie) for lie in lies]
    # Then
    assert broken == [[5], [5], [5]]
    assert lies[1].duplicate_results == 1


def test_records_that_were_not_pulled_or_came_twice_are_seen() -> None:
    """The pulls must bring every stored record, once."""
    # Given
    account, evidence = _story()
    page = evidence.pulled[0]
    # When
    broken = [_broken(account, replace(evidence, pulled=())), _broken(account, replace(evidence, pulled=(page, page)))]
    # Then
    assert broken == [[3], [3]]


def test_a_second_push_that_creates_is_seen() -> None:
    """Pushing again must create nothing."""
    # Given
    account, evidence = _story()
    lie = replace(account, again=account.first)
    published = [*lie.command_ids]
    evidence = replace(evidence, history_commands=tuple(published))
    # When / Then
    assert 4 in _broken(lie, evidence)


def test_a_dirty_row_without_its_reason_is_seen() -> None:
    """A row that went in although it should have been merged or refused breaks a claim; so does a lost outcome."""
    # Given
    account, evidence = _story()
    push = account.first["salesforce"]
    plain = push.results[0].outcomes[1].model_copy(update={"merged_into": None})
    unmerged = push.results[0].model_copy(update={"outcomes": [push.results[0].outcomes[0], plain]})
    cut = push.results[0].model_copy(update={"outcomes": push.results[0].outcomes[:1]})
    # When
    broken = [
        _broken(replace(account, first={"salesforce": replace(push, results=(result,))}), evidence)
        for result in (unmerged, cut)
    ]
    # Then
    assert broken[0] == [1]
    assert 0 in broken[1]


def test_domain_stands_in_for_a_website_at_salesforce_alone() -> None:
    """A domain without a website is the Website in Salesforce, which has no domains, and the domain in HubSpot."""
    # Given
    company = {"company_name": "Acme", "company_domain": "www.ACME.example", "company_industry": "Computer software"}
    done = [Outcome(index=0, crm_id="1", action="created")]
    # When
    salesforce = expected_records(_push("salesforce", "company", [company], done))
    hubspot = expected_records(_push("hubspot", "company", [company], done))
    # Then
    website = {"Name": "Acme", "Website": "www.ACME.example", "Industry": "Computer software"}
    assert salesforce == {("Account", "1"): website}
    assert hubspot == {("companies", "1"): {"name": "Acme", "domain": "acme.example", "industry": "COMPUTER_SOFTWARE"}}


def test_the_samples_are_what_the_demo_says() -> None:
    """250 contacts and 60 companies with unique refs; every dirty row that is listed is there."""
    # Given
    records = sample_records()
    # When
    refs = [record.ref for entity in records for record in records[entity]]
    dirty = {ref for codes in expected_codes().values() for ref in codes}
    # Then
    assert {entity: len(found) for entity, found in records.items()} == {"person": 250, "company": 60}
    assert len(set(refs)) == 310
    assert dirty <= set(refs)
    assert 30 <= len(dirty) <= 60


def test_summary_counts_what_was_read_back() -> None:
    """The JSON line takes its numbers from the evidence, not from what was sent."""
    # Given
    account, evidence = _story()
    account = replace(
        account,
        first={**account.first, "hubspot": Push("hubspot", (), ())},
        pulls={**account.pulls, "hubspot": Pull("hubspot", (), ())},
    )
    evidence = replace(evidence, stored={**evidence.stored, "hubspot": {}})
    # When
    document = summary(account, evidence)
    # Then
    assert document["salesforce"] == {
        "push": {
            "records": 2, "created": 2, "updated": 0, "unchanged": 0, "skipped": 0, "failed": 0, "api_calls": 2,
        },
        "pull": {"records": 1},
    }  # fmt: skip
    assert (document["history_rows"], document["result_events"], document["sandbox_matches_pushed"]) == (3, 3, True)
