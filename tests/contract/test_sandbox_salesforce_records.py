"""The sandbox's Salesforce data API, over a socket: Collections, single records, query, describe, limits."""

from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest
import requests

from sandbox.remote import RemoteSandbox
from sandbox.salesforce.ids import to_18
from sandbox.server import SandboxServer


@pytest.fixture(scope="module")
def server() -> Iterator[SandboxServer]:
    with SandboxServer() as running:
        yield running


class Org:
    """A client of the first org's REST API."""

    def __init__(self, remote: RemoteSandbox) -> None:
        self.remote = remote
        self.org_id = remote.account_ids("salesforce")[0]
        tokens = remote.tokens("salesforce", self.org_id)
        self.instance_url = tokens["instance_url"]
        self.session = requests.Session()
        self.session.headers["Authorization"] = f"Bearer {tokens['access_token']}"

    def send(self, method: str, path: str, **more: Any) -> requests.Response:
        """Send a request below the data API."""
        return self.session.request(method, f"{self.instance_url}/services/data/v67.0{path}", timeout=10, **more)

    def collection(self, method: str, records: list[dict[str, Any]], path: str = "", **body: Any) -> requests.Response:
        """Send records to sObject Collections."""
        return self.send(method, f"/composite/sobjects{path}", json={"allOrNone": False, "records": records, **body})

    def query(self, soql: str, **headers: str) -> dict[str, Any]:
        """Return the first page of a query."""
        reply: dict[str, Any] = self.send("GET", "/query", params={"q": soql}, headers=headers).json()
        return reply

    def stored(self, name: str = "Lead") -> list[dict[str, Any]]:
        """Return what the sandbox has stored."""
        return self.remote.records("salesforce", self.org_id, name)


@pytest.fixture
def org(server: SandboxServer) -> Iterator[Org]:
    remote = RemoteSandbox(server.origin)
    remote.reset()
    org = Org(remote)
    yield org
    org.session.close()


def lead(**values: Any) -> dict[str, Any]:
    return {"attributes": {"type": "Lead"}, "LastName": "Doe", "Company": "Initech", **values}


def codes(item: dict[str, Any]) -> list[str]:
    return [error["statusCode"] for error in item["errors"]]


def test_good_records_are_written_beside_bad_ones(org: Org) -> None:
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


def test_all_or_none_takes_everything_back(org: Org) -> None:
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
def test_what_cannot_be_bound_fails_the_call_or_the_record(org: Org, record: dict[str, Any], code: str) -> None:
    """By default the whole call is a 400; with the switch it is that record's own failure."""
    # Given a record with an unknown field or a wrong JSON type, beside a good one
    records = [lead(**record), lead()]

    # When they are created both ways
    whole = org.collection("POST", records)
    org.remote.switch("salesforce", unknown_field="record")
    single = org.collection("POST", records)

    # Then the first call wrote nothing, the second the good one
    assert (whole.status_code, whole.json()[0]["errorCode"]) == (400, code)
    assert [codes(item) for item in single.json()] == [[code], []]
    assert len(org.stored()) == 1


def test_more_than_200_records_or_10_chunks_are_refused(org: Org) -> None:
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


def test_update_changes_what_was_sent_and_null_clears(org: Org) -> None:
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


def test_update_refuses_ids_that_are_not_there(org: Org) -> None:
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


def test_upsert_tells_created_from_updated(org: Org) -> None:
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


def test_collections_upsert_by_email_only_with_the_switch(org: Org) -> None:
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


def test_single_records_are_created_read_changed_and_deleted(org: Org) -> None:
    """201 with the id, 200, 204, 204, then 404 with an array whose errors say `errorCode`."""
    # Given a contact
    created = org.send("POST", "/sobjects/Contact", json={"LastName": "O'Neil", "Birthdate": "1980-02-29"})
    path = f"/sobjects/Contact/{created.json()['id']}"

    # When it is changed, read and deleted
    changed = org.send("PATCH", path, json={"FirstName": "Ann"})
    read = org.send("GET", path, params={"fields": "Name,Birthdate,CreatedDate"})
    deleted = org.send("DELETE", path)
    gone = org.send("GET", path)

    # Then each answered as documented
    assert [one.status_code for one in (created, changed, read, deleted, gone)] == [201, 204, 200, 204, 404]
    assert read.json()["Name"] == "Ann O'Neil"
    assert read.json()["CreatedDate"].endswith(".000+0000")
    assert gone.json()[0]["errorCode"] == "NOT_FOUND"


def test_a_single_upsert_by_email_answers_201_200_or_300(org: Org) -> None:
    """One match is updated, none is created, several are listed and nothing is written."""
    # Given a path with an e-mail that holds reserved characters
    path = f"/sobjects/Contact/Email/{quote('ann+b/c@x.io', safe='')}"

    # When it is upserted twice, and again after a second contact took the e-mail
    first = org.send("PATCH", path, json={"LastName": "A"})
    second = org.send("PATCH", path, json={"LastName": "B"})
    org.send("POST", "/sobjects/Contact", json={"LastName": "C", "Email": "ann+b/c@x.io"})
    third = org.send("PATCH", path, json={"LastName": "D"})

    # Then the answers differ
    assert [one.status_code for one in (first, second, third)] == [201, 200, 300]
    assert (first.json()["created"], second.json()["created"], len(third.json())) == (True, False, 2)
    assert sorted(record["LastName"] for record in org.stored("Contact")) == ["B", "C"]


def test_a_long_query_is_paged_by_a_host_relative_url(org: Org) -> None:
    """`nextRecordsUrl` is joined to the instance URL; batchSize is a hint between 200 and 2000."""
    # Given 450 leads
    for _ in range(3):
        org.collection("POST", [lead()] * 150)

    # When they are queried with the smallest batch
    page = org.query("SELECT Id FROM Lead ORDER BY Id", **{"Sforce-Query-Options": "batchSize=10"})
    pages = [page]
    while not pages[-1]["done"]:
        url = org.instance_url + pages[-1]["nextRecordsUrl"]
        pages.append(org.session.get(url, timeout=10).json())

    # Then three pages hold all of them
    assert page["nextRecordsUrl"].startswith("/services/data/v67.0/query/01g")
    assert [len(one["records"]) for one in pages] == [200, 200, 50]
    assert {one["totalSize"] for one in pages} == {450}
    assert len({row["Id"] for one in pages for row in one["records"]}) == 450


def test_query_all_finds_deleted_records(org: Org) -> None:
    """`query` does not."""
    # Given a deleted lead
    lead_id = org.collection("POST", [lead()]).json()[0]["id"]
    org.send("DELETE", f"/sobjects/Lead/{lead_id}")

    # When both are asked
    soql = "SELECT Id, IsDeleted FROM Lead"
    everything = org.send("GET", "/queryAll", params={"q": soql}).json()

    # Then queryAll has it
    assert org.query(soql)["records"] == []
    assert [row["IsDeleted"] for row in everything["records"]] == [True]


def test_describe_says_what_the_validation_enforces(org: Org) -> None:
    """Required, length, key and picklist marks are the ones that writes are held to."""
    # Given the description of Lead
    described = {entry["name"]: entry for entry in org.send("GET", "/sobjects/Lead/describe").json()["fields"]}

    # When required fields are worked out as documented
    required = {
        name
        for name, entry in described.items()
        if entry["createable"] and not entry["nillable"] and not entry["defaultedOnCreate"]
    }

    # Then they are the ones that a create asks for
    assert required == {"LastName", "Company"}
    assert described["Title"]["length"] == 128
    assert (described["Email"]["idLookup"], described["Email"]["externalId"]) == (True, False)
    assert described["Morket_Id__c"]["externalId"] is True
    assert described["Name"]["createable"] is False
    assert [entry["name"] for entry in org.send("GET", "/sobjects").json()["sobjects"]].count("Account") == 1


def test_versions_need_no_session_and_data_does(org: Org) -> None:
    """The version list is open; anything else without a live session is 401."""
    # Given no session
    base = f"{org.instance_url}/services/data"

    # When both are asked
    versions = requests.get(base, timeout=10)
    missing = requests.get(f"{base}/v67.0/limits", timeout=10)
    wrong = requests.get(f"{base}/v67.0/limits", headers={"Authorization": "Bearer x"}, timeout=10)

    # Then the codes tell missing from wrong
    labels = {one["version"]: one["label"] for one in versions.json()}
    assert (labels["66.0"], labels["67.0"], labels["68.0"]) == ("Spring '26", "Summer '26", "Winter '27")
    assert (missing.status_code, missing.json()[0]["errorCode"]) == (401, "INVALID_AUTH_HEADER")
    assert (wrong.status_code, wrong.json()[0]["errorCode"]) == (401, "INVALID_SESSION_ID")


def test_an_unknown_url_is_refused_in_the_vendors_shape(org: Org) -> None:
    """404 and 405 carry the error array too."""
    # Given URLs and methods that do not exist
    # When they are called
    replies = [org.send("GET", "/shoes"), org.send("GET", "/sobjects/Shoe/describe"), org.send("PUT", "/sobjects/Lead")]

    # Then each says so
    assert [(one.status_code, one.json()[0]["errorCode"]) for one in replies] == [
        (404, "NOT_FOUND"),
        (404, "NOT_FOUND"),
        (405, "METHOD_NOT_ALLOWED"),
    ]


def test_broken_json_is_refused_with_its_place(org: Org) -> None:
    """The whole call is a JSON_PARSER_ERROR."""
    # Given a body that is cut off
    headers = {"Content-Type": "application/json"}

    # When it is sent
    response = org.send("POST", "/composite/sobjects", data='{"records": [', headers=headers)

    # Then it is refused
    assert (response.status_code, response.json()[0]["errorCode"]) == (400, "JSON_PARSER_ERROR")


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
def test_a_switch_makes_a_record_fail(org: Org, switches: dict[str, Any], record: dict[str, Any], code: str) -> None:
    """Locks, duplicate rules, validation rules, full storage and address picklists each have their code."""
    # Given a lead that is there, and a switch
    org.collection("POST", [lead(Email="dup@x.io")])
    org.remote.switch("salesforce", **switches)

    # When another comes
    results = org.collection("POST", [lead(**record)]).json()

    # Then it fails with the vendor's code
    assert codes(results[0]) == [code]


def test_the_duplicate_header_passes_alert_rules_only(org: Org) -> None:
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
