"""The sync command as a contract: every field, default and bound, and what is refused."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from jsonschema import Draft202012Validator
from pydantic import ValidationError

from schemas.command import MAX_RECORDS, SYNC_COMMAND, PullCommand, PushCommand, PushRecord, expires_at_of
from schemas.json_schemas import published_schemas
from schemas.problems import explain

Json = dict[str, Any]
WORKSPACE = "5b0f8a9e-3c1d-4e7a-9f62-1d2c3b4a5e6f"
SHARED = {"workspace_id": WORKSPACE, "integration": "salesforce", "entity": "person"}
PUSH: Json = {**SHARED, "direction": "push", "records": [{"fields": {"email": "ada@example.com"}}]}
PULL: Json = {**SHARED, "direction": "pull"}
SCHEMA = Draft202012Validator(published_schemas()["command.v1.json"])


def push(**changes: Any) -> Json:
    return {**PUSH, **changes}


def record(**changes: Any) -> Json:
    return push(records=[{"fields": {"email": "ada@example.com"}, **changes}])


def value(given_value: object) -> Json:
    return push(records=[{"fields": {"email": given_value}}])


def pull(**changes: Any) -> Json:
    return {**PULL, **changes}


def paths_refused(command: object) -> list[str]:
    """The paths at which a command is refused."""
    with pytest.raises(ValidationError) as refused:
        SYNC_COMMAND.validate_python(command)
    return [problem.path for problem in explain(refused.value)]


def test_a_push_has_the_documented_defaults() -> None:
    """A push that names only what it must upserts, by the mapping's match field and write policy."""
    # Given, When
    command = SYNC_COMMAND.validate_python(PUSH)

    # Then
    assert command == PushCommand(
        command_id=None,
        workspace_id=UUID(WORKSPACE),
        integration="salesforce",
        direction="push",
        entity="person",
        mode="upsert",
        match_on=None,
        write_policy=None,
        strict=False,
        dry_run=False,
        expires_at=None,
        records=[PushRecord(ref=None, crm_id=None, fields={"email": "ada@example.com"}, clear=[])],
    )


def test_a_pull_has_the_documented_defaults() -> None:
    """A pull that names only what it must reads up to 200 records, every mapped field, no deleted ones."""
    # Given, When
    command = SYNC_COMMAND.validate_python(PULL)

    # Then
    assert command == PullCommand(
        command_id=None,
        workspace_id=UUID(WORKSPACE),
        integration="salesforce",
        direction="pull",
        entity="person",
        limit=200,
        modified_since=None,
        cursor=None,
        fields=None,
        include_deleted=False,
        dry_run=False,
        expires_at=None,
    )


@pytest.mark.parametrize(
    "command",
    [
        *(push(mode=mode) for mode in ("upsert", "create", "update", "delete")),
        *(push(write_policy=policy) for policy in (None, "overwrite", "fill_if_empty", "create_only")),
        *(push(match_on=match) for match in (None, ["email"], ["crm:External_Id__c"], ["crm:email"], ["a" * 100])),
        *(push(strict=flag, dry_run=flag) for flag in (True, False)),
        *(push(entity=name) for name in ("person", "company", "Lead", "My_Object__c", "2-12345", "p_deals", "x" * 100)),
        *(push(integration=slug) for slug in ("salesforce", "hubspot", "x", "dynamics-365", "a" * 50)),
        *(push(command_id=given_id) for given_id in (None, "1", "a b", "x" * 128, "!~")),
        push(workspace_id=WORKSPACE.upper()),
        push(expires_at="2026-11-22T10:00:00Z"),
        push(expires_at="2026-11-22T10:00:00.123456+05:30"),
        push(records=[{"fields": {}}] * MAX_RECORDS),
        *(record(ref=ref) for ref in (None, "ctc_81", "é 😀 '\"", "x" * 200)),
        *(record(crm_id=crm_id) for crm_id in (None, "00Q5g00000ABCDEEA5", "1", "a" * 40)),
        record(clear=["phone"]),
        *(value(one) for one in (None, "", "  ", "x", "😀", True, False, 0, -1, 10**30, 0.5, -0.0, [], ["a", ""])),
        push(records=[{"fields": {f"field_{number}": number for number in range(200)}}]),
        push(records=[{"fields": {"a" * 100: 1}}]),
        *(pull(limit=limit) for limit in (1, 200)),
        pull(modified_since="2026-11-22T10:00:00Z", include_deleted=True, dry_run=True, expires_at=None),
        *(pull(cursor=cursor) for cursor in (None, "x", "x" * 2000)),
        *(pull(fields=fields) for fields in (None, ["email"], ["email", "last_name"])),
    ],
)
def test_what_the_contract_allows_is_accepted(command: Json) -> None:
    """Each value within its bounds is read as it was given, and valid for the published schema too."""
    # Given, When
    read = SYNC_COMMAND.validate_python(command)

    # Then
    written = json.loads(SYNC_COMMAND.dump_json(read, exclude_unset=True))
    assert written["integration"] == command["integration"]
    assert written.get("records") == command.get("records")
    assert set(written) == set(command)
    assert list(SCHEMA.iter_errors(command)) == []


@pytest.mark.parametrize(
    ("command", "path"),
    [
        ([], ""),
        (None, ""),
        ("push", ""),
        ({}, "direction"),
        (push(direction="sideways"), "direction"),
        (push(direction=None), "direction"),
        ({key: one for key, one in PUSH.items() if key != "workspace_id"}, "workspace_id"),
        ({key: one for key, one in PUSH.items() if key != "integration"}, "integration"),
        ({key: one for key, one in PUSH.items() if key != "entity"}, "entity"),
        ({key: one for key, one in PUSH.items() if key != "records"}, "records"),
        *((push(workspace_id=one), "workspace_id") for one in (None, 7, "", "x", f"{{{WORKSPACE}}}", f"{WORKSPACE}\n")),
        (push(workspace_id=WORKSPACE.replace("-", "")), "workspace_id"),
        *((push(integration=one), "integration") for one in (None, 1, "", "Salesforce", "a b", "a" * 51, "1a", "a\n")),
        *((push(entity=one), "entity") for one in (None, 1, "", "x" * 101, "a b", "_x", "a.b", "Lead\n", "Lead'--")),
        *((push(command_id=one), "command_id") for one in (1, "", " a", "a ", "x" * 129, "é", "a\nb", "a\x00b")),
        *((push(mode=one), "mode") for one in (None, "UPSERT", "insert", 1)),
        *((push(write_policy=one), "write_policy") for one in ("", "keep", 1)),
        *((push(match_on=one), "match_on") for one in ("email", [], ["email", "phone"])),
        *((push(match_on=[one]), "match_on[0]") for one in ("", "crm:", "crm: a", "sf:Id", "a.b", 1, None, "a" * 101)),
        *((push(strict=one), "strict") for one in (None, "true", 1, 0)),
        *((push(dry_run=one), "dry_run") for one in (None, "true", 1, 0)),
        (push(records=[]), "records"),
        (push(records=[{"fields": {}}] * (MAX_RECORDS + 1)), "records"),
        (push(records={"0": {"fields": {}}}), "records"),
        (push(records=[None]), "records[0]"),
        (push(records=[{"fields": {}}, 3]), "records[1]"),
        (push(records=[{}]), "records[0].fields"),
        (push(records=[{"fields": [["email", "a"]]}]), "records[0].fields"),
        (push(records=[{"fields": {f"field_{number}": 1 for number in range(201)}}]), "records[0].fields"),
        *((record(ref=one), "records[0].ref") for one in (1, "", "x" * 201, "a\x00", "a\tb", "a\n", "\x7f")),
        *((record(crm_id=one), "records[0].crm_id") for one in (1, "", "a" * 41, "a/b", "a b", "../x", "a\n")),
        *((record(clear=one), "records[0].clear") for one in (None, "phone", {"phone": True})),
        *((record(clear=[one]), "records[0].clear[0]") for one in ("", "a b", 1, None, "1a")),
        *((value(one), "records[0].fields.email") for one in ({}, {"a": 1}, [1], [None], [["a"]], ["a", {}])),
        *(
            (value(one), "records[0].fields.email")
            for one in (float("nan"), float("inf"), float("-inf"), b"a", "\ud800")
        ),
        (push(records=[{"fields": {"a b": 1}}]), 'records[0].fields["a b"]'),
        (push(records=[{"fields": {"": 1}}]), 'records[0].fields[""]'),
        (push(records=[{"fields": {"1a": 1}}]), 'records[0].fields["1a"]'),
        (push(records=[{"fields": {"é": 1}}]), 'records[0].fields["é"]'),
        (push(dryrun=True), "dryrun"),
        (push(limit=5), "limit"),
        (record(email="a"), "records[0].email"),
        (pull(records=[]), "records"),
        *((pull(limit=one), "limit") for one in (None, 0, -1, 201, 1.5, "5", True)),
        *((pull(cursor=one), "cursor") for one in ("", "x" * 2001, 1)),
        *((pull(fields=one), "fields") for one in ([], "email", ["email"] * 201)),
        (pull(fields=["a b"]), "fields[0]"),
        *((pull(include_deleted=one), "include_deleted") for one in (None, "no", 0)),
        *(
            (pull(**{name: one}), name)
            for name in ("expires_at", "modified_since")
            for one in (
                *(1_700_000_000, "1700000000", True, "", "tomorrow", "2026-11-22", "2026-11-22T10:00:00"),
                *(
                    "2026-02-30T10:00:00Z",
                    "2026-11-22T25:00:00Z",
                    "0001-01-01T00:00:00+14:00",
                    "2026-11-22T10:00:00Z\n",
                ),
            )
        ),
    ],
)
def test_what_the_contract_forbids_is_refused_by_path(command: object, path: str) -> None:
    """Each value out of its bounds or of another type is refused, and the refusal names its path alone."""
    # Given, When
    paths = paths_refused(command)

    # Then
    assert paths == [path]


@pytest.mark.parametrize("kept", ["a", 0, False, ["a"]])
def test_a_field_is_not_both_set_and_cleared(kept: object) -> None:
    """A value beside `clear` of the same field is refused, and the refusal names the field."""
    # Given
    command = push(records=[{"fields": {}}, {"fields": {"phone": kept, "email": "a"}, "clear": ["phone"]}])

    # When
    with pytest.raises(ValidationError) as refused:
        SYNC_COMMAND.validate_python(command)

    # Then
    assert [str(problem) for problem in explain(refused.value)] == [
        "records[1]: fields and clear both name phone; leave each in one of them"
    ]


@pytest.mark.parametrize("nothing", [None, "", " \t", []])
def test_a_value_that_writes_nothing_may_be_cleared(nothing: object) -> None:
    """Null, blanks and empty lists say nothing about a field, so clearing it is no contradiction."""
    # Given
    command = record(fields={"phone": nothing}, clear=["phone"])

    # When
    read = SYNC_COMMAND.validate_python(command)

    # Then
    assert isinstance(read, PushCommand)
    assert read.records[0].clear == ["phone"]


def test_a_command_expires_by_its_own_instant_or_the_default() -> None:
    """Without `expires_at` a command expires the default time after it was published."""
    # Given
    published = datetime(2026, 11, 22, 10, tzinfo=UTC)
    own = SYNC_COMMAND.validate_python(pull(expires_at="2026-11-23T00:00:00+02:00"))
    without = SYNC_COMMAND.validate_python(PULL)

    # When, Then
    assert expires_at_of(own, published, 60) == datetime(2026, 11, 22, 22, tzinfo=UTC)
    assert expires_at_of(without, published, 86_400) == published + timedelta(days=1)


def test_a_command_cannot_be_changed() -> None:
    """What was read stays as it was read."""
    # Given
    command = SYNC_COMMAND.validate_python(PUSH)

    # When, Then
    with pytest.raises(ValidationError, match="frozen"):
        command.entity = "company"  # type: ignore[misc]
