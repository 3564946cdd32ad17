"""What the real APIs refuse, the sandbox refuses: one rule a test, so that a careless client fails here first."""

from collections.abc import Iterator
from typing import Any

import pytest
import requests

from sandbox.callers import HubspotCaller, SalesforceCaller
from sandbox.remote import RemoteSandbox
from sandbox.server import SandboxServer

OPERATIONS = ("create", "update", "upsert", "read", "archive")


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
def org(remote: RemoteSandbox) -> Iterator[SalesforceCaller]:
    caller = SalesforceCaller(remote)
    yield caller
    caller.session.close()


@pytest.fixture
def portal(remote: RemoteSandbox) -> Iterator[HubspotCaller]:
    caller = HubspotCaller(remote)
    yield caller
    caller.session.close()


def lead(**values: Any) -> dict[str, Any]:
    return {"attributes": {"type": "Lead"}, "LastName": "Doe", "Company": "Acme", **values}


@pytest.mark.parametrize("version", ["v3", "2026-03", "2026-09"])
@pytest.mark.parametrize("endpoint", ["token", "token/introspect", "token/revoke"])
def test_token_parameters_in_the_query_string(remote: RemoteSandbox, version: str, endpoint: str) -> None:
    """HubSpot's newer OAuth endpoints read the body alone; the URL of a request ends up in logs."""
    # Given a good request
    token = remote.tokens("hubspot", remote.account_ids("hubspot")[0])["refresh_token"]
    form = {
        "grant_type": "refresh_token",
        "refresh_token": token,
        "token": token,
        "token_type_hint": "refresh_token",
        "client_id": "sandbox-hubspot-client",
        "client_secret": "sandbox-hubspot-secret-not-real",
    }
    url = f"{remote.origin}/hubspot/oauth/{version}/{endpoint}"

    # When it comes by query, and by body
    by_query, by_body = requests.post(url, params=form, timeout=10), requests.post(url, data=form, timeout=10)

    # Then only the body counts
    assert (by_query.status_code, by_body.status_code) == (400, 200)


@pytest.mark.parametrize("operation", OPERATIONS)
def test_more_than_a_hundred_inputs(portal: HubspotCaller, operation: str) -> None:
    """HubSpot's batch limit, for every operation."""
    # Given 101 inputs
    inputs = [{"id": str(at), "idProperty": "morket_id", "properties": {"morket_id": str(at)}} for at in range(101)]

    # When they are sent
    reply = portal.batch(f"contacts/batch/{operation}", inputs)

    # Then none is written
    assert (reply.status_code, reply.json()["category"]) == (400, "VALIDATION_ERROR")
    assert portal.stored() == []


def test_more_than_two_hundred_records(org: SalesforceCaller) -> None:
    """Salesforce's limit of a collection, for create, update and upsert."""
    # Given 201 records
    replies = [
        org.collection("POST", [lead()] * 201),
        org.collection("PATCH", [lead(id="00Q000000000001")] * 201),
        org.collection("PATCH", [lead(Morket_Id__c=str(at)) for at in range(201)], "/Lead/Morket_Id__c"),
    ]

    # When they were sent
    # Then each was refused
    assert [reply.status_code for reply in replies] == [400, 400, 400]
    assert org.stored() == []


@pytest.mark.parametrize(
    "record", [{"LastName": "Doe"}, {"attributes": {}, "LastName": "Doe"}, {"attributes": "Lead", "LastName": "Doe"}]
)
@pytest.mark.parametrize(("method", "path"), [("POST", ""), ("PATCH", ""), ("PATCH", "/Lead/Morket_Id__c")])
def test_a_collection_record_without_its_type(
    org: SalesforceCaller, method: str, path: str, record: dict[str, Any]
) -> None:
    """`attributes.type` is needed on every record, even where the path names the object."""
    # Given a good record and one without its type
    # When they are sent
    reply = org.collection(method, [lead(Morket_Id__c="m1"), record], path)

    # Then the whole call is refused
    assert reply.status_code == 400
    assert "attributes.type" in reply.json()[0]["message"]
    assert org.stored() == []


def test_a_collection_record_of_another_type_than_the_path(org: SalesforceCaller) -> None:
    """An upsert by external id takes one object."""
    # Given a contact among leads
    contact = {"attributes": {"type": "Contact"}, "LastName": "Doe", "Morket_Id__c": "m2"}

    # When they are upserted
    results = org.collection("PATCH", [lead(Morket_Id__c="m1"), contact], "/Lead/Morket_Id__c").json()

    # Then the contact fails
    assert [result["success"] for result in results] == [True, False]
    assert results[1]["errors"][0]["statusCode"] == "INVALID_TYPE"


@pytest.mark.parametrize("wrong", ["005", "00D", "001", "003"])
def test_an_id_with_another_objects_prefix(org: SalesforceCaller, wrong: str) -> None:
    """A contact's id is no lead's: for an update, a delete and a reference."""
    # Given a lead, and its id with another prefix
    lead_id = org.collection("POST", [lead()]).json()[0]["id"]
    foreign = wrong + lead_id[3:15]

    # When the id is used for a lead
    updated = org.collection("PATCH", [{"attributes": {"type": "Lead"}, "id": foreign, "Title": "x"}]).json()[0]
    read = org.send("GET", f"/sobjects/Lead/{foreign}")
    changed = org.send("PATCH", f"/sobjects/Lead/{foreign}", json={"Title": "x"})

    # Then it is none
    assert updated["errors"][0]["statusCode"] == "MALFORMED_ID"
    assert (read.status_code, changed.status_code) == (404, 400)


def test_an_id_in_a_create(org: SalesforceCaller) -> None:
    """A create names no id."""
    # Given a record with an id
    # When it is created
    result = org.collection("POST", [lead(id="00Q000000000001")]).json()[0]

    # Then it is refused
    assert result["errors"][0]["statusCode"] == "INVALID_FIELD_FOR_INSERT_UPDATE"


@pytest.mark.parametrize("operation", ["create", "update", "upsert"])
def test_an_unknown_property(portal: HubspotCaller, operation: str) -> None:
    """HubSpot names it, and writes nothing of a batch without trace ids."""
    # Given a contact, and an input with a property that the portal does not have
    (record_id,) = portal.remote.store("hubspot", portal.hub_id, "contacts", [{"morket_id": "m1", "email": "a@x.io"}])
    key = {"id": record_id} if operation == "update" else {"id": "m1", "idProperty": "morket_id"}
    one = {"properties": {"shoe_size": "42", "firstname": "A"}, **({} if operation == "create" else key)}

    # When it is sent
    reply = portal.batch(f"contacts/batch/{operation}", [one])

    # Then
    assert reply.status_code == 400
    assert '"error": "PROPERTY_DOESNT_EXIST", "name": "shoe_size"' in reply.json()["message"]
    assert ["firstname" in record["properties"] for record in portal.stored()] == [False]


@pytest.mark.parametrize(
    ("kind", "operation", "name", "type_id"),
    [
        ("companies", "upsert", "domain", "0-2"),
        ("companies", "read", "domain", "0-2"),
        ("companies", "update", "domain", "0-2"),
        ("contacts", "update", "email", "0-1"),
        ("contacts", "upsert", "lastname", "0-1"),
        ("contacts", "upsert", "no_such_property", "0-1"),
    ],
)
def test_a_key_that_is_not_unique(portal: HubspotCaller, kind: str, operation: str, name: str, type_id: str) -> None:
    """A batch by such a property is refused with the vendor's sentence; `email` is a key for upsert and read alone."""
    # Given an input by that property
    inputs = [{"id": "x", "idProperty": name, "properties": {name: "x"}}]
    body = {"idProperty": name, "inputs": [{"id": "x"}]} if operation == "read" else {"inputs": inputs}

    # When it is sent
    reply = portal.send("POST", f"{kind}/batch/{operation}", json=body)

    # Then
    assert reply.status_code == 400
    assert reply.json()["message"] == f"Unable to perform {operation} by non-unique {type_id} property {name}"


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", "contacts?propertiesWithHistory=email", None),
        ("GET", "contacts/1?propertiesWithHistory=email", None),
        ("POST", "contacts/batch/read", {"inputs": [{"id": "1"}], "propertiesWithHistory": ["email"]}),
    ],
)
def test_a_history_of_values(portal: HubspotCaller, method: str, path: str, body: dict[str, Any] | None) -> None:
    """It is not kept here, and a client that asks is told so instead of finding none."""
    # Given a client that asks for it
    # When it does
    reply = portal.send(method, path, json=body)

    # Then
    assert (reply.status_code, "propertiesWithHistory is not simulated" in reply.json()["message"]) == (400, True)


@pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded"])
def test_a_body_of_another_media_type(org: SalesforceCaller, portal: HubspotCaller, content_type: str) -> None:
    """Both APIs take JSON."""
    # Given a body that calls itself something else
    headers = {"Content-Type": content_type}

    # When it is sent
    replies = [
        org.send("POST", "/sobjects/Lead", data="{}", headers=headers),
        portal.send("POST", "contacts", data="{}", headers=headers),
    ]

    # Then
    assert [reply.status_code for reply in replies] == [415, 415]
