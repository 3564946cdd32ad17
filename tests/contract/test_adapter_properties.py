"""Arbitrary records under arbitrary faults, against every adapter and its CRM: the invariants of a push hold."""

import logging
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from crm.errors import CrmError
from crm.model import CallScope, CrmRecord
from services.adapter_bench import AdapterBench, benches
from services.adapter_invariants import check_calls, check_no_secret, check_outcomes, check_stored
from services.connected_crm import Connected, client_settings, connect, person

BENCHES = benches()
#: Faults of one call that end at once; those that hang have tests of their own.
_QUICK_FAULTS = ("error_500_next", "html_503_next", "lose_reply_next")

_TEXTS = st.one_of(st.text(max_size=30), st.sampled_from(["", " ", "a\0b", "\ud800", "'; DROP--", "%_\\", "x" * 300]))
_VALUES = st.one_of(_TEXTS, st.none(), st.booleans(), st.integers(-(10**12), 10**12), st.lists(_TEXTS, max_size=2))
_EMAILS = st.one_of(
    st.sampled_from(["a@acme.io", "A@ACME.IO", "b@acme.io", "c@acme.io", "not an address", ""]), _VALUES
)
_FIELDS = st.fixed_dictionaries(
    {"email": _EMAILS},
    optional=dict.fromkeys(
        ("first_name", "last_name", "full_name", "company_name", "phone", "city", "job_title", "stray"), _VALUES
    ),
)
_RECORDS = st.lists(
    st.tuples(
        _FIELDS,
        st.sampled_from([(), ("phone",), ("city", "job_title"), ("email",)]),
        st.sampled_from([None, None, None, "known", "00QAAAAAAAAAAAAAAA", "999999999"]),
    ),
    min_size=1,
    max_size=8,
)
_OPTIONS = st.fixed_dictionaries(
    {
        "mode": st.sampled_from(["upsert", "upsert", "create", "update"]),
        "strict": st.booleans(),
        "write_policy": st.sampled_from([None, "overwrite", "fill_if_empty", "create_only"]),
    }
)
_PLANS = st.dictionaries(st.integers(1, 5), st.sampled_from(_QUICK_FAULTS), max_size=2)


@pytest.fixture(scope="module", params=BENCHES)
def bench(request: pytest.FixtureRequest) -> Iterator[AdapterBench]:
    with ExitStack() as stack, pytest.MonkeyPatch.context() as patch:
        running = stack.enter_context(BENCHES[request.param]())
        for name, value in client_settings(running).items():
            patch.setenv(name, value)
        yield running


def spoiling(crm: Connected, plan: dict[int, str]) -> CallScope:
    """Leave to call, with a fault at the calls that the plan names."""
    count = iter(range(1, 1_000))

    def before_send(_timeout_s: float) -> None:
        fault = plan.get(next(count))
        if fault:
            crm.bench.switch(**{fault: 1})

    return CallScope(before_send=before_send)


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(drawn=_RECORDS, options=_OPTIONS, plan=_PLANS)
def test_any_push_tells_the_truth(
    bench: AdapterBench,
    caplog: pytest.LogCaptureFixture,
    drawn: list[tuple[dict[str, Any], tuple[str, ...], str | None]],
    options: dict[str, Any],
    plan: dict[int, str],
) -> None:
    """One outcome a record, stored as claimed, within the batch limit, errors of our tree, no token in any text."""
    # Given a CRM that holds one of the records
    caplog.clear()
    caplog.set_level(logging.DEBUG)
    crm = connect(bench)
    (known,) = crm.push([person(0, email="a@acme.io")]).outcomes
    records = [
        CrmRecord(
            fields, index=index, ref=f"r{index}", clear=clear, crm_id=known.crm_id if crm_id == "known" else crm_id
        )
        for index, (fields, clear, crm_id) in enumerate(drawn)
    ]
    before = crm.stored(crm.person)

    # When
    result, error = None, None
    try:
        result = crm.push(records, scope=spoiling(crm, plan), **options)
    except CrmError as raised:
        error = raised
    after = crm.stored(crm.person)

    # Then
    if result is None:
        assert after == before
    else:
        check_outcomes(records, result)
        check_stored(before, after, result)
    check_calls(crm)
    check_no_secret(crm, caplog.text, result, error, result.interrupted_by if result else None)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(texts=st.lists(st.text(max_size=40), min_size=1, max_size=5))
def test_any_key_finds_its_own_record_and_no_other(bench: AdapterBench, texts: list[str]) -> None:
    """Whatever stands in the match value, a record is found by it again or fails; no other record changes."""
    # Given a bystander
    crm = connect(bench)
    (bystander,) = crm.push([person(0, email="z@acme.io", city="Bonn")]).outcomes
    records = [person(index, email=text, city="Ulm") for index, text in enumerate(texts)]

    # When
    first = crm.push(records)
    second = crm.push(records)

    # Then
    assert "created" not in {one.action for one in second.outcomes}
    assert [one.crm_id for one in first.outcomes] == [one.crm_id for one in second.outcomes]
    assert crm.held(str(bystander.crm_id), crm.person, "city") == ["Bonn"]
