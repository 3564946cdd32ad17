"""The sandbox's sObject Collections, over a socket: partial success, limits, upsert, and switches that fail records."""

from collections.abc import Iterator
from typing import Any

import pytest

from sandbox.callers import SalesforceCaller
from sandbox.remote import RemoteSandbox
from sandbox.salesforce.ids import to_18
from sandbox.server import SandboxServer


@pytest.fixture(scope="module")
def server() -> Iterator[SandboxServer]:
    with SandboxServer() as running:
        yield running


@pytest.fixture
def org(server: SandboxServer) -> Iterator[SalesforceCaller]:
    remote = RemoteSandbox(server.origin)
    remote.reset()
    caller = SalesforceCaller(remote)
    yield caller
    caller.session.close()


def lead(**values: Any) -> dict[str, Any]:
    return {"attributes": {"type": "Lead"}, "LastName": "Doe", "Company": "Initech", **values}


def codes(item: dict[str, Any]) -> list[str]:
    return [error["statusCode"] for error in item["errors"]]


def test_good_records_are_written_beside_bad_ones(org: SalesforceCaller) -> None:
    """Results come in the order of the request, each with its own errors; the reply is 200."""
    # Given good and bad leads
    records = [
        lead(Email="ada@x.io"),
        {"attributes": {"type": "Lead"}, "Email": "nonsense"},
        lead(Company="x" * 256),
        lead(Rating="Lukewarm"),
        lead(Industry="Anything goes"),
        lead(OwnerId="005000000000001"),
        lead(Name="Read Only"),
        lead(Description="é" * 32_000, NumberOfEmployees=123_456_789),
    ]

    # When they are created
    response = org.collection("POST", records)

    # Then two exist, and the others say why not
    results = response.json()
    assert response.status_code == 200
    assert [codes(item) for item in results] == [
        [],
        ["REQUIRED_FIELD_MISSING", "INVALID_EMAIL_ADDRESS"],
        ["STRING_TOO_LONG"],
        ["INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST"],
        [],
        ["INVALID_CROSS_REFERENCE_KEY"],
        ["INVALID_FIELD_FOR_INSERT_UPDATE"],
        ["NUMBER_OUTSIDE_VALID_RANGE"],
    ]
    assert results[1]["errors"][0]["fields"] == ["LastName", "Company"]
    assert [record["Id"] for record in org.stored()] == [results[0]["id"], results[4]["id"]]
    assert results[0]["id"] == to_18(results[0]["id"][:15])
    assert response.headers["Sforce-Limit-Info"] == "api-usage=1/100000"


def test_all_or_none_takes_everything_back(org: SalesforceCaller) -> None:
    """One failure undoes the others, which say so; the reply is still 200."""
    # Given a good and a bad lead
    # When they must stand or fall together
    response = org.collection("POST", [lead(), lead(Email="nonsense")], allOrNone=True)

    # Then nothing is stored
    assert response.status_code == 200
    assert [codes(item) for item in response.json()] == [
        ["ALL_OR_NONE_OPERATION_ROLLED_BACK"],
        ["INVALID_EMAIL_ADDRESS"],
    ]
    assert org.stored() == []


@pytest.mark.parametrize(
    ("record", "code"),
    [
        ({"Shoe": "42"}, "INVALID_FIELD"),
        ({"LastName": 5}, "JSON_PARSER_ERROR"),
        ({"DoNotCall": "perhaps"}, "JSON_PARSER_ERROR"),
        ({"AnnualRevenue": "much"}, "JSON_PARSER_ERROR"),
    ],
)
def test_what_cannot_be_bound_fails_the_call_or_the_record(
    org: SalesforceCaller, record: dict[str, Any], code: str
) -> None:
    """By default the whole call is a 400; with the switch it is that record's own failure."""
    # Given a record with an unknown field or a wrong JSON type, beside a good one
    records = [lead(**record), lead()]

    # When they are created both ways
    whole = org.collection("POST", records)
    org.remote.switch("salesforce", unknown_field="record")
    single = org.collection("POST", records)

    # Then the first call wrote nothing, the second the good one
    assert (whole.status_code, whole.json()[0]["errorCode"]) == (400, code)
    record_code = "INVALID_TYPE_ON_FIELD_IN_RECORD" if code == "JSON_PARSER_ERROR" else code
    assert [codes(item) for item in single.json()] == [[record_code], []]
    assert len(org.stored()) == 1


def test_more_than_200_records_or_10_chunks_are_refused(org: SalesforceCaller) -> None:
    """The limits hold for the whole call."""
    # Given 201 leads, and 11 changes of type
    contact = {"attributes": {"type": "Contact"}, "LastName": "Doe"}

    # When they are created
    many = org.collection("POST", [lead()] * 201)
    mixed = org.collection("POST", [lead(), contact] * 6)

    # Then neither is
    assert (many.status_code, many.json()[0]["errorCode"]) == (400, "EXCEEDED_ID_LIMIT")
    assert (mixed.status_code, mixed.json()[0]["errorCode"]) == (400, "LIMIT_EXCEEDED")
    assert org.stored() == []


def test_update_changes_what_was_sent_and_null_clears(org: SalesforceCaller) -> None:
    """Fields that are not sent stay; null empties; blanks are trimmed away."""
    # Given a lead
    lead_id = org.collection("POST", [lead(Phone="1", Title="CEO", City="Oslo")]).json()[0]["id"]

    # When it is updated, by its 15-character id
    changes = {"attributes": {"type": "Lead"}, "id": lead_id[:15], "Phone": None, "Title": "  CTO ", "City": "  "}
    results = org.collection("PATCH", [changes]).json()

    # Then the rest stayed
    stored = org.stored()[0]
    assert results == [{"id": lead_id, "success": True, "errors": []}]
    assert (stored["Phone"], stored["Title"], stored["City"], stored["Company"]) == (None, "CTO", None, "Initech")


def test_update_refuses_ids_that_are_not_there(org: SalesforceCaller) -> None:
    """Malformed, foreign, unknown, deleted and repeated ids each have their code."""
    # Given a lead that lives and one that was deleted
    alive, dead = (item["id"] for item in org.collection("POST", [lead(), lead()]).json())
    org.send("DELETE", "/composite/sobjects", params={"ids": dead})
    unknown = to_18("00Q4r1zzzzzzzzz")

    # When all are updated
    ids = ["nonsense", org.org_id, unknown, dead, alive, alive[:15]]
    results = org.collection("PATCH", [{"attributes": {"type": "Lead"}, "id": one, "Title": "x"} for one in ids]).json()

    # Then one works, once
    assert [codes(item) for item in results] == [
        ["MALFORMED_ID"], ["MALFORMED_ID"], ["INVALID_CROSS_REFERENCE_KEY"], ["ENTITY_IS_DELETED"], [],
        ["DUPLICATE_VALUE"],
    ]  # fmt: skip


def test_upsert_tells_created_from_updated(org: SalesforceCaller) -> None:
    """By external id: `created` says which; a key that comes twice or is missing fails; several matches fail."""
    # Given a lead with an external id
    org.collection("POST", [lead(Morket_Id__c="m1")])

    # When known, new, repeated and missing keys are upserted
    records = [
        lead(Morket_Id__c="M1", Title="CEO"),
        lead(Morket_Id__c="m2"),
        lead(Morket_Id__c="m2"),
        lead(),
    ]
    results = org.collection("PATCH", records, "/Lead/Morket_Id__c").json()

    # Then each has its outcome
    assert [item.get("created") for item in results] == [False, True, None, None]
    assert [codes(item) for item in results] == [[], [], ["DUPLICATE_VALUE"], ["MISSING_ARGUMENT"]]
    assert [record.get("Title") for record in org.stored()] == ["CEO", None]


def test_collections_upsert_by_email_only_with_the_switch(org: SalesforceCaller) -> None:
    """By default the key must be an external id; with the switch Email works, and several matches are a failure."""
    # Given two leads with one e-mail
    org.collection("POST", [lead(Email="twin@x.io"), lead(Email="twin@x.io")])
    records = [lead(Email="twin@x.io"), lead(Email="new@x.io")]

    # When leads are upserted by Email, without and with the switch
    refused = org.collection("PATCH", records, "/Lead/Email")
    org.remote.switch("salesforce", collections_email_upsert=True)
    results = org.collection("PATCH", records, "/Lead/Email").json()

    # Then the key is refused, then works
    assert (refused.status_code, refused.json()[0]["errorCode"]) == (404, "NOT_FOUND")
    assert [codes(item) for item in results] == [["DUPLICATE_EXTERNAL_ID"], []]


@pytest.mark.parametrize(
    ("switches", "record", "code"),
    [
        ({"row_lock_next": 1}, {}, "UNABLE_TO_LOCK_ROW"),
        ({"duplicate_rule": "block"}, {"Email": "dup@x.io"}, "DUPLICATES_DETECTED"),
        ({"duplicate_rule": "alert"}, {"Email": "dup@x.io"}, "DUPLICATES_DETECTED"),
        ({"validation_rule": True}, {"Description": "a forbidden word"}, "FIELD_CUSTOM_VALIDATION_EXCEPTION"),
        ({"storage_full": True}, {}, "STORAGE_LIMIT_EXCEEDED"),
        ({"state_country_picklists": True}, {"Country": "Atlantis"}, "FIELD_INTEGRITY_EXCEPTION"),
        ({"state_country_picklists": True}, {"State": "Texas"}, "FIELD_INTEGRITY_EXCEPTION"),
    ],
)
def test_a_switch_makes_a_record_fail(
    org: SalesforceCaller, switches: dict[str, Any], record: dict[str, Any], code: str
) -> None:
    """Locks, duplicate rules, validation rules, full storage and address picklists each have their code."""
    # Given a lead that is there, and a switch
    org.collection("POST", [lead(Email="dup@x.io")])
    org.remote.switch("salesforce", **switches)

    # When another comes
    results = org.collection("POST", [lead(**record)]).json()

    # Then it fails with the vendor's code
    assert codes(results[0]) == [code]


def test_the_duplicate_header_passes_alert_rules_only(org: SalesforceCaller) -> None:
    """`allowSave=true` saves past an alert, never past a block."""
    # Given a lead, and the header
    org.collection("POST", [lead(Email="dup@x.io")])
    org.session.headers["Sforce-Duplicate-Rule-Header"] = "allowSave=true; includeRecordDetails=false"

    # When its twin comes under both rules
    org.remote.switch("salesforce", duplicate_rule="block")
    blocked = org.collection("POST", [lead(Email="dup@x.io")]).json()[0]
    org.remote.switch("salesforce", duplicate_rule="alert")
    saved = org.collection("POST", [lead(Email="dup@x.io")]).json()[0]

    # Then only the alert lets it pass
    assert (blocked["success"], saved["success"]) == (False, True)
