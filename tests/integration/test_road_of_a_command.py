"""The road of a command: Kafka in, CRM records, a history row, a result event, Kafka out."""

import json

import pytest

from services.house import House, person, push

pytestmark = pytest.mark.broker


@pytest.mark.parametrize("slug", ["salesforce", "hubspot"])
def test_push_becomes_records_history_and_one_result(house: House, slug: str) -> None:
    """A pushed command leaves records in the CRM, one history row and one result that agree with each other."""
    # Given
    workspace_id = house.workspace()
    account_id = house.connect(workspace_id, slug)
    command = push(workspace_id, slug, [person(number) for number in range(5)])
    # When
    house.publish(command, headers=[("traceparent", b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")])
    result = house.result_of(command["command_id"])
    # Then
    assert (result["status"], result["counts"]["created"], result["record_count"]) == ("completed", 5, 5)
    assert [outcome["ref"] for outcome in result["outcomes"]] == [f"r{index}" for index in range(5)]
    assert result["crm_account_id"] == account_id
    crm_object, field = ("Lead", "Email") if slug == "salesforce" else ("contacts", "email")
    stored = house.sandbox.records(slug, account_id, crm_object)
    assert {_value(record, field) for record in stored} >= {f"p{number}@example.com" for number in range(5)}
    (row,) = house.rows("SELECT * FROM sync_history")
    assert (row.command_id, row.status, row.success_count, str(row.id)) == (
        command["command_id"], "completed", 5, result["sync_id"],
    )  # fmt: skip
    (message,) = house.messages(house.inside.topics.results)
    headers = {name: value.decode() for name, value in message.headers()}
    assert headers["ce_type"] == "io.morket.crm.sync.result.v1"
    assert headers["traceparent"].startswith("00-0af7651916cd43dd")
    assert message.key().decode() == f"{workspace_id}:{slug}"


@pytest.mark.parametrize("slug", ["salesforce", "hubspot"])
def test_pull_brings_records_on_their_own_topic(house: House, slug: str) -> None:
    """A pull answers with a result and brings the records, typed by Morket field, on the records topic."""
    # Given
    workspace_id = house.workspace()
    house.connect(workspace_id, slug)
    pushed = push(workspace_id, slug, [person(number) for number in range(3)])
    house.publish(pushed)
    house.result_of(pushed["command_id"])
    pull = {
        "command_id": "pull-1", "workspace_id": str(workspace_id), "integration": slug, "direction": "pull",
        "entity": "person",
    }  # fmt: skip
    # When
    house.publish(pull)
    result = house.result_of("pull-1")
    # Then
    assert result["status"] == "completed"
    assert result["pull"]["cursor"]
    (message,) = house.messages(house.inside.topics.records)
    records = json.loads(message.value())["records"]
    assert len(records) == result["record_count"] >= 3
    assert {record["fields"]["email"] for record in records} >= {f"p{number}@example.com" for number in range(3)}


def _value(record: dict[str, object], field: str) -> object:
    properties = record.get("properties", record)
    return properties[field] if isinstance(properties, dict) and field in properties else record.get(field)
