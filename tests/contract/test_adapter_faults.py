"""Every adapter of the registry against every fault of its CRM: one test for each setting of each switch."""

import logging
from collections.abc import Iterator

import pytest

from crm.errors import CrmError, LeaseLost, TryAgain
from crm.model import CallScope, CrmRecord, SyncResult
from services.adapter_bench import AdapterBench, benches
from services.adapter_invariants import check_calls, check_no_secret, check_outcomes, check_stored, check_values
from services.connected_crm import Connected, client_settings, company, connect, person

BENCHES = benches()
_MOST_TRIES = 60


def _faults() -> list[tuple[str, str]]:
    found = []
    for slug, open_bench in BENCHES.items():
        with open_bench() as bench:
            found += [(slug, name) for name in bench.faults]
    return found


@pytest.fixture(scope="module")
def running() -> Iterator[dict[str, AdapterBench]]:
    opened = {slug: open_bench() for slug, open_bench in BENCHES.items()}
    yield {slug: context.__enter__() for slug, context in opened.items()}
    for context in opened.values():
        context.__exit__(None, None, None)


@pytest.fixture
def crm(request: pytest.FixtureRequest, running: dict[str, AdapterBench], monkeypatch: pytest.MonkeyPatch) -> Connected:
    bench = running[request.param]
    for name, value in client_settings(bench).items():
        monkeypatch.setenv(name, value)
    return connect(bench)


EVERY_CRM = pytest.mark.parametrize("crm", BENCHES, indirect=True)
EVERY_FAULT = pytest.mark.parametrize(("crm", "fault"), _faults(), indirect=["crm"])


def people() -> list[CrmRecord]:
    """Two exist, seven do not, two share a key; one has none, one is too long for some CRMs, one cannot be stored."""
    records = [person(index) for index in range(9)]
    records += [person(9, email="P3@ACME.io", last_name="Twice"), person(10, email=None)]
    return [*records, person(11, last_name="L" * 400), person(12, last_name="a\0b")]


def companies() -> list[CrmRecord]:
    """One that exists, three that do not, two spellings of one domain."""
    return [*(company(index) for index in range(4)), company(4, company_domain="https://www.ACME2.io/")]


Links = dict[str, str]


def tried(
    crm: Connected, records: list[CrmRecord], crm_object: str, links: Links, logged: pytest.LogCaptureFixture
) -> SyncResult | None:
    """Push under a fault and check everything that holds in any case; None when the push was refused as a whole."""
    before = crm.stored(crm_object)
    result, error = None, None
    try:
        result = crm.push(records, crm_object, links=links)
    except CrmError as raised:
        error = raised
    after = crm.stored(crm_object)
    if result is None:
        assert after == before, "an error left the push after something was written"
    else:
        check_outcomes(records, result)
        check_stored(before, after, result)
    check_calls(crm)
    check_no_secret(crm, logged.text, result, error, result.interrupted_by if result else None)
    return result


def known_links(result: SyncResult | None) -> Links:
    """What a worker records of a push and hands to the next one."""
    outcomes = result.outcomes if result else ()
    return {one.match_value: one.crm_id for one in outcomes if one.match_value and one.crm_id}


@EVERY_FAULT
def test_a_push_tells_the_truth_whatever_the_crm_does(
    crm: Connected, fault: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Each record has its outcome, the CRM holds what they claim, and afterwards the rest lands once."""
    # Given records that exist already, and the fault
    caplog.set_level(logging.DEBUG)
    links = known_links(crm.push([person(0), person(1)]))
    company_links = known_links(crm.push([company(0)], crm.company))
    crm.bench.switch(**crm.bench.faults[fault])

    # When
    first = tried(crm, people(), crm.person, links, caplog)
    second = tried(crm, companies(), crm.company, company_links, caplog)
    crm.bench.end_faults()
    again = crm.push(people(), links=links | known_links(first))
    crm.push(companies(), crm.company, links=company_links | known_links(second))

    # Then nothing is missing and nothing is there twice
    assert again.interrupted_by is None
    failed = [one.index for one in again.outcomes if one.action == "failed"]
    assert failed in ([10, 12], [10, 11, 12])
    check_values(crm, people(), again, "last_name")
    assert len(crm.stored(crm.person)) == len({one.crm_id for one in again.outcomes if one.crm_id}) == 12 - len(failed)
    assert len(crm.stored(crm.company)) == 4


@EVERY_FAULT
def test_a_pull_brings_each_record_once_whatever_the_crm_does(
    crm: Connected, fault: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A page either comes whole or not at all; the cursor of the last good page leads on when the fault has gone."""
    # Given
    caplog.set_level(logging.DEBUG)
    made = {str(one.crm_id) for one in crm.push([person(index) for index in range(7)]).outcomes}
    crm.bench.switch(**crm.bench.faults[fault])
    seen: list[str] = []
    cursor, is_trouble, failures = None, True, 0

    # When, until a page after the fault says that there is no more
    for _ in range(_MOST_TRIES):
        try:
            page = crm.pull(3, cursor=cursor)
        except CrmError as error:
            check_no_secret(crm, caplog.text, None, error)
            assert is_trouble
            failures += 1
        else:
            seen += [str(record.crm_id) for record in page]
            cursor = page.cursor
            if not page.has_more and not is_trouble:
                break
        if is_trouble and (failures == 2 or len(seen) >= 6):
            crm.bench.end_faults()
            is_trouble = False

    # Then
    assert sorted(seen) == sorted(made)


@EVERY_FAULT
def test_a_lost_lease_is_raised_whatever_the_crm_does(crm: Connected, fault: str) -> None:
    """Refused its second call, an adapter raises `LeaseLost` and sends nothing more, whatever trouble the CRM is in."""
    # Given
    asked: list[float] = []

    def before_send(timeout_s: float) -> None:
        asked.append(timeout_s)
        if len(asked) > 1:
            raise LeaseLost("another worker owns the partition")

    crm.bench.switch(**crm.bench.faults[fault])

    # When
    raised: CrmError | None = None
    try:
        crm.push(companies(), crm.company, scope=CallScope(before_send=before_send))
    except CrmError as error:
        raised = error

    # Then it was lost, or the push ended before its second call
    assert len(asked) <= 2
    assert isinstance(raised, LeaseLost) == (len(asked) == 2)


@EVERY_CRM
def test_a_lease_lost_at_any_call_is_raised(crm: Connected) -> None:
    """At the first, the second, … call of a push or pull: always `LeaseLost`, and that call does not leave."""
    for verb in (lambda scope: crm.push(people(), scope=scope), lambda scope: crm.pull(scope=scope)):
        # Given how many calls it takes when nothing is new any more
        verb(CallScope())
        counted = CallScope()
        verb(counted)
        for allowed in range(counted.api_calls):
            left = iter(range(allowed))

            def before_send(_timeout_s: float, left: Iterator[int] = left) -> None:
                if next(left, None) is None:
                    raise LeaseLost("another worker owns the partition")

            # When / Then
            seen = len(crm.bench.calls())
            with pytest.raises(LeaseLost):
                verb(CallScope(before_send=before_send))
            assert len(crm.bench.calls()) - seen == allowed


@EVERY_CRM
def test_a_push_of_the_most_records_stays_within_the_batch_limit(crm: Connected) -> None:
    """Two hundred records leave in calls of at most `batch_size`, whether they are created or updated."""
    # Given
    records = [person(index) for index in range(200)]

    # When
    made = crm.push(records)
    changed = crm.push([person(index, job_title="CTO") for index in range(200)])

    # Then
    assert {one.action for one in made.outcomes} == {"created"}
    assert {one.action for one in changed.outcomes} == {"updated"}
    check_calls(crm)
    assert len(crm.stored(crm.person)) == 200


@EVERY_CRM
@pytest.mark.parametrize("fault", ["500", "html", "empty", "lost_reply", "rate_limited"])
def test_a_token_endpoint_in_trouble_leaves_the_grant_alone(crm: Connected, fault: str) -> None:
    """Each of its faults is tried again and ends with tokens, or needs a person where the CRM rotated them away."""
    # Given
    crm.bench.switch(token_fault=fault, token_fault_next=1)

    # When
    with pytest.raises(TryAgain):
        crm.adapter.refresh_token(str(crm.tokens.refresh_token), tokens=crm.tokens)

    # Then
    if fault != "lost_reply":
        assert crm.adapter.refresh_token(str(crm.tokens.refresh_token), tokens=crm.tokens).access_token
