"""Refused commands are explained to their publishers: few lines, in words, with paths, without values."""

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from schemas.command import SYNC_COMMAND
from schemas.problems import MAX_PROBLEMS, FieldProblem, explain

Json = dict[str, Any]
PUSH: Json = {
    "workspace_id": "5b0f8a9e-3c1d-4e7a-9f62-1d2c3b4a5e6f",
    "integration": "salesforce",
    "direction": "push",
    "entity": "person",
    "records": [{"fields": {}}],
}
PULL: Json = {**{key: value for key, value in PUSH.items() if key != "records"}, "direction": "pull"}
ONE_OF = '"push" (write records) or "pull" (read records)'


def told(command: object) -> list[str]:
    """What the publisher of a refused command reads."""
    with pytest.raises(ValidationError) as refused:
        SYNC_COMMAND.validate_python(command)
    return [str(problem) for problem in explain(refused.value)]


def value(given_value: object) -> Json:
    return {**PUSH, "records": [{"fields": {"a": 1}}, {"fields": {"email": given_value}}]}


@pytest.mark.parametrize(
    ("command", "line"),
    [
        ({}, f"direction: is required: {ONE_OF}"),
        ({**PUSH, "direction": "up"}, f'direction: must be {ONE_OF}, not "up"'),
        ([], "the command must be an object"),
        ({**PUSH, "entity": None}, "entity: must be a string"),
        ({**PUSH, "mode": "insert"}, 'mode: must be "upsert", "create", "update" or "delete"'),
        ({**PUSH, "strict": 1}, "strict: must be true or false"),
        ({**PUSH, "records": []}, "records: must not be empty"),
        ({**PUSH, "records": [{"fields": {}}] * 201}, "records: must hold at most 200 entries"),
        ({**PUSH, "match_on": ["a", "b"]}, "match_on: must hold at most 1 entry"),
        ({**PULL, "limit": 0}, "limit: must be at least 1"),
        ({**PULL, "limit": 201}, "limit: must be at most 200"),
        ({**PULL, "limit": 1.5}, "limit: must be a whole number"),
        ({**PULL, "cursor": "x" * 2001}, "cursor: must have at most 2000 characters"),
        ({**PULL, "expires_at": "2026-02-30T00:00:00Z"}, "expires_at: must be a date and time that exist"),
        (
            {**PULL, "expires_at": 1},
            "expires_at: must be an instant with its offset as in RFC 3339, such as 2026-11-22T10:00:00Z",
        ),
        ({**PUSH, "workspace_id": 1}, "workspace_id: must be a UUID in its hyphenated form of 36 characters"),
        (
            {**PUSH, "command_id": ""},
            "command_id: must be 1 to 128 printable ASCII characters without a space at either end",
        ),
    ],
)
def test_a_problem_is_told_in_words(command: object, line: str) -> None:
    """Each kind of mistake has its sentence, without the vocabulary of the library that found it."""
    # Given, When, Then
    assert told(command) == [line]


@pytest.mark.parametrize("wrong", [{"a": 1}, [1, 2], [None], {}, [["a"]]])
def test_a_wrong_value_is_one_line(wrong: object) -> None:
    """However many alternatives a value fails, its publisher reads one line about it."""
    # Given, When, Then
    assert told(value(wrong)) == ["records[1].fields.email: must be a string, number, boolean or list of strings"]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (float("nan"), "must be a finite number"),
        ("\ud800", "is not valid Unicode: it holds half of a surrogate pair"),
    ],
)
def test_a_value_that_json_cannot_say_is_told_as_such(wrong: object, message: str) -> None:
    """NaN and lone surrogates have a sentence of their own."""
    # Given, When, Then
    assert told(value(wrong)) == [f"records[1].fields.email: {message}"]


@pytest.mark.parametrize("name", ["str", "bool", "[key]", "list[constrained-str]", "fields"])
def test_a_field_may_be_called_like_a_type(name: str) -> None:
    """The names that the library uses for its own purposes are told like any other."""
    # Given
    command = {**PUSH, "records": [{"fields": {name: {}}}]}

    # When
    lines = told(command)

    # Then
    shown = f".{name}" if name.isidentifier() else f'["{name}"]'
    assert lines[-1] == f"records[0].fields{shown}: must be a string, number, boolean or list of strings"


@pytest.mark.parametrize(
    ("command", "line"),
    [
        ({**PUSH, "dryRun": True}, 'dryRun: unknown field "dryRun"; did you mean "dry_run"?'),
        ({**PUSH, "workspaceId": 1}, 'workspaceId: unknown field "workspaceId"; did you mean "workspace_id"?'),
        ({**PUSH, "limit": 1}, 'limit: unknown field "limit"; only pull commands have it'),
        ({**PULL, "records": []}, 'records: unknown field "records"; only push commands have it'),
        ({**PUSH, "zzz": 1}, 'zzz: unknown field "zzz"'),
        (
            {**PUSH, "records": [{"fields": {}, "feilds": {}}]},
            'records[0].feilds: unknown field "feilds"; did you mean "fields"?',
        ),
        (
            {**PUSH, "records": [{"fields": {}, "email": "a"}]},
            'records[0].email: unknown field "email"; Morket fields stand inside "fields"',
        ),
    ],
)
def test_an_unknown_field_comes_with_what_was_meant(command: Json, line: str) -> None:
    """A misspelt field is told with the field that was probably meant, or where it belongs."""
    # Given, When, Then
    assert told(command) == [line]


def test_many_problems_are_cut() -> None:
    """A command that is wrong everywhere is told in 20 lines; the last says how many more there are."""
    # Given
    command = {**PUSH, "records": [{"fields": {"a": {}, "b": {}}}] * 200}

    # When
    lines = told(command)

    # Then
    assert len(lines) == MAX_PROBLEMS == 20
    assert lines[0] == "records[0].fields.a: must be a string, number, boolean or list of strings"
    assert lines[18] == "records[9].fields.a: must be a string, number, boolean or list of strings"
    assert lines[19] == "and 381 more problems"


def test_foreign_names_are_shown_safely() -> None:
    """A name with control characters or of great length neither breaks a log line nor fills it."""
    # Given
    command = {**PUSH, "records": [{"fields": {"a\x00\n\x1b": 1, "x" * 5000: 1}}]}

    # When
    lines = told(command)

    # Then
    assert len(lines) == 2
    assert lines[0].startswith('records[0].fields["a???"]: is no Morket field name')
    assert all(line.isprintable() and len(line) < 300 for line in lines)


def test_a_problem_repeats_no_value() -> None:
    """What a publisher sent as a value, perhaps somebody's data, is in no line."""
    # Given
    secret = "ada@example.com"
    command = {
        **PUSH,
        "entity": f"{secret}!",
        "command_id": f" {secret}",
        "expires_at": secret,
        "mode": secret,
        "records": [{"fields": {"email": {secret: secret}}, "ref": f"{secret}\n", "crm_id": secret, "clear": [secret]}],
    }

    # When
    lines = told(command)

    # Then
    assert len(lines) == 8
    assert [line for line in lines if secret in line] == []


def test_the_whole_is_told_without_a_path() -> None:
    """A problem of the command as a whole has no path, and reads as a sentence."""
    # Given, When, Then
    assert str(FieldProblem("", "the command must be an object")) == "the command must be an object"
    assert str(FieldProblem("records[0]", "must be an object")) == "records[0]: must be an object"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(st.characters()), inner, max_size=3),
    max_leaves=6,
)
NAMES = st.sampled_from([*PUSH, *PULL, "fields", "ref", "clear", "match_on", "limit"]) | st.text(st.characters())


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])  # a busy machine is no failure
@given(changes=st.dictionaries(NAMES, JSON, max_size=4), of_record=st.dictionaries(NAMES, JSON, max_size=4))
def test_whatever_is_refused_can_be_explained(changes: Json, of_record: Json) -> None:
    """Any refusal of any JSON is told in 1 to 20 printable lines that UTF-8 can hold."""
    # Given any command, near to a valid one
    command = {**PUSH, "records": [{"fields": {}, **of_record}], **changes}

    # When
    try:
        SYNC_COMMAND.validate_python(command)
    except ValidationError as refused:
        problems = explain(refused)

        # Then
        assert 1 <= len(problems) <= MAX_PROBLEMS
        for problem in problems:
            assert problem.message
            assert str(problem).isprintable()
            assert len(problem.message) <= 400
            assert str(problem).encode()
