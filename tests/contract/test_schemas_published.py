"""The published contracts are what the models say, valid by their own standards, and their examples are true."""

import json
import shutil
from pathlib import Path
from typing import Any, get_args

import pytest
from jsonschema import Draft202012Validator
from pydantic import BaseModel, TypeAdapter

from schemas import publish
from schemas.command import SYNC_COMMAND, PullCommand, PushCommand, PushRecord
from schemas.connection import ConnectionEvent, CrmAccount
from schemas.dead_letter import DEAD_LETTER_REASONS, DeadLetterReason
from schemas.examples import EXAMPLES, PARTIAL_RESULT, PUSH_COMMAND
from schemas.failure import CATEGORIES, COMMAND_FAILURES, FailureCategory
from schemas.plan import FieldChange, PlannedRecord, SyncPlan
from schemas.records import PulledRecord, PulledRecords
from schemas.result import Counts, Failure, Outcome, OutcomeWarning, PullSummary, SourcePosition, SyncResult
from services.workspace import REPOSITORY

MODELS: dict[str, TypeAdapter[Any]] = {
    "command": SYNC_COMMAND,
    "result": TypeAdapter(SyncResult),
    "plan": TypeAdapter(SyncPlan),
    "records": TypeAdapter(PulledRecords),
    "connection": TypeAdapter(ConnectionEvent),
}
PARTS: tuple[type[BaseModel], ...] = (
    *(PushCommand, PullCommand, PushRecord, SyncResult, Counts, Failure, Outcome, OutcomeWarning, PullSummary),
    *(SourcePosition, SyncPlan, PlannedRecord, FieldChange, PulledRecords, PulledRecord, ConnectionEvent, CrmAccount),
)


def schema_of(name: str) -> dict[str, Any]:
    text = (REPOSITORY / "schemas/json" / f"{name}.v1.json").read_text(encoding="utf-8")
    schema: dict[str, Any] = json.loads(text)
    return schema


def test_what_is_checked_in_is_what_the_models_say() -> None:
    """Every published file, generated anew, equals the one that is checked in."""
    # Given what the models say now
    files = publish.published(REPOSITORY)

    # When it is compared with the files
    differing = publish.stale(files)

    # Then nothing differs, and all five schemas, the AsyncAPI document and both pages were compared
    assert differing == []
    assert len(files) == 8


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    for folder in ("schemas/json", "docs"):
        shutil.copytree(REPOSITORY / folder, tmp_path / folder)
    shutil.copy(REPOSITORY / "schemas/asyncapi.json", tmp_path / "schemas")
    return tmp_path


@pytest.mark.parametrize(
    ("stale", "word"),
    [
        ("schemas/json/result.v1.json", "retryable"),
        ("schemas/asyncapi.json", "retryable"),
        ("docs/errors.md", "command_id_reused"),
        ("docs/contracts.md", "`include_deleted`"),
    ],
)
def test_check_fails_and_names_the_file_that_differs(
    copy: Path, stale: str, word: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """`--check` ends with 1, names the file, and writes nothing; without it the file is written and all is well."""
    # Given a published file that somebody edited
    path = copy / stale
    right = path.read_text(encoding="utf-8")
    path.write_text(f"{word}!".join(right.rsplit(word, 1)), encoding="utf-8")
    edited = path.read_text(encoding="utf-8")
    assert edited != right

    # When it is checked
    code = publish.main(["--check"], root=copy)

    # Then it is named and left as it is
    assert code == 1
    assert f"differs: {stale}" in capsys.readouterr().out
    assert path.read_text(encoding="utf-8") == edited

    # And publishing puts it right
    assert publish.main([], root=copy) == 0
    assert path.read_text(encoding="utf-8") == right
    assert publish.main(["--check"], root=copy) == 0


def test_check_fails_when_a_file_is_missing(copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A schema that was deleted counts as different."""
    # Given
    (copy / "schemas/json/plan.v1.json").unlink()

    # When
    code = publish.main(["--check"], root=copy)

    # Then
    assert code == 1
    assert "differs: schemas/json/plan.v1.json" in capsys.readouterr().out


def test_a_page_without_a_place_for_a_section_is_refused() -> None:
    """A generated section cannot get lost, and a page cannot ask for one that does not exist."""
    # Given a page with one place, and two sections
    page = "<!-- generated: one -->\n<!-- end -->\n"

    # When it has its section, Then it is filled
    assert publish.fill(page, {"one": "text"}) == "<!-- generated: one -->\ntext\n<!-- end -->\n"

    # When a section has no place, or a place no section, Then it is refused by name
    with pytest.raises(publish.UnknownSection, match="two"):
        publish.fill(page, {"one": "text", "two": "text"})
    with pytest.raises(publish.UnknownSection, match="one"):
        publish.fill(page, {})


@pytest.mark.parametrize("name", MODELS)
def test_a_schema_is_valid_json_schema(name: str) -> None:
    """Each schema follows JSON Schema 2020-12 and has an id, a title, a description and examples."""
    # Given
    schema = schema_of(name)

    # When, Then
    Draft202012Validator.check_schema(schema)
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert schema["$id"] == f"urn:morket:crm-sync:schema:{name}.v1"
    assert schema["title"]
    assert schema["description"]
    assert schema["examples"]


@pytest.mark.parametrize(("name", "example"), [(name, shown) for name, all_ in EXAMPLES.items() for shown in all_])
def test_an_example_is_valid_for_its_schema_and_its_model(name: str, example: dict[str, Any]) -> None:
    """What the documentation shows is accepted by the schema, by the model, and is written back as it was read."""
    # Given
    schema, model = schema_of(name), MODELS[name]

    # When
    read = model.validate_python(example)
    written = json.loads(model.dump_json(read, exclude_unset=True))

    # Then
    assert list(Draft202012Validator(schema).iter_errors(example)) == []
    assert written == example


def test_examples_count_what_they_show() -> None:
    """The counts of the example results add up, as the contract promises."""
    for example in EXAMPLES["result"]:
        # Given
        result = SyncResult.model_validate(example)

        # When
        counted = sum(result.counts.model_dump().values())

        # Then
        assert result.record_count == result.success_count + result.failure_count + result.skipped_count
        assert counted == (0 if result.direction == "pull" else result.record_count)


def test_a_command_with_an_unknown_field_is_refused_by_its_schema() -> None:
    """The command's schema is closed everywhere: a misspelt field is found before it is sent."""
    # Given
    validator = Draft202012Validator(schema_of("command"))
    record = PUSH_COMMAND["records"][0]

    # When, Then
    assert validator.is_valid(PUSH_COMMAND)
    assert not validator.is_valid({**PUSH_COMMAND, "dryrun": True})
    assert not validator.is_valid({**PUSH_COMMAND, "records": [{**record, "emial": "a"}]})
    assert not validator.is_valid({**PUSH_COMMAND, "records": [{**record, "fields": {"no name": "a"}}]})
    assert not validator.is_valid({**PUSH_COMMAND, "records": [{**record, "fields": {"name": {"nested": 1}}}]})


def test_a_reader_accepts_fields_of_later_versions() -> None:
    """The schemas of what is sent allow fields that they do not know, at every level."""
    # Given a result of a later version
    later = {**PARTIAL_RESULT, "region": "eu", "counts": {**PARTIAL_RESULT["counts"], "merged": 1}}
    later["outcomes"] = [{**outcome, "tried": 2} for outcome in PARTIAL_RESULT["outcomes"]]

    # When, Then
    assert list(Draft202012Validator(schema_of("result")).iter_errors(later)) == []
    assert SyncResult.model_validate(later) == SyncResult.model_validate(PARTIAL_RESULT)


@pytest.mark.parametrize("model", PARTS)
def test_every_field_says_what_it_means(model: type[BaseModel]) -> None:
    """No field of a contract is published without a description."""
    # Given, When
    silent = [name for name, field in model.model_fields.items() if not field.description]

    # Then
    assert silent == []


def test_every_failure_has_its_words() -> None:
    """Every category is explained, every code has a hint, and the dead letter reasons are those in use."""
    # Given, When, Then
    assert set(CATEGORIES) == set(FailureCategory)
    assert all(failure.hint for failure in COMMAND_FAILURES.values())
    assert set(DEAD_LETTER_REASONS) == set(get_args(DeadLetterReason))
