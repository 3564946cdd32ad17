"""The AsyncAPI document is valid by AsyncAPI's own schema, whole in itself, and tells what the service does."""

import json
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

import pytest
from jsonschema import Draft7Validator

from consumer.dead_letters import dead_letter
from consumer.decode import RawMessage, Unreadable
from crm.store.ownership import PartitionId
from schemas.dead_letter import DEAD_LETTER_HEADERS
from schemas.envelope import encode
from schemas.result import SyncResult
from schemas.topics import EventType, Topics, message_key
from services.workspace import REPOSITORY

Json = dict[str, Any]


@pytest.fixture(scope="module")
def document() -> Json:
    text = (REPOSITORY / "schemas/asyncapi.json").read_text(encoding="utf-8")
    read: Json = json.loads(text)
    return read


@pytest.fixture(scope="module")
def asyncapi() -> Draft7Validator:
    """AsyncAPI's schema; its definitions stand within it, each under its own id, so nothing is fetched."""
    path = REPOSITORY / "tests/contract/asyncapi-3.0.0.schema.json"
    return Draft7Validator(json.loads(path.read_text(encoding="utf-8")))


def resolve(document: Json, reference: str) -> Any:
    part: Any = document
    for step in reference.removeprefix("#/").split("/"):
        part = part[step.replace("~1", "/").replace("~0", "~")]
    return part


def references(node: object) -> list[str]:
    if isinstance(node, dict):
        own = [node["$ref"]] if isinstance(node.get("$ref"), str) else []
        return own + [found for child in node.values() for found in references(child)]
    return [found for child in node for found in references(child)] if isinstance(node, list) else []


def payload_validator(document: Json, message: Json) -> Draft7Validator:
    return Draft7Validator({**message["payload"], "components": document["components"]})


def test_the_document_follows_asyncapi(document: Json, asyncapi: Draft7Validator) -> None:
    """The document is valid by the schema that the AsyncAPI Initiative publishes for version 3.0.0."""
    # Given, When
    errors = [f"{error.json_path}: {error.message[:200]}" for error in asyncapi.iter_errors(document)]

    # Then
    assert document["asyncapi"] == "3.0.0"
    assert errors == []


@pytest.mark.parametrize(
    ("path", "wrong"),
    [
        (("operations", "sendPlan", "action"), "emit"),
        (("channels", "syncResults", "bindings", "kafka", "topick"), "x"),
        (("components", "messages", "syncResult", "payload", "type"), "objekt"),
        (("components", "correlationIds", "commandId", "location"), "command_id"),
        (("info", "version"), 1),
    ],
)
def test_the_check_finds_what_is_wrong(
    document: Json, asyncapi: Draft7Validator, path: tuple[str, ...], wrong: object
) -> None:
    """A document that breaks AsyncAPI's rules is refused: the check above can fail."""
    # Given the document with one thing wrong
    broken = json.loads(json.dumps(document))
    *parents, last = path
    place = broken
    for step in parents:
        place = place[step]
    place[last] = wrong

    # When, Then
    assert not asyncapi.is_valid(broken)


def test_every_reference_leads_somewhere(document: Json) -> None:
    """All references stay within the document and can be resolved."""
    # Given
    found = references(document)

    # When, Then
    assert found
    assert [reference for reference in found if resolve(document, reference) is None] == []


def test_the_channels_are_the_topics(document: Json) -> None:
    """The document names every public topic by its default name, and no other."""
    # Given the relay's own bookkeeping is nobody else's business
    public = {topic for name, topic in asdict(Topics()).items() if name != "relay_cursor"}

    # When
    addresses = {channel["address"] for channel in document["channels"].values()}
    bound = {channel["bindings"]["kafka"]["topic"] for channel in document["channels"].values()}

    # Then
    assert addresses == bound == public


def test_the_operations_are_named_from_the_service_s_view(document: Json) -> None:
    """The service receives commands and sends everything else, each message by one operation."""
    # Given, When
    actions = {name: operation["action"] for name, operation in document["operations"].items()}
    handled = [message["$ref"] for operation in document["operations"].values() for message in operation["messages"]]

    # Then
    assert actions == {
        "receiveSyncCommand": "receive",
        "sendSyncResult": "send",
        "sendPlan": "send",
        "sendPulledRecords": "send",
        "sendDeadLetter": "send",
        "sendConnectionEvent": "send",
    }
    carried = [
        f"#/channels/{name}/messages/{message}"
        for name, channel in document["channels"].items()
        for message in channel["messages"]
    ]
    assert sorted(handled) == sorted(carried)


def test_clients_are_told_what_they_must_set(document: Json) -> None:
    """Consumers read that they need `read_committed`, producers that they need `murmur2_random`."""
    # Given, When, Then
    assert "isolation.level=read_committed" in document["info"]["description"]
    for name, channel in document["channels"].items():
        if name == "syncCommands":
            assert "murmur2_random" in channel["description"]
            assert channel["x-producer-settings"] == {"partitioner": "murmur2_random"}
        else:
            assert "isolation.level=read_committed" in channel["description"]
            assert channel["x-consumer-settings"] == {"isolation.level": "read_committed"}


def test_the_examples_are_valid_payloads(document: Json) -> None:
    """Every example message is valid for the payload that its message names, and a spoilt one is not."""
    # Given
    messages = {name: one for name, one in document["components"]["messages"].items() if "examples" in one}
    assert len(messages) == 5

    for message in messages.values():
        # When
        validator = payload_validator(document, message)

        # Then
        for example in message["examples"]:
            assert list(validator.iter_errors(example["payload"])) == []
            assert not validator.is_valid({**example["payload"], "integration": 7})


def test_what_is_sent_has_the_documented_headers_and_key(document: Json) -> None:
    """An event as the service encodes it is valid for the headers, key and payload of its message."""
    # Given
    message = document["components"]["messages"]["syncResult"]
    result = SyncResult.model_validate(message["examples"][0]["payload"])

    # When
    headers, value = encode(
        EventType.RESULT, "e-1", result, subject=result.command_id, time=datetime(2026, 11, 22, tzinfo=UTC)
    )
    key = message_key(result.workspace_id, result.integration or "")

    # Then
    sent = {name: content.decode() for name, content in headers}
    assert list(Draft7Validator(message["headers"]).iter_errors(sent)) == []
    assert list(Draft7Validator(message["bindings"]["kafka"]["key"]).iter_errors(key)) == []
    assert list(payload_validator(document, message).iter_errors(json.loads(value))) == []
    assert not Draft7Validator(message["headers"]).is_valid({**sent, "ce_type": EventType.PLAN.value})


def test_a_dead_letter_has_the_documented_headers(document: Json) -> None:
    """The headers that are added to a dead letter are exactly those that are published."""
    # Given a message that cannot be read
    message = RawMessage(
        PartitionId("crm.sync.commands", 3), 812, b"key", b"not json", [("mine", b"1")], 1_700_000_000_000
    )

    # When
    finished = dead_letter(
        message,
        Unreadable("not_json", "not JSON"),
        epoch=1,
        topic="crm.sync.dead_letters",
        group_id="crm-sync",
        now=datetime(2026, 11, 22, tzinfo=UTC),
    )

    # Then
    sent = {name: (content or b"").decode() for name, content in finished.messages[0].headers}
    assert set(sent) - {"mine"} == {header.value for header in DEAD_LETTER_HEADERS}
    documented = document["components"]["messages"]["deadLetter"]["headers"]
    assert list(Draft7Validator(documented).iter_errors(sent)) == []
