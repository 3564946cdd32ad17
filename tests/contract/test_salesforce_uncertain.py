"""What Salesforce's documents leave open: each is a switch of the sandbox, and the adapter holds under all settings."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from crm.adapters.salesforce import SalesforceAdapter, writes
from crm.adapters.salesforce.calls import Org
from crm.adapters.salesforce.describe import ObjectFields
from crm.errors import CommandRefused, ConfigurationFault
from crm.model import CallScope, CrmRecord, FieldMapping, PushOptions
from sandbox.server import SandboxServer
from services.salesforce_org import CLIENT, ConnectedOrg, connected_org


@pytest.fixture(scope="module")
def server() -> Iterator[SandboxServer]:
    with SandboxServer() as running:
        yield running


@pytest.fixture
def org(server: SandboxServer) -> Iterator[ConnectedOrg]:
    with connected_org(server.origin) as connected:
        yield connected


def person(index: int, **fields: Any) -> CrmRecord:
    return CrmRecord(
        {"email": f"p{index}@acme.io", "last_name": f"N{index}", "company_name": "Acme", **fields}, index=index
    )


def haunted(org: ConnectedOrg, **changes: Any) -> FieldMapping:
    """Let every describe tell a field that Salesforce will refuse, and map it."""
    described = org.adapter._describes.get

    def get(one: Org, crm_object: str) -> ObjectFields:
        fields = described(one, crm_object)
        ghost = replace(fields.by_name["title"], **changes)
        return replace(fields, by_name={**fields.by_name, ghost.name.lower(): ghost})

    org.adapter._describes.get = get  # type: ignore[method-assign]
    return FieldMapping("ghost", changes["name"])


@pytest.mark.parametrize("unknown_field", ["call", "record"])
def test_an_unknown_field_fails_its_record_alone(org: ConnectedOrg, unknown_field: str) -> None:
    """Whether Salesforce refuses the whole call or the record: the other 19 land, and the reason is the same."""
    # Given creates without a look-up, which would tell
    org.switch(unknown_field=unknown_field)
    ghost = haunted(org, name="Ghost__c")
    records = [person(index, email=None, **({"ghost": "boo"} if index == 7 else {})) for index in range(20)]

    # When
    result = org.push("Lead", records, options=PushOptions("Lead", mode="create"), extra=(ghost,))

    # Then
    assert [outcome.index for outcome in result.outcomes if outcome.action == "failed"] == [7]
    failure = result.outcomes[7].errors[0]
    assert (failure.code, failure.crm_code, failure.retryable) == ("unknown_field", "INVALID_FIELD", False)
    assert len(org.stored("Lead")) == 19


@pytest.mark.parametrize(("unknown_field", "crm_code"), [("call", "JSON_PARSER_ERROR"), ("record", None)])
def test_a_value_of_the_wrong_type_fails_its_record_alone(
    org: ConnectedOrg, unknown_field: str, crm_code: str | None
) -> None:
    """A describe that is wrong about a type: the record is found and named, whichever way Salesforce refuses it."""
    # Given an adapter that takes NumberOfEmployees for a text
    org.switch(unknown_field=unknown_field)
    haunted(org, name="NumberOfEmployees", kind="string")
    records = [person(index, **({"employee_count": "a few"} if index == 3 else {})) for index in range(10)]

    # When
    result = org.push("Lead", records)

    # Then
    assert [outcome.index for outcome in result.outcomes if outcome.action == "failed"] == [3]
    failure = result.outcomes[3].errors[0]
    assert failure.code == "invalid_value"
    assert failure.crm_code == (crm_code or "INVALID_TYPE_ON_FIELD_IN_RECORD")
    assert len(org.stored("Lead")) == 9


@pytest.mark.parametrize("code", ["EXCEEDED_ID_LIMIT", "LIMIT_EXCEEDED", "A_CODE_OF_TOMORROW"])
def test_a_call_that_is_too_large_is_made_smaller_whatever_its_code(
    org: ConnectedOrg, monkeypatch: pytest.MonkeyPatch, code: str
) -> None:
    """The adapter never sends more than 200; if Salesforce's limit shrank, halves land."""
    # Given an adapter that believes that 300 are allowed
    monkeypatch.setattr(writes, "BATCH", 300)
    org.switch(over_limit_code=code)

    # When 201 are created
    records = [person(index) for index in range(201)]
    result = org.push("Lead", records)

    # Then
    assert {outcome.action for outcome in result.outcomes} == {"created"}
    assert len(org.stored("Lead")) == 201


@pytest.mark.parametrize("is_taken", [False, True])
def test_an_email_is_never_the_key_of_a_collections_upsert(org: ConnectedOrg, *, is_taken: bool) -> None:
    """Whether Salesforce would take it or not: people are looked up."""
    # Given
    org.switch(collections_email_upsert=is_taken)
    org.store("Lead", {"LastName": "Old", "Company": "Acme", "Email": "p0@acme.io"})

    # When
    outcomes = org.push("Lead", [person(0), person(1)], options=PushOptions("Lead", match_on="crm:Email")).outcomes

    # Then
    assert [outcome.action for outcome in outcomes] == ["updated", "created"]
    assert [call for call in org.calls() if "describe" not in call] == [
        "GET /query",
        "PATCH /composite/sobjects",
        "POST /composite/sobjects",
    ]


@pytest.mark.parametrize("code", ["DUPLICATE_VALUE", "DUPLICATE_DML_EXCEPTION"])
def test_one_id_never_comes_twice_in_a_call(org: ConnectedOrg, code: str) -> None:
    """Records of one id are merged before they are sent, so the code of such a refusal does not matter."""
    # Given
    org.switch(duplicate_id_code=code)
    (crm_id,) = org.store("Lead", {"LastName": "Old", "Company": "Acme", "Email": "p0@acme.io"})

    # When
    twice = [replace(person(0), crm_id=crm_id), replace(person(1), crm_id=crm_id[:15])]
    outcomes = org.push("Lead", twice).outcomes

    # Then
    assert [outcome.action for outcome in outcomes] == ["updated", "updated"]
    assert org.stored("Lead")[0]["LastName"] == "N1"


def with_version(org: ConnectedOrg, api_version: str) -> ConnectedOrg:
    adapter = SalesforceAdapter(
        org.adapter._http, CLIENT, api_version=api_version, sandbox_origin=org.adapter._sandbox_origin
    )
    return replace(org, adapter=adapter)


def test_the_newest_version_works_where_it_is_served(org: ConnectedOrg) -> None:
    """v68.0 pushes and pulls as v67.0 does."""
    # Given
    newest = with_version(org, "v68.0")

    # When
    (outcome,) = newest.push("Lead", [person(0)]).outcomes

    # Then
    assert outcome.action == "created"
    mappings = newest.adapter.default_mappings("Lead")
    assert len(newest.adapter.pull_records(newest.tokens, "Lead", mappings, 200)) == 1


def test_a_version_that_is_not_served_yet_is_a_setting(org: ConnectedOrg) -> None:
    """The same 404 means an unknown object; the list of versions tells them apart."""
    # Given an org without v68.0
    org.switch(newest_version=67)
    newest = with_version(org, "v68.0")

    # When / Then
    with pytest.raises(ConfigurationFault) as fault:
        newest.push("Lead", [person(0)])
    assert "v68.0" in fault.value.public
    with pytest.raises(CommandRefused) as refused:
        org.adapter.describe_fields(org.tokens, "Nonsense__c", scope=CallScope())
    assert refused.value.code == "no_mapping_for_entity"
