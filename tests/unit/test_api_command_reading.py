"""A command in a request's body: path and header complete it, and every wrong field is named with what to do."""

from typing import Any
from uuid import UUID

import pytest

from producer_api.command_reading import read_command
from producer_api.problems import Problem
from schemas.command import PullCommand, PushCommand

WORKSPACE = UUID("0198f1c2-0000-7000-8000-000000000001")
PUSH: dict[str, Any] = {
    "direction": "push",
    "entity": "person",
    "records": [{"ref": "ctc_81", "fields": {"email": "ada@example.com", "last_name": "Lovelace"}}],
}


def read(body: dict[str, Any], key: str | None = None) -> PushCommand | PullCommand:
    return read_command(body, WORKSPACE, "salesforce", key)


def wrong_fields(body: dict[str, Any], key: str | None = None) -> dict[str, tuple[str, str]]:
    with pytest.raises(Problem) as refused:
        read(body, key)
    assert (refused.value.status, refused.value.code) == (422, "invalid_command")
    return {field.field: (field.message, field.hint) for field in refused.value.fields}


def test_path_and_header_complete_the_command() -> None:
    """Workspace and integration come from the path, the id from the Idempotency-Key."""
    # Given a body without them
    # When
    command = read(PUSH, "cmd-1")
    # Then
    assert (command.workspace_id, command.integration, command.command_id) == (WORKSPACE, "salesforce", "cmd-1")


def test_a_command_without_id_gets_one_of_its_own() -> None:
    """Two commands without id are two commands."""
    # Given a body without id
    # When
    ids = {read(PUSH).command_id for _ in range(2)}
    # Then
    assert len(ids) == 2
    assert None not in ids


def test_the_same_values_in_the_body_are_allowed() -> None:
    """A body that names what the path names is accepted, in any case of a UUID."""
    # Given
    body = {**PUSH, "workspace_id": str(WORKSPACE).upper(), "integration": "salesforce", "command_id": "cmd-1"}
    # When
    command = read(body, "cmd-1")
    # Then
    assert command.workspace_id == WORKSPACE


def test_values_that_differ_from_path_and_header_are_named() -> None:
    """A body that names another workspace, integration or id is refused, with each of them."""
    # Given
    body = {**PUSH, "workspace_id": str(UUID(int=7)), "integration": "hubspot", "command_id": "cmd-2"}
    # When
    wrong = wrong_fields(body, "cmd-1")
    # Then
    assert set(wrong) == {"workspace_id", "integration", "command_id"}
    assert "Idempotency-Key" in wrong["command_id"][0]


@pytest.mark.parametrize(
    ("body", "field", "said"),
    [
        ({}, "direction", "required"),
        ({**PUSH, "direction": "sideways"}, "direction", '"push"'),
        ({**PUSH, "records": []}, "records", "must not be empty"),
        ({**PUSH, "records": [{"fields": {}}] * 201}, "records", "at most 200"),
        ({**PUSH, "recrods": []}, "recrods", 'did you mean "records"?'),
        ({**PUSH, "records": [{"ref": "a"}]}, "records[0].fields", "required"),
        ({**PUSH, "records": [{"fields": {"email": {"work": "a@b"}}}]}, "records[0].fields.email", "must be a string"),
        ({**PUSH, "records": [{"fields": {"last_name": "\ud800"}}]}, "records[0].fields.last_name", "Unicode"),
        ({"direction": "pull", "entity": "person", "limit": 201}, "limit", "200"),
    ],
)
def test_each_wrong_field_is_named_by_its_path(body: dict[str, Any], field: str, said: str) -> None:
    """The words are those of `schemas.problems`, the same that a failed result of the Kafka door has."""
    # Given a wrong body
    # When
    wrong = wrong_fields(body)
    # Then
    assert said in wrong[field][0]
