"""Bad input, case by case, through real parts: what is answered, what becomes a dead letter, whom it disturbs."""

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from typing import Any
from uuid import UUID, uuid4

import pytest

from sandbox.server import SandboxServer
from services.broker import Broker
from services.database import create_database, drop_database, fresh_name
from services.house import House, open_house, person, push, wait_until

pytestmark = pytest.mark.broker

LARGE = 2_000_000
#: As on a broker that lets through what this service must bear: large messages, timestamps of the future.
TOPIC = {"max.message.bytes": "4000000", "message.timestamp.after.max.ms": str(2**63 - 1)}


@dataclass(frozen=True)
class Place:
    """A house at work, a workspace in it with a connected Salesforce, and that org's id. HubSpot is not configured."""

    house: House
    workspace_id: UUID
    org_id: str

    def push(self, *records: dict[str, Any], **changes: Any) -> dict[str, Any]:
        """A push to the connected Salesforce; a change to `...` leaves a field out."""
        command = push(self.workspace_id, "salesforce", records or (person(uuid4().hex),)) | changes
        return {name: value for name, value in command.items() if value is not ...}

    def run(self, command: dict[str, Any], **message: Any) -> dict[str, Any]:
        """Publish a command and return its result, which has a history row where its workspace exists."""
        self.house.publish(command, **message)
        result = self.house.result_of(command["command_id"])
        self.check_history(result)
        return result

    def check_history(self, result: dict[str, Any]) -> None:
        """The row that stands for a result says the same."""
        known = self.house.rows("SELECT id FROM workspaces WHERE id = :id", id=result["workspace_id"])
        rows = self.house.rows("SELECT * FROM sync_history WHERE id = :id", id=result["sync_id"])
        assert len(rows) == len(known)
        for row in rows:
            assert (row.status, row.record_count, row.error_code) == (
                result["status"], result["record_count"], (result["error"] or {}).get("code"),
            )  # fmt: skip

    def leads(self) -> set[str]:
        """E-mail addresses of the org's leads."""
        return {lead["Email"] for lead in self.house.sandbox.records("salesforce", self.org_id, "Lead")}


@pytest.fixture(scope="module")
def place(
    tmp_path_factory: pytest.TempPathFactory, database_server: str, database_template: str, broker: Broker
) -> Iterator[Place]:
    """One worker and one relay for all cases."""
    name = fresh_name("bad_input")
    database_url = create_database(database_server, name, template=database_template)
    settings = {"HUBSPOT_CLIENT_ID": "", "HUBSPOT_CLIENT_SECRET": ""}
    folder, limit = tmp_path_factory.mktemp("house"), {"commands": TOPIC}
    with (
        SandboxServer() as crm,
        open_house(folder, database_url, broker.bootstrap_servers, crm.origin, topic_config=limit, **settings) as house,
    ):
        house.start("relay")
        house.start("worker", CRM_SYNC_INSTANCE_ID="w1")
        workspace_id = house.workspace()
        yield Place(house, workspace_id, house.connect(workspace_id, "salesforce"))
    drop_database(database_server, name)


def refused(place: Place, command: dict[str, Any], code: str, **message: Any) -> dict[str, Any]:
    """The result of a command that is refused as a whole: failed, with a code and a reason, and no CRM call."""
    calls = place.house.sandbox.stats()["requests"]
    result = place.run(command, **message)
    assert (result["status"], result["error"]["code"]) == ("failed", code), result["error"]
    assert result["error"]["message"]
    assert result["success_count"] == 0
    assert result["record_count"] == result["failure_count"] == len(result["outcomes"])
    assert place.house.sandbox.stats()["requests"] == calls
    return result


def dead_letter(place: Place, value: bytes | None, **message: Any) -> tuple[Any, dict[str, bytes]]:
    """What lies in the dead-letter topic for a published message, and its headers."""
    mark = uuid4().hex.encode()
    headers = [("mark", mark), *message.pop("headers", [])]
    place.house.publish_raw(value, headers=headers, **message)
    found: list[Any] = []

    def there() -> bool:
        letters = place.house.messages(place.house.inside.topics.dead_letters)
        found[:] = [letter for letter in letters if ("mark", mark) in letter.headers()]
        return bool(found)

    wait_until(there, 40, place.house.logs)
    (letter,) = found
    return letter, dict(letter.headers())


@pytest.mark.parametrize(
    ("value", "headers", "reason"),
    [
        pytest.param(b"hello", [], "not_json", id="text"),
        pytest.param(b"\xff\xfe\x00\x01", [], "not_json", id="bytes that are no text"),
        pytest.param(b"", [], "not_json", id="nothing"),
        pytest.param(None, [], "not_json", id="a tombstone"),
        pytest.param(b"[]", [], "not_json", id="a list"),
        pytest.param(b'{"command_id": "c", "records": []}', [], "no_readable_ids", id="no workspace id"),
        pytest.param(b'{"workspace_id": "acme", "command_id": "c"}', [], "no_readable_ids", id="no UUID"),
        pytest.param(
            b'{"workspace_id": "7d0a2a0e-3a5e-4e52-9b9e-0d2f7f3c1a11", "command_id": 5}', [], "no_readable_ids",
            id="command id is a number",
        ),
        pytest.param(
            b'{"workspace_id": "7d0a2a0e-3a5e-4e52-9b9e-0d2f7f3c1a11", "command_id": "c"}',
            [("ce_type", b"io.morket.crm.sync.result.v1"), ("ce_id", b"e")], "not_a_command", id="a result",
        ),
    ],
)  # fmt: skip
def test_what_names_nobody_becomes_a_dead_letter_as_it_came(
    place: Place, value: bytes | None, headers: list[tuple[str, bytes]], reason: str
) -> None:
    """Bytes, key, headers and timestamp are untouched; the reason, the place and the hash stand in added headers."""
    # Given a message with a key, headers and a time of its own
    at_ms = int(time.time() * 1000) - 3_600_000
    all_bytes = ("any", bytes(range(256)))
    # When
    letter, added = dead_letter(place, value, key=b"any \xff key", headers=[*headers, all_bytes], timestamp=at_ms)
    # Then
    assert (letter.value(), letter.key(), letter.timestamp()[1]) == (value, b"any \xff key", at_ms)
    assert letter.headers()[1 : 2 + len(headers)] == [*headers, all_bytes]
    assert added["dlq.error.code"] == reason.encode()
    assert added["dlq.error.message"]
    assert added["dlq.original.topic"] == place.house.inside.topics.commands.encode()
    assert added["dlq.original.sha256"] == sha256(value or b"").hexdigest().encode()


def test_a_2_mb_message_leaves_hash_and_position(place: Place) -> None:
    """Too large for us and for the dead-letter topic: its headers, hash and place remain."""
    # Given a command of 2 MB
    command = place.push(person("large", title="x" * LARGE))
    value = json.dumps(command).encode()
    # When
    letter, added = dead_letter(place, value, key=f"{place.workspace_id}:salesforce".encode())
    # Then
    assert letter.value() is None
    assert added["dlq.error.code"] == b"too_large"
    assert added["dlq.original.size"] == str(len(value)).encode()
    assert added["dlq.original.sha256"] == sha256(value).hexdigest().encode()
    assert int(added["dlq.original.partition"]) in range(4)
    assert int(added["dlq.original.offset"]) >= 0
    assert command["command_id"] not in {result["command_id"] for result in place.house.results()}


def test_a_message_that_outlived_the_memory_of_commands_is_never_run(place: Place) -> None:
    """A good command with a timestamp of 31 days ago may have been run and forgotten: it is put aside."""
    # Given
    command = place.push()
    at_ms = int((time.time() - 31 * 86_400) * 1000)
    # When
    letter, added = dead_letter(
        place, json.dumps(command).encode(), key=f"{place.workspace_id}:salesforce".encode(), timestamp=at_ms
    )
    # Then
    assert (added["dlq.error.code"], letter.timestamp()[1]) == (b"too_old", at_ms)
    assert place.leads().isdisjoint({command["records"][0]["fields"]["email"]})


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        pytest.param({"direction": "sideways"}, "direction", id="wrong shape"),
        pytest.param({"records": {"email": "a@b.c"}}, "records", id="records are no list"),
        pytest.param({"records": []}, "records", id="0 records"),
        pytest.param({"records": [{"fields": person(n)} for n in range(201)]}, "records", id="201 records"),
        pytest.param({"colour": "red"}, "colour", id="unknown field"),
        pytest.param(
            {"records": [{"fields": {}, "email": "a@b.c"}]}, "records[0].email", id="unknown field of a record"
        ),
        pytest.param(
            {"records": [{"fields": {"email": {"work": "a@b.c"}}}]}, "records[0].fields.email", id="nested value"
        ),
        pytest.param({"records": [{"fields": {"email": [["a"]]}}]}, "records[0].fields.email", id="nested list"),
        pytest.param({"entity": ...}, "entity", id="no entity"),
        pytest.param({"integration": "Sales Force"}, "integration", id="integration is no slug"),
        pytest.param({"integration": ...}, "integration", id="no integration"),
        pytest.param({"mode": "merge"}, "mode", id="unknown mode"),
        pytest.param({"expires_at": "soon"}, "expires_at", id="no instant"),
    ],
)
def test_what_breaks_the_contract_is_answered_by_field(place: Place, changes: dict[str, Any], field: str) -> None:
    """A publisher that can be named is told what is wrong and where; nothing is called."""
    # Given
    command = place.push(**changes)
    # When
    if len(changes.get("records", ())) > 200:
        result = place.run(command)
        assert (result["status"], result["error"]["code"], result["record_count"]) == ("failed", "invalid_command", 0)
    else:
        result = refused(place, command, "invalid_command")
    # Then
    assert result["error"]["field"] == field
    assert result["error"]["category"] == "contract"


@pytest.mark.parametrize(
    ("body", "key"),
    [({}, None), ({}, b"salesforce"), ({}, b"\xff\xfe"), ({"integration": "hubspot"}, "{workspace}:salesforce")],
)
def test_a_wrong_or_missing_key_is_answered(place: Place, body: dict[str, Any], key: Any) -> None:
    """A command under another connection's key, or none, would break the order of that connection."""
    # Given
    wanted = key.format(workspace=place.workspace_id) if isinstance(key, str) else key
    # When
    result = refused(place, place.push(**body), "key_mismatch", key=wanted)
    # Then
    assert "expected" in result["error"]["message"]


def test_an_unknown_workspace_is_answered_without_a_row(place: Place) -> None:
    """History belongs to workspaces; the publisher gets a result all the same."""
    # Given
    command = place.push(workspace_id=str(uuid4()))
    # When
    result = refused(place, command, "unknown_workspace")
    # Then
    assert place.house.rows("SELECT 1 FROM sync_history WHERE workspace_id = :id", id=result["workspace_id"]) == []


@pytest.mark.parametrize(
    ("slug", "code"), [("pipedrive", "unknown_integration"), ("hubspot", "integration_not_configured")]
)
def test_an_integration_that_is_not_registered_or_not_configured_is_answered(
    place: Place, slug: str, code: str
) -> None:
    """The publisher is told whether the name is wrong or an operator has something to do."""
    # Given
    command = place.push(integration=slug)
    # When, Then
    refused(place, command, code)


def test_an_integration_that_is_not_connected_is_answered(place: Place) -> None:
    """Nobody has connected this CRM to the workspace: failed at once, and worth sending again later."""
    # Given
    command = push(place.house.workspace(), "salesforce", [person(1)])
    # When
    result = refused(place, command, "not_connected")
    # Then
    assert result["error"]["retryable"]


@pytest.mark.parametrize(
    ("changes", "code"), [({"dry_run": True}, "not_supported_yet"), ({"mode": "delete"}, "delete_not_allowed")]
)
def test_an_option_that_is_not_built_or_not_allowed_is_answered(
    place: Place, changes: dict[str, Any], code: str
) -> None:
    """What is part of the contract and not built yet, or not allowed here, is refused; it is never ignored."""
    # Given, When, Then
    refused(place, place.push(**changes), code)


@pytest.mark.parametrize("name", ["a\u0000b", "a\ud800b"])
def test_text_that_no_database_can_store_stops_nobody(place: Place, name: str) -> None:
    """NUL and lone surrogates in a field that goes to the database are answered, and the next command runs."""
    # Given
    command = place.push(integration=name)
    # When
    place.house.publish(command, key=f"{place.workspace_id}:salesforce")
    result = place.house.result_of(command["command_id"])
    # Then
    assert (result["status"], result["error"]["code"]) == ("failed", "invalid_command")
    assert place.run(place.push())["status"] == "completed"


@pytest.mark.parametrize("timestamp_ms", [253402300800000, 1_795_000_000_000_000])
def test_a_timestamp_of_the_far_future_stops_nobody(place: Place, timestamp_ms: int) -> None:
    """A publisher that writes microseconds, or a year that no calendar has, is served like any other."""
    # Given
    command = place.push()
    # When
    place.house.publish(command, timestamp=timestamp_ms)
    # Then
    assert place.house.result_of(command["command_id"])["status"] == "completed"


def test_an_object_with_no_mapping_is_answered(place: Place) -> None:
    """Without any field mapped there is nothing to write."""
    # Given
    command = place.push(entity="Opportunity")
    # When, Then
    refused(place, command, "no_mapping_for_entity")


def test_the_same_command_twice_is_run_and_answered_once(place: Place) -> None:
    """Same id and same body, in whatever order its keys come: one run, one result, one row."""
    # Given
    command = place.push()
    turned = dict(reversed(command.items()))
    place.run(command)
    calls = _data_calls(place)
    # When it comes again, twice, and then another command of the same connection
    place.house.publish(turned)
    place.house.publish(command)
    behind = place.run(place.push())
    # Then the one behind is answered, the repetition is not, and only the one behind called the CRM
    answered = [result["command_id"] for result in place.house.results()]
    assert answered.count(command["command_id"]) == 1
    assert _data_calls(place) - calls == behind["api_calls"]


def test_the_same_id_with_another_body_is_refused_and_hides_nothing(place: Place) -> None:
    """The first keeps its result and its row; each other body is told, once, that the id is taken."""
    # Given
    first = place.push()
    place.run(first)
    other = {**place.push(), "command_id": first["command_id"]}
    # When the other body comes, and comes again
    place.house.publish(other)
    place.house.publish(other)
    place.run(place.push())
    # Then
    answers = [result for result in place.house.results() if result["command_id"] == first["command_id"]]
    assert [(answer["status"], (answer["error"] or {}).get("code")) for answer in answers] == [
        ("completed", None), ("failed", "command_id_reused"),
    ]  # fmt: skip
    for answer in answers:
        place.check_history(answer)
    assert other["records"][0]["fields"]["email"] not in place.leads()


def test_a_record_without_match_value_fails_alone(place: Place) -> None:
    """A person without e-mail cannot be matched: that record fails, the others land."""
    # Given
    good = person(uuid4().hex)
    command = place.push(good, {"last_name": "Nobody", "company_name": "Example"}, person(uuid4().hex))
    # When
    result = place.run(command)
    # Then
    assert (result["status"], [outcome["action"] for outcome in result["outcomes"]]) == (
        "partial", ["created", "failed", "created"],
    )  # fmt: skip
    assert result["outcomes"][1]["errors"][0]["code"] == "no_match_value"
    assert good["email"] in place.leads()


def test_invalid_values_fail_alone(place: Place) -> None:
    """No address, too long, of the wrong type, required and missing: each with its reason; the others land."""
    # Given
    good = [person(uuid4().hex) for _ in range(2)]
    command = place.push(
        good[0],
        person(1, email="not an address"),
        person(uuid4().hex, job_title="x" * 500),
        {"email": f"{uuid4().hex}@example.com", "company_name": "Example"},
        person(uuid4().hex, first_name="a\u0000b"),
        good[1],
    )
    # When
    result = place.run(command)
    # Then
    outcomes = result["outcomes"]
    assert [outcome["action"] for outcome in outcomes] == ["created", *["failed"] * 4, "created"]
    assert all(outcome["errors"][0]["message"] for outcome in outcomes[1:5])
    assert [outcome["errors"][0]["field"] for outcome in outcomes[1:5]] == [
        "email", "job_title", "last_name", "first_name",
    ]  # fmt: skip
    assert (result["record_count"], result["success_count"], result["failure_count"]) == (6, 2, 4)
    assert {fields["email"] for fields in good} <= place.leads()


def test_a_crm_message_that_no_database_can_store_is_cleaned(place: Place) -> None:
    """U+0000 and lone surrogates in a CRM's words are taken out; the record's own error stays."""
    # Given a CRM that is full, and says so with such characters
    place.house.sandbox.switch("salesforce", storage_full=True, poison_messages=True)
    # When
    try:
        result = place.run(place.push())
    finally:
        place.house.sandbox.switch("salesforce", storage_full=False, poison_messages=False)
    # Then
    (error,) = result["outcomes"][0]["errors"]
    assert error["crm_code"] == "STORAGE_LIMIT_EXCEEDED"
    assert error["message"].isprintable()
    assert place.house.rows("SELECT 1 FROM sync_history WHERE outcomes::text LIKE '%STORAGE_LIMIT%'")


def test_garbage_between_commands_disturbs_nobody(place: Place) -> None:
    """Commands among unreadable messages of the same partition are answered, in order."""
    # Given
    commands = [place.push(person("steady", job_title=f"Title {number}")) for number in range(5)]
    key = f"{place.workspace_id}:salesforce"
    # When
    for command in commands:
        place.house.publish_raw(b"garbage", key=key)
        place.house.publish(command)
        place.house.publish_raw(b'{"workspace_id": 1}', key=key)
    place.house.result_of(commands[-1]["command_id"])
    # Then
    ids = [command["command_id"] for command in commands]
    results = [result for result in place.house.results() if result["command_id"] in ids]
    assert [result["command_id"] for result in results] == ids
    assert {result["status"] for result in results} == {"completed"}


def _data_calls(place: Place) -> int:
    stats = place.house.sandbox.stats()["by_route"]
    return sum(count for route, count in stats.items() if "/services/data" in route)
