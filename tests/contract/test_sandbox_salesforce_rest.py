"""The sandbox's Salesforce REST API, over a socket: single records, query pages, describe, versions, errors."""

import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest
import requests

from sandbox.callers import SalesforceCaller
from sandbox.remote import RemoteSandbox
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


def test_single_records_are_created_read_changed_and_deleted(org: SalesforceCaller) -> None:
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


def test_a_single_upsert_by_email_answers_201_200_or_300(org: SalesforceCaller) -> None:
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


def test_a_long_query_is_paged_by_a_host_relative_url(org: SalesforceCaller) -> None:
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


def test_query_all_finds_deleted_records(org: SalesforceCaller) -> None:
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


def test_describe_says_what_the_validation_enforces(org: SalesforceCaller) -> None:
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


def test_versions_need_no_session_and_data_does(org: SalesforceCaller) -> None:
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


def test_an_unknown_url_is_refused_in_the_vendors_shape(org: SalesforceCaller) -> None:
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


def test_broken_json_is_refused_with_its_place(org: SalesforceCaller) -> None:
    """The whole call is a JSON_PARSER_ERROR."""
    # Given a body that is cut off
    headers = {"Content-Type": "application/json"}

    # When it is sent
    response = org.send("POST", "/composite/sobjects", data='{"records": [', headers=headers)

    # Then it is refused
    assert (response.status_code, response.json()[0]["errorCode"]) == (400, "JSON_PARSER_ERROR")


def test_metadata_that_did_not_change_is_not_sent_again(org: SalesforceCaller) -> None:
    """`If-Modified-Since` with the date of the last reply answers 304 without a body, until the metadata changes."""
    # Given a describe
    first = org.send("GET", "/sobjects/Lead/describe")
    since = {"If-Modified-Since": first.headers["Last-Modified"]}

    # When it is asked for again, before and after the org turns on State and Country picklists
    same = org.send("GET", "/sobjects/Lead/describe", headers=since)
    time.sleep(1.1)  # HTTP dates are whole seconds
    org.remote.switch("salesforce", state_country_picklists=True)
    changed = org.send("GET", "/sobjects/Lead/describe", headers=since)

    # Then only the change is sent
    assert (same.status_code, same.content) == (304, b"")
    assert "Sforce-Limit-Info" in same.headers
    assert changed.status_code == 200
    assert "CountryCode" in {field["name"] for field in changed.json()["fields"]}


def test_metadata_that_changed_fails_a_precondition(org: SalesforceCaller) -> None:
    """`If-Unmodified-Since` with an older date answers 412."""
    # Given a date before the org
    before = {"If-Unmodified-Since": "Mon, 30 Nov 2020 08:34:54 GMT"}

    # When the metadata is asked for
    response = org.send("GET", "/sobjects/Lead/describe", headers=before)

    # Then
    assert (response.status_code, response.json()[0]["errorCode"]) == (412, "PRECONDITION_FAILED")


def test_the_api_answers_at_the_origin_too(org: SalesforceCaller) -> None:
    """A client that keeps only the host of `instance_url` reaches the same org; a slash at the end changes nothing."""
    # Given the origin without a path
    origin = org.remote.origin

    # When it is called there
    paths = ("/services/data/v67.0/limits", "/services/data/v67.0/limits/", "/services/oauth2/userinfo")
    replies = [org.session.get(origin + path, timeout=10) for path in paths]

    # Then it is the same org
    assert [reply.status_code for reply in replies] == [200, 200, 200]
    assert replies[2].json()["organization_id"] == org.org_id
    assert {entry["crm"] for entry in org.remote.journal()} == {"salesforce"}
