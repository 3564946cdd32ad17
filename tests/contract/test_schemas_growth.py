"""The contracts only grow: the first published schemas hold for what is sent today, and for what is accepted today."""

import copy
import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from pydantic import BaseModel

from schemas.command import SYNC_COMMAND
from schemas.connection import ConnectionEvent, CrmAccount
from schemas.envelope import encode
from schemas.failure import FailureCategory
from schemas.json_schemas import published_schemas
from schemas.plan import FieldChange, PlannedRecord, SyncPlan
from schemas.records import PulledRecord, PulledRecords
from schemas.result import Counts, Failure, Outcome, OutcomeWarning, PullSummary, SourcePosition, SyncResult
from schemas.topics import EventType
from services.workspace import REPOSITORY

Json = dict[str, Any]
READERS = ("result", "plan", "records", "connection")

TEXT = st.text(max_size=12)
NO_TEXT = st.none() | TEXT
COUNT = st.integers(0, 10**6)
INSTANT = st.datetimes(timezones=st.just(UTC))
VALUE = st.none() | TEXT | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
VALUES = VALUE | st.lists(TEXT, max_size=3)
ID = st.uuids()

FAILURE = st.builds(
    Failure, code=TEXT, category=st.sampled_from(FailureCategory), message=TEXT, hint=TEXT, retryable=st.booleans(),
    field=NO_TEXT, crm_field=NO_TEXT, crm_code=NO_TEXT,
)  # fmt: skip
WARNING = st.builds(OutcomeWarning, code=TEXT, field=NO_TEXT, crm_field=NO_TEXT, message=TEXT)
OUTCOME = st.builds(
    Outcome, index=COUNT, ref=NO_TEXT, crm_id=NO_TEXT, merged_into=st.none() | COUNT,
    action=st.sampled_from(("created", "updated", "unchanged", "skipped", "failed")),
    errors=st.lists(FAILURE, max_size=2), warnings=st.lists(WARNING, max_size=3),
)  # fmt: skip
RESULT = st.builds(
    SyncResult, command_id=TEXT, sync_id=ID, workspace_id=ID, connection_id=st.none() | ID, crm_account_id=NO_TEXT,
    integration=NO_TEXT, direction=st.sampled_from((None, "push", "pull")), entity=NO_TEXT, crm_object=NO_TEXT,
    status=st.sampled_from(("completed", "partial", "failed")), record_count=COUNT, success_count=COUNT,
    failure_count=COUNT, skipped_count=COUNT, outcomes=st.lists(OUTCOME, max_size=3), error=st.none() | FAILURE,
    counts=st.builds(Counts, created=COUNT, updated=COUNT, unchanged=COUNT, skipped=COUNT, failed=COUNT),
    pull=st.none() | st.builds(PullSummary, cursor=NO_TEXT, has_more=st.booleans()), attempt=st.integers(1, 99),
    api_calls=COUNT, api_calls_shared_with=COUNT, record_url_template=NO_TEXT, started_at=INSTANT, completed_at=INSTANT,
    source=st.none() | st.builds(SourcePosition, topic=TEXT, partition=COUNT, offset=COUNT),
)  # fmt: skip
CHANGE = st.builds(FieldChange, crm_field=TEXT, before=VALUES, after=VALUES, kept=st.booleans())
PLANNED = st.builds(
    PlannedRecord, index=COUNT, ref=NO_TEXT, crm_id=NO_TEXT, changes=st.lists(CHANGE, max_size=2),
    action=st.sampled_from(("create", "update", "unchanged", "skip", "reject")),
    errors=st.lists(FAILURE, max_size=2), warnings=st.lists(WARNING, max_size=2),
)  # fmt: skip
PLAN = st.builds(
    SyncPlan, command_id=TEXT, workspace_id=ID, integration=TEXT, entity=TEXT, crm_object=NO_TEXT,
    records=st.lists(PLANNED, max_size=2), api_calls=COUNT, error=st.none() | FAILURE,
)  # fmt: skip
PULLED = st.builds(
    PulledRecord, crm_id=TEXT, modified_at=st.none() | INSTANT, deleted=st.booleans(),
    fields=st.dictionaries(TEXT, VALUES, max_size=3),
)  # fmt: skip
RECORDS = st.builds(
    PulledRecords, command_id=TEXT, sync_id=ID, workspace_id=ID, connection_id=ID, crm_account_id=NO_TEXT,
    integration=TEXT, entity=TEXT, crm_object=TEXT, records=st.lists(PULLED, max_size=2), cursor=NO_TEXT,
    has_more=st.booleans(),
)  # fmt: skip
CONNECTION = st.builds(
    ConnectionEvent, connection_id=ID, workspace_id=ID, integration=TEXT, sequence=st.integers(1, 10**6),
    event=st.sampled_from(("connected", "reconnected", "reauth_required", "recovered", "disconnected")),
    status=st.sampled_from(("connected", "reauth_required", "disconnected")), reason=NO_TEXT, held_commands=COUNT,
    previous_status=st.sampled_from((None, "connected", "reauth_required", "disconnected")),
    crm_account=st.none() | st.builds(CrmAccount, id=TEXT, name=NO_TEXT, user=NO_TEXT),
)  # fmt: skip
EVENTS: dict[str, tuple[EventType, st.SearchStrategy[BaseModel]]] = {
    "result": (EventType.RESULT, RESULT),
    "plan": (EventType.PLAN, PLAN),
    "records": (EventType.RECORDS, RECORDS),
    "connection": (EventType.CONNECTION, CONNECTION),
}


def frozen(name: str) -> Json:
    """The schema as it was first published."""
    text = (REPOSITORY / "tests/contract/frozen" / f"{name}.v1.json").read_text(encoding="utf-8")
    schema: Json = json.loads(text)
    return schema


def broken_promises(before: Json, now: Json, *, is_read_by_others: bool) -> list[str]:
    """What a reader (or, for commands, a publisher) of `before` would trip over in `now`."""
    return [
        f"{name}: {problem}"
        for name, part in {"": before, **before["$defs"]}.items()
        for problem in _problems(part, (now if not name else now["$defs"].get(name, {})), is_read_by_others)
    ]


def _problems(before: Json, now: Json, is_read_by_others: bool) -> Iterator[str]:  # noqa: FBT001
    old, new = before.get("properties", {}), now.get("properties", {})
    yield from (f"{name} is gone" for name in sorted(old.keys() - new.keys()))
    yield from (f"{name} changed" for name in sorted(old.keys() & new.keys()) if _shape(old[name]) != _shape(new[name]))
    had, has = set(before.get("required", [])), set(now.get("required", []))
    yield from (f"{name} may be missing now" for name in sorted(had - has) if is_read_by_others)
    yield from (f"{name} is required now" for name in sorted(has - had) if not is_read_by_others)
    if before.get("enum") != now.get("enum"):
        yield "the closed list changed"


def _shape(schema: Any) -> Any:
    """A schema without its words."""
    if isinstance(schema, dict):
        return {key: _shape(value) for key, value in schema.items() if key not in {"description", "title", "examples"}}
    return [_shape(one) for one in schema] if isinstance(schema, list) else schema


@pytest.mark.parametrize("name", READERS)
@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])  # a busy machine is no failure
@given(data=st.data())
def test_a_reader_of_the_first_version_reads_what_is_sent_today(name: str, data: st.DataObject) -> None:
    """Whatever the models hold, what leaves for Kafka is valid for the schema that was published first."""
    # Given any event of today's models
    event_type, events = EVENTS[name]
    event = data.draw(events)

    # When it is sent
    _, value = encode(event_type, "e-1", event, subject="s", time=datetime(2026, 11, 22, tzinfo=UTC))

    # Then a reader of the first version finds nothing wrong
    assert list(Draft202012Validator(frozen(name)).iter_errors(json.loads(value))) == []


def own_fields(message: Any, schema: Json, root: Json) -> Iterator[tuple[Json, str]]:
    """Each (object, field) of a message that its schema names."""
    options = [schema, *schema.get("anyOf", [])]
    parts = [root["$defs"][part["$ref"].rpartition("/")[2]] if "$ref" in part else part for part in options]
    for part in parts:
        if isinstance(message, dict) and "properties" in part:
            for name, of in part["properties"].items():
                yield message, name
                yield from own_fields(message[name], of, root)
        if isinstance(message, list) and "items" in part:
            for one in message:
                yield from own_fields(one, part["items"], root)


@pytest.mark.parametrize("name", READERS)
def test_a_field_that_is_dropped_or_renamed_breaks_the_first_version(name: str) -> None:
    """Whichever field is left out or given another name, at whatever depth, the frozen schema refuses the message."""
    # Given the first example
    schema = frozen(name)
    validator = Draft202012Validator(schema)
    count = len(list(own_fields(schema["examples"][0], schema, schema)))
    assert count >= 8

    for place in range(count):
        for spoil in (drop, rename):
            # When one field of it is spoilt
            message = copy.deepcopy(schema["examples"][0])
            holder, field = list(own_fields(message, schema, schema))[place]
            spoil(holder, field)

            # Then the reader notices
            assert not validator.is_valid(message), f"{spoil.__name__} {field}"


def drop(holder: Json, field: str) -> None:
    del holder[field]


def rename(holder: Json, field: str) -> None:
    holder[f"{field}_2"] = holder.pop(field)


@pytest.mark.parametrize("name", ["command", *READERS])
def test_today_s_schemas_keep_the_promises_of_the_first(name: str) -> None:
    """No published field was dropped, renamed, retyped or made optional; no command field became required."""
    # Given
    now = published_schemas()[f"{name}.v1.json"]

    # When
    broken = broken_promises(frozen(name), now, is_read_by_others=name in READERS)

    # Then
    assert broken == []


def _gone(schema: Json) -> None:
    del schema["$defs"]["Outcome"]["properties"]["ref"]


def _renamed(schema: Json) -> None:
    schema["properties"]["crm_object_name"] = schema["properties"].pop("crm_object")


def _retyped(schema: Json) -> None:
    schema["properties"]["record_count"]["type"] = "string"


def _optional(schema: Json) -> None:
    schema["required"].remove("status")


def _widened(schema: Json) -> None:
    schema["$defs"]["FailureCategory"]["enum"].append("weather")


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (_gone, "Outcome: ref is gone"),
        (_renamed, ": crm_object is gone"),
        (_retyped, ": record_count changed"),
        (_optional, ": status may be missing now"),
        (_widened, "FailureCategory: the closed list changed"),
    ],
)
def test_a_changed_reader_schema_is_noticed(change: Callable[[Json], None], told: str) -> None:
    """A result schema in which something was taken away or changed is told, by name."""
    # Given today's schema, spoilt in memory
    schema = copy.deepcopy(published_schemas()["result.v1.json"])
    change(schema)

    # When
    broken = broken_promises(frozen("result"), schema, is_read_by_others=True)

    # Then
    assert broken == [told]


def test_a_command_field_that_becomes_required_is_noticed() -> None:
    """A command that was valid stays valid: a new duty for publishers is told."""
    # Given
    schema = copy.deepcopy(published_schemas()["command.v1.json"])
    schema["$defs"]["PushCommand"]["required"].append("mode")

    # When
    broken = broken_promises(frozen("command"), schema, is_read_by_others=False)

    # Then
    assert broken == ["PushCommand: mode is required now"]


def test_new_fields_are_no_broken_promise() -> None:
    """Readers gain fields and commands gain optional ones without anybody being told."""
    # Given
    result = copy.deepcopy(published_schemas()["result.v1.json"])
    result["properties"]["region"] = {"type": "string"}
    result["required"].append("region")
    command = copy.deepcopy(published_schemas()["command.v1.json"])
    command["$defs"]["PushCommand"]["properties"]["priority"] = {"type": "integer", "default": 0}

    # When, Then
    assert broken_promises(frozen("result"), result, is_read_by_others=True) == []
    assert broken_promises(frozen("command"), command, is_read_by_others=False) == []


def test_the_first_commands_are_still_accepted() -> None:
    """The example commands of the first version are accepted by today's model."""
    # Given
    commands = frozen("command")["examples"]
    assert len(commands) == 3

    for command in commands:
        # When
        read = SYNC_COMMAND.validate_python(command)

        # Then
        assert read.entity == command["entity"]
