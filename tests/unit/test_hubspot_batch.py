"""HubSpot's batch replies: every input is answered, whatever the reply looks like; errors are read in every place."""

import random
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from crm.adapters.hubspot.batch import Input, in_calls, reconcile, reconcile_archive, split_budget_for
from crm.adapters.hubspot.errors import Reason, existing_id, reasons_of
from crm.adapters.hubspot.search import in_searches

VALIDATION = (
    'Property values were not valid: [{"isValid":false,"message":"Email address x is invalid","error":"INVALID_EMAIL",'
    '"name":"email"},{"isValid":false,"message":"no such option","error":"INVALID_OPTION","name":"industry"}]'
)


def upserts(count: int) -> list[Input]:
    return [Input(index, {"email": f"p{index}@x.io"}, f"p{index}@x.io", "email") for index in range(count)]


def result(item: Input, **fields: Any) -> dict[str, Any]:
    return {"id": str(900 + item.index), "properties": dict(item.properties), **fields}


def test_results_are_tied_by_trace_id_in_any_order() -> None:
    """Shuffled results find their inputs by trace id; `new` tells a created record from an updated one."""
    # Given three inputs and a reply in another order
    inputs = upserts(3)
    results = [result(item, objectWriteTraceId=item.trace_id, new=item.index == 1) for item in reversed(inputs)]

    # When the reply is reconciled
    answers = reconcile(inputs, {"results": results})

    # Then each has its own record
    assert [answers[index].crm_id for index in range(3)] == ["900", "901", "902"]
    assert [answers[index].is_new for index in range(3)] == [False, True, False]


def test_results_without_trace_are_tied_by_id_then_by_unique_value() -> None:
    """Where HubSpot leaves trace ids out, the id of an update and the e-mail of an upsert say whose result it is."""
    # Given an update and an upsert whose results carry no trace
    update = Input(0, {"phone": "1"}, "77")
    upsert = Input(1, {"email": "ada@x.io"}, "ada@x.io", "email")

    # When the replies are reconciled
    updated = reconcile([update], {"results": [{"id": "77", "properties": {}}]})
    upserted = reconcile([upsert], {"results": [{"id": "5", "new": True, "properties": {"email": "ADA@x.io"}}]})

    # Then both are written
    assert (updated[0].fate, updated[0].crm_id) == ("written", "77")
    assert (upserted[1].fate, upserted[1].crm_id, upserted[1].is_new) == ("written", "5", True)


def test_errors_are_read_from_any_2xx_reply() -> None:
    """An entry of `errors` refuses the inputs that its context names, by trace id or by id."""
    # Given a reply with one result and two errors, one named by id alone
    inputs = [*upserts(2), Input(2, {}, "31")]
    body = {
        "status": "COMPLETE",
        "results": [result(inputs[0], objectWriteTraceId=inputs[0].trace_id)],
        "errors": [
            {"category": "VALIDATION_ERROR", "message": VALIDATION, "context": {"objectWriteTraceId": ["record-1"]}},
            {"category": "OBJECT_NOT_FOUND", "message": "gone", "context": {"ids": ["31"]}},
        ],
    }

    # When it is reconciled
    answers = reconcile(inputs, body)

    # Then each input has its own fate and reasons
    assert [answers[index].fate for index in range(3)] == ["written", "refused", "refused"]
    assert [reason.code for reason in answers[1].reasons] == ["INVALID_EMAIL", "INVALID_OPTION"]
    assert answers[2].reasons[0].code == "OBJECT_NOT_FOUND"


def test_an_input_in_neither_list_is_silent_and_keeps_what_was_said() -> None:
    """Silence is no success; what HubSpot said without naming a record is kept as a clue."""
    # Given an empty reply, and one with an error that names nobody
    inputs = upserts(2)

    # When they are reconciled
    empty = reconcile(inputs, {"results": [], "errors": []})
    vague = reconcile(inputs, {"errors": [{"category": "INTERNAL", "message": "something broke"}]})

    # Then nobody counts as written
    assert {answer.fate for answer in empty.values()} == {"silent"}
    assert vague[0].reasons == (Reason("INTERNAL", "something broke"),)


@given(
    st.integers(1, 100),
    st.randoms(use_true_random=False),
    st.lists(st.sampled_from(["written", "refused", "silent"]), min_size=100, max_size=100),
)
def test_every_input_gets_exactly_one_answer(count: int, order: random.Random, fates: list[str]) -> None:
    """For any mixture of results, errors and silence, in any order, each input has the answer that it was given."""
    # Given a reply in which every input has one of three fates
    inputs = upserts(count)
    results = [result(item, objectWriteTraceId=item.trace_id) for item in inputs if fates[item.index] == "written"]
    errors = [
        {"category": "VALIDATION_ERROR", "message": "no", "context": {"objectWriteTraceId": [item.trace_id]}}
        for item in inputs
        if fates[item.index] == "refused"
    ]
    order.shuffle(results)
    order.shuffle(errors)

    # When it is reconciled
    answers = reconcile(inputs, {"results": results, "errors": errors})

    # Then the fates are those, and ids belong to their inputs
    assert {index: answer.fate for index, answer in answers.items()} == dict(enumerate(fates[:count]))
    assert all(answer.crm_id in {None, str(900 + index)} for index, answer in answers.items())


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda inner: (
            st.lists(inner)
            | st.dictionaries(
                st.sampled_from(
                    ["message", "errors", "context", "category", "id", "objectWriteTraceId", "results", "properties"]
                ),
                inner,
            )
        ),
    )
)
def test_no_reply_breaks_the_reading(body: Any) -> None:
    """Whatever shape a body has, reading it gives answers and reasons; nothing raises."""
    # Given any JSON / When it is read / Then every input is answered, every body has a reason
    reply = body if isinstance(body, dict) else {"results": body, "errors": body}
    assert set(reconcile(upserts(2), reply)) == {0, 1}
    assert reasons_of(body)


def test_reasons_are_read_from_all_three_places() -> None:
    """Property errors come as JSON inside the message, as `errors[]`, or not at all; each shape gives its reasons."""
    # Given the three shapes / When they are read / Then code, text and property are found
    inside = reasons_of({"category": "VALIDATION_ERROR", "message": VALIDATION})
    listed = reasons_of(
        {"message": "no", "errors": [{"message": "bad", "code": "X", "context": {"propertyName": ["phone"]}}]}
    )
    plain = reasons_of({"category": "CONFLICT", "message": "Contact already exists. Existing ID: 123"})
    assert [(reason.code, reason.crm_field) for reason in inside] == [
        ("INVALID_EMAIL", "email"),
        ("INVALID_OPTION", "industry"),
    ]
    assert listed == (Reason("X", "bad", "phone"),)
    assert plain[0].code == "CONFLICT"


def test_the_record_in_the_way_is_read_from_both_texts() -> None:
    """A conflict names the record that exists, for e-mail and for other unique properties."""
    # Given both texts / When they are read / Then the id is found; other texts give none
    assert existing_id((Reason("CONFLICT", "Contact already exists. Existing ID: 123"),)) == "123"
    clash = "Cannot set PropertyValueCoordinates{objectId=1}: 456 already has that value."
    assert existing_id((Reason("VALIDATION_ERROR", clash),)) == "456"
    assert existing_id((Reason("VALIDATION_ERROR", "no"),)) is None


def test_calls_hold_at_most_100_inputs_and_no_target_twice() -> None:
    """HubSpot refuses a whole call of more than 100 inputs or with a repeated id: repeats go to a later call."""
    # Given 150 updates, two of them of the same record
    inputs = [Input(index, {}, str(index)) for index in range(149)] + [Input(149, {}, "0")]

    # When they are grouped
    groups = list(in_calls(inputs))

    # Then nothing is lost, no group is too large and none repeats a target
    assert [len(group) for group in groups] == [100, 50]
    assert all(len({item.target for item in group}) == len(group) for group in groups)
    assert sorted(item.index for group in groups for item in group) == list(range(150))


def test_the_split_budget_grows_with_the_logarithm() -> None:
    """Splitting may cost 2 * ceil(log2 n) + 8 extra calls."""
    # Given numbers of records / When the budget is asked / Then it is this
    assert [split_budget_for(count) for count in (1, 2, 100, 200)] == [10, 10, 22, 24]


def test_search_values_are_split_by_size_and_count() -> None:
    """A search names at most 100 values and stays below the size that HubSpot may refuse."""
    # Given many short and some long domains
    short = [f"{index}.io" for index in range(150)]
    long = [f"{'x' * 60}{index}.example.com" for index in range(60)]

    # When they are grouped / Then none is lost and every group is small
    for values in (short, long):
        groups = list(in_searches(values))
        assert [value for group in groups for value in group] == values
        assert all(len(group) <= 100 and sum(len(value) + 4 for value in group) <= 2_300 for group in groups)


def test_one_error_without_name_belongs_to_the_one_unanswered_input() -> None:
    """Where HubSpot names nobody and only one input has no answer, the error is that input's."""
    # Given two inputs, a result for one and an error without context
    inputs = upserts(2)
    results = [result(inputs[0], objectWriteTraceId=inputs[0].trace_id)]
    body = {"results": results, "errors": [{"category": "OBJECT_NOT_FOUND", "message": "gone"}]}

    # When it is reconciled
    answers = reconcile(inputs, body)

    # Then
    assert [answers[index].fate for index in range(2)] == ["written", "refused"]
    assert answers[1].reasons == (Reason("OBJECT_NOT_FOUND", "gone"),)


def test_an_archive_without_body_says_yes_to_all() -> None:
    """204 has no body; where a multi-status reply names ids, those were not archived."""
    # Given two archives and both replies / When they are reconciled / Then
    inputs = [Input(index, {}, str(70 + index)) for index in range(2)]
    partial = {"errors": [{"category": "VALIDATION_ERROR", "message": "locked", "context": {"ids": ["71"]}}]}
    assert [answer.fate for answer in reconcile_archive(inputs, None).values()] == ["written", "written"]
    assert [answer.fate for answer in reconcile_archive(inputs, partial).values()] == ["written", "refused"]
    assert inputs[0].to_wire("archive") == {"id": "70"}
