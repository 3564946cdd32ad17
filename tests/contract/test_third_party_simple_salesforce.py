"""`simple-salesforce`, a client that is not ours, runs its ordinary calls against the sandbox over real HTTP.

The client takes an access token and an instance URL (its "direct session access"), keeps only host and port of that URL
and always speaks https. The sandbox speaks http. What bridges the two is the client's own documented parameter
`session`: a `requests.Session` whose transport for `https://` sends the same request over http. Nothing else of the
client is touched, and since it drops the path of `instance_url`, it also shows that the API answers at the origin.
"""

import json
from collections.abc import Iterator
from typing import Any

import pytest
import requests
from requests.adapters import HTTPAdapter
from simple_salesforce import Salesforce, format_soql
from simple_salesforce.exceptions import (
    SalesforceExpiredSession,
    SalesforceMalformedRequest,
    SalesforceMoreThanOneRecord,
    SalesforceRefusedRequest,
    SalesforceResourceNotFound,
)

from sandbox.remote import RemoteSandbox
from sandbox.server import SandboxServer

EXTERNAL_ID = "Morket_Id__c"


class PlainTransport(HTTPAdapter):
    """Sends what was meant for https over http, unchanged but for the scheme."""

    def send(self, request: requests.PreparedRequest, *args: Any, **more: Any) -> requests.Response:
        """Send one request."""
        request.url = str(request.url).replace("https://", "http://", 1)
        return super().send(request, *args, **more)


@pytest.fixture(scope="module")
def server() -> Iterator[SandboxServer]:
    with SandboxServer() as running:
        yield running


@pytest.fixture
def remote(server: SandboxServer) -> RemoteSandbox:
    remote = RemoteSandbox(server.origin)
    remote.reset()
    return remote


@pytest.fixture
def salesforce(remote: RemoteSandbox) -> Iterator[Salesforce]:
    tokens = remote.tokens("salesforce", remote.account_ids("salesforce")[0])
    with requests.Session() as session:
        session.mount("https://", PlainTransport())
        yield Salesforce(
            session_id=tokens["access_token"], instance_url=tokens["instance_url"], version="67.0", session=session
        )


def stored(remote: RemoteSandbox, name: str) -> list[dict[str, Any]]:
    return remote.records("salesforce", remote.account_ids("salesforce")[0], name)


def test_a_record_is_created_read_changed_and_deleted(salesforce: Salesforce) -> None:
    """`create`, `get`, `update`, `delete`: 201, 200, 204, 204, then the client's own "not found"."""
    # Given a created contact
    created = salesforce.Contact.create({"LastName": "Doe", "Email": "doe@acme.io"})

    # When it is read, changed and deleted
    read = salesforce.Contact.get(created["id"])
    changed = salesforce.Contact.update(created["id"], {"Title": "CTO"})
    title = salesforce.Contact.get(created["id"])["Title"]
    deleted = salesforce.Contact.delete(created["id"])

    # Then every answer is what the client expects
    assert (created["success"], created["errors"], len(created["id"])) == (True, [], 18)
    assert (read["LastName"], read["attributes"]["type"]) == ("Doe", "Contact")
    assert (changed, title, deleted) == (204, "CTO", 204)
    with pytest.raises(SalesforceResourceNotFound) as gone:
        salesforce.Contact.get(created["id"])
    assert gone.value.content[0]["errorCode"] == "NOT_FOUND"


def test_a_record_is_upserted_and_read_by_external_id(salesforce: Salesforce, remote: RemoteSandbox) -> None:
    """201 when it was created, 200 when it was updated; `get_by_custom_id` finds it, also with blanks in the key."""
    # Given an external id with a blank
    path = f"{EXTERNAL_ID}/m%201"

    # When the same record is upserted twice
    first = salesforce.Lead.upsert(path, {"LastName": "Doe", "Company": "Acme"})
    second = salesforce.Lead.upsert(path, {"Title": "CTO"}, raw_response=True)
    found = salesforce.restful(f"sobjects/Lead/{path}")

    # Then there is one record
    assert (first, second.status_code, second.json()["created"]) == (201, 200, False)
    assert (found["LastName"], found["Title"], found[EXTERNAL_ID]) == ("Doe", "CTO", "m 1")
    assert len(stored(remote, "Lead")) == 1
    salesforce.Lead.upsert(f"{EXTERNAL_ID}/m-2", {"LastName": "Roe", "Company": "Acme"})
    assert salesforce.Lead.get_by_custom_id(EXTERNAL_ID, "m-2")["LastName"] == "Roe"


def test_a_key_that_several_records_have_is_told_apart(salesforce: Salesforce) -> None:
    """HTTP 300 becomes the client's "more than one record", with the URLs to choose from."""
    # Given two contacts with one e-mail
    for name in ("A", "B"):
        salesforce.Contact.create({"LastName": name, "Email": "same@acme.io"})

    # When one is asked for by it
    with pytest.raises(SalesforceMoreThanOneRecord) as several:
        salesforce.Contact.get_by_custom_id("Email", "same@acme.io")

    # Then both are named
    assert len(several.value.content) == 2


def test_queries_page_through_all_records(salesforce: Salesforce, remote: RemoteSandbox) -> None:
    """`query` gives the first page, `query_all` and `query_all_iter` follow `nextRecordsUrl`; deleted ones too."""
    # Given 450 contacts, one of them deleted, and pages of 200
    remote.store(
        "salesforce", remote.account_ids("salesforce")[0], "Contact", [{"LastName": f"N{at:03}"} for at in range(450)]
    )
    remote.switch("salesforce", query_batch_size=200)
    soql = "SELECT Id, LastName FROM Contact ORDER BY LastName"
    salesforce.Contact.delete(salesforce.query(soql)["records"][0]["Id"])

    # When they are queried
    page = salesforce.query(soql)
    everything = salesforce.query_all(soql)
    with_deleted = salesforce.query_all(soql, include_deleted=True)
    second_page = salesforce.query_more(page["nextRecordsUrl"].rsplit("/", 1)[1])

    # Then all come, in order and once each
    assert (page["totalSize"], page["done"], len(page["records"])) == (449, False, 200)
    names = [record["LastName"] for record in everything["records"]]
    assert names == [f"N{at:03}" for at in range(1, 450)]
    assert with_deleted["totalSize"] == 450
    assert second_page["records"][0]["LastName"] == "N201"
    assert [row["LastName"] for row in salesforce.query_all_iter(soql)] == names


def test_the_clients_own_quoting_reaches_the_value(salesforce: Salesforce) -> None:
    """A value with quotes and backslashes, escaped by the client, matches exactly that record."""
    # Given an awkward name
    name = 'O\'Neil \\ "x" 100%'
    salesforce.Contact.create({"LastName": name})
    salesforce.Contact.create({"LastName": "Other"})

    # When it is searched for
    found = salesforce.query(format_soql("SELECT LastName FROM Contact WHERE LastName = {}", name))

    # Then it alone is found
    assert [row["LastName"] for row in found["records"]] == [name]


def test_collections_work_through_the_generic_call(salesforce: Salesforce, remote: RemoteSandbox) -> None:
    """`restful` with POST, PATCH and DELETE: up to 200 records a call, one result for each, in order."""
    # Given a collection with one bad record
    records = [{"attributes": {"type": "Lead"}, "LastName": f"N{at}", "Company": "Acme"} for at in range(3)]
    del records[1]["Company"]
    path = "composite/sobjects"

    # When it is created, updated, upserted and deleted
    created = salesforce.restful(path, method="POST", data=json.dumps({"allOrNone": False, "records": records}))
    changes = [{"attributes": {"type": "Lead"}, "id": created[0]["id"], "Title": "CTO"}]
    updated = salesforce.restful(path, method="PATCH", data=json.dumps({"records": changes}))
    upserts = [{"attributes": {"type": "Lead"}, EXTERNAL_ID: "m1", "LastName": "U", "Company": "Acme"}]
    upserted = salesforce.restful(f"{path}/Lead/{EXTERNAL_ID}", method="PATCH", data=json.dumps({"records": upserts}))
    read = salesforce.restful(f"{path}/Lead", params={"ids": created[0]["id"], "fields": "Id,Title"})
    ids = ",".join([created[0]["id"], created[2]["id"]])
    deleted = salesforce.restful(path, params={"ids": ids, "allOrNone": "false"}, method="DELETE")

    # Then each record has its own result
    assert [result["success"] for result in created] == [True, False, True]
    assert created[1]["errors"][0]["statusCode"] == "REQUIRED_FIELD_MISSING"
    assert (updated[0]["success"], upserted[0]["created"], read[0]["Title"]) == (True, True, "CTO")
    assert [result["success"] for result in deleted] == [True, True]
    assert [lead["LastName"] for lead in stored(remote, "Lead") if not lead["IsDeleted"]] == ["U"]


def test_metadata_is_described(salesforce: Salesforce) -> None:
    """The global list, one object's fields, and an object's basic information."""
    # When all three are asked for
    listed = salesforce.describe()
    described = salesforce.Lead.describe()
    basic = salesforce.Lead.metadata()

    # Then they hold what clients build on
    assert {"Lead", "Contact", "Account"} <= {one["name"] for one in listed["sobjects"]}
    fields = {field["name"]: field for field in described["fields"]}
    assert (fields["LastName"]["nillable"], fields[EXTERNAL_ID]["externalId"]) == (False, True)
    assert (basic["objectDescribe"]["name"], basic["recentItems"]) == ("Lead", [])
    assert salesforce.is_sandbox() is True


def test_limits_and_usage_are_told(salesforce: Salesforce) -> None:
    """`limits`, and the usage header that the client reads from every reply."""
    # When the limits are asked for
    limits = salesforce.limits()

    # Then they agree with the header
    daily = limits["DailyApiRequests"]
    usage = salesforce.api_usage["api-usage"]
    assert (usage.used, usage.total) == (daily["Max"] - daily["Remaining"], daily["Max"]) == (1, 100_000)


def test_refusals_become_the_clients_exceptions(salesforce: Salesforce, remote: RemoteSandbox) -> None:
    """400, 401 and 403 carry the error array that the client shows."""
    # When a field is unknown, then the quota is used up, then the session has expired
    with pytest.raises(SalesforceMalformedRequest) as unknown:
        salesforce.Contact.create({"LastName": "Doe", "Nope__c": "x"})
    with pytest.raises(SalesforceMalformedRequest) as misspelt:
        salesforce.query("SELECT Nope FROM Contact")
    remote.switch("salesforce", daily_quota=0)
    with pytest.raises(SalesforceRefusedRequest) as refused:
        salesforce.limits()
    remote.expire_access_tokens("salesforce", remote.account_ids("salesforce")[0])
    with pytest.raises(SalesforceExpiredSession) as expired:
        salesforce.limits()

    # Then each has its code
    codes = [failure.value.content[0]["errorCode"] for failure in (unknown, misspelt, refused, expired)]
    assert codes == ["INVALID_FIELD", "INVALID_FIELD", "REQUEST_LIMIT_EXCEEDED", "INVALID_SESSION_ID"]
