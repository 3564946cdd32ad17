"""The sandbox's HubSpot batches, over a socket: trace ids, conflicts, limits, silent failures."""

from collections.abc import Iterator
from typing import Any

import pytest

from sandbox.callers import HubspotCaller
from sandbox.remote import RemoteSandbox
from sandbox.server import SandboxServer


@pytest.fixture(scope="module")
def server() -> Iterator[SandboxServer]:
    with SandboxServer() as running:
        yield running


@pytest.fixture
def portal(server: SandboxServer) -> Iterator[HubspotCaller]:
    remote = RemoteSandbox(server.origin)
    remote.reset()
    caller = HubspotCaller(remote)
    yield caller
    caller.session.close()


def traced(inputs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{**one, "objectWriteTraceId": f"t{at}"} for at, one in enumerate(inputs)]


def contact(email: str, **properties: Any) -> dict[str, Any]:
    return {"id": email, "idProperty": "email", "properties": {"email": email, **properties}}


def traces(entries: list[dict[str, Any]]) -> list[str]:
    return sorted(trace for entry in entries for trace in entry["context"]["objectWriteTraceId"])


def test_with_trace_ids_good_inputs_are_written_beside_bad_ones(portal: HubspotCaller) -> None:
    """The reply is 207; each bad input is named by its trace id, with a message that lists every bad value."""
    # Given good and bad contacts, all traced
    inputs = traced([contact("a@x.io"), contact("nonsense"), contact("c@x.io", shoe="42", numemployees="51-200")])

    # When they are upserted
    response = portal.batch("contacts/batch/upsert", inputs)

    # Then one is written and two are explained
    reply = response.json()
    assert response.status_code == 207
    assert (reply["numErrors"], traces(reply["errors"])) == (2, ["t1", "t2"])
    assert [result["objectWriteTraceId"] for result in reply["results"]] == ["t0"]
    assert {error["category"] for error in reply["errors"]} == {"VALIDATION_ERROR"}
    message = next(error["message"] for error in reply["errors"] if "shoe" in error["message"])
    assert message.startswith("Property values were not valid: [")
    assert "PROPERTY_DOESNT_EXIST" in message
    assert "INVALID_OPTION" in message
    assert [record["properties"]["email"] for record in portal.stored()] == ["a@x.io"]


def test_the_status_of_a_partial_reply_is_a_switch(portal: HubspotCaller) -> None:
    """Errors can come with the plain status of the operation too."""
    # Given the switch
    portal.remote.switch("hubspot", trace_partial_status=200)

    # When a batch fails in part
    upserted = portal.batch("contacts/batch/upsert", traced([contact("a@x.io"), contact("nonsense")]))
    created = portal.batch("contacts/batch/create", traced([{"properties": {"email": "nonsense"}}]))

    # Then only the body tells
    assert (upserted.status_code, upserted.json()["numErrors"]) == (200, 1)
    assert (created.status_code, created.json()["numErrors"]) == (201, 1)


@pytest.mark.parametrize("trace_ids", [[None, None], ["t0", None], ["t0", "t0"]])
def test_without_unique_trace_ids_one_bad_input_fails_the_batch(
    portal: HubspotCaller, trace_ids: list[str | None]
) -> None:
    """Every input needs a trace id of its own; else nothing is written."""
    # Given a good and a bad contact
    good, bad = ({"objectWriteTraceId": trace_id} if trace_id else {} for trace_id in trace_ids)
    inputs = [contact("a@x.io") | good, contact("nonsense") | bad]

    # When they are upserted
    response = portal.batch("contacts/batch/upsert", inputs)

    # Then the call fails as one
    assert (response.status_code, response.json()["category"]) == (400, "VALIDATION_ERROR")
    assert portal.stored() == []


def test_upsert_by_email_can_stand_or_fall_as_one(portal: HubspotCaller) -> None:
    """With the switch, trace ids do not help an upsert by e-mail."""
    # Given the switch
    portal.remote.switch("hubspot", email_partial_upsert=False)

    # When a traced batch holds a bad input
    response = portal.batch("contacts/batch/upsert", traced([contact("a@x.io"), contact("nonsense")]))

    # Then the call fails as one
    assert response.status_code == 400
    assert portal.stored() == []


def test_upsert_says_new_and_compares_emails_without_case(portal: HubspotCaller) -> None:
    """The second time the contact is updated; its e-mail is stored in lower case."""
    # Given a contact
    first = portal.batch("contacts/batch/upsert", [contact("Ada@X.io", firstname="Ada")])

    # When it comes again in another case
    second = portal.batch("contacts/batch/upsert", [contact("ADA@x.IO", firstname="", lastname="Byron")])

    # Then it is one contact, with the first name cleared
    assert [reply.json()["results"][0]["new"] for reply in (first, second)] == [True, False]
    (stored,) = portal.stored()
    assert stored["properties"]["email"] == "ada@x.io"
    assert stored["properties"]["lastname"] == "Byron"
    assert "firstname" not in stored["properties"]


def test_results_come_in_another_order(portal: HubspotCaller) -> None:
    """Only the trace id ties a result to its input."""
    # Given 100 traced contacts
    inputs = traced([contact(f"p{at}@x.io") for at in range(100)])

    # When they are upserted
    results = portal.batch("contacts/batch/upsert", inputs).json()["results"]

    # Then the order is another, and each trace has its e-mail
    order = [result["objectWriteTraceId"] for result in results]
    assert order != [one["objectWriteTraceId"] for one in inputs]
    assert {one["objectWriteTraceId"]: one["id"] for one in inputs} == {
        result["objectWriteTraceId"]: result["properties"]["email"] for result in results
    }


def test_more_than_100_inputs_are_refused(portal: HubspotCaller) -> None:
    """The limit holds for every batch operation."""
    # Given 101 inputs
    inputs = traced([contact(f"p{at}@x.io") for at in range(101)])

    # When each operation gets them
    operations = ("create", "update", "upsert", "archive", "read")
    statuses = [portal.batch(f"contacts/batch/{operation}", inputs).status_code for operation in operations]

    # Then none takes them
    assert statuses == [400] * 5
    assert portal.stored() == []


def test_duplicate_ids_in_a_batch_are_refused_and_named(portal: HubspotCaller) -> None:
    """Letter case does not make two ids of one e-mail."""
    # Given one e-mail twice
    inputs = traced([contact("a@x.io"), contact("A@x.io")])

    # When they are upserted
    response = portal.batch("contacts/batch/upsert", inputs)

    # Then the whole call is refused with the ids
    assert response.status_code == 400
    assert response.json()["message"].startswith("Duplicate IDs found in batch input: [a@x.io]")
    assert response.json()["context"] == {"ids": ["a@x.io"]}


def test_creating_a_contact_that_exists_is_a_conflict(portal: HubspotCaller) -> None:
    """409 with the existing id; in a traced batch an entry of errors."""
    # Given a contact
    existing = portal.send("POST", "contacts", json={"properties": {"email": "a@x.io"}}).json()["id"]

    # When it is created again, singly and in a batch
    single = portal.send("POST", "contacts", json={"properties": {"email": "A@x.io"}})
    batch = portal.batch(
        "contacts/batch/create", traced([{"properties": {"email": "a@x.io"}}, {"properties": {"email": "b@x.io"}}])
    )

    # Then both name it
    message = f"Contact already exists. Existing ID: {existing}"
    assert (single.status_code, single.json()["category"], single.json()["message"]) == (409, "CONFLICT", message)
    assert [error["message"] for error in batch.json()["errors"]] == [message]
    assert len(batch.json()["results"]) == 1


def test_a_company_domain_is_not_unique(portal: HubspotCaller) -> None:
    """Two companies may share a domain, so it is no key; a property with unique values is one."""
    # Given two companies with one domain
    company = {"properties": {"name": "Initech", "domain": "initech.example"}}
    created = portal.batch("companies/batch/create", [company, company])

    # When companies are upserted by domain, and by a unique property
    by_domain = portal.batch("companies/batch/upsert", [{"id": "initech.example", "idProperty": "domain", **company}])
    by_key = portal.batch("companies/batch/upsert", [{"id": "m1", "idProperty": "morket_id", **company}])

    # Then only the second works
    assert created.status_code == 201
    assert by_domain.json()["message"] == "Unable to perform upsert by non-unique 0-2 property domain"
    assert by_key.json()["results"][0]["properties"]["morket_id"] == "m1"
    assert len(portal.stored("companies")) == 3


def test_unknown_ids_of_an_update_are_errors_or_silence(portal: HubspotCaller) -> None:
    """By default an OBJECT_NOT_FOUND entry; with the switch they are in no list."""
    # Given a known and an unknown id
    known = portal.send("POST", "contacts", json={"properties": {"email": "a@x.io"}}).json()["id"]
    inputs = traced([{"id": one, "properties": {"firstname": "A"}} for one in (known, "42")])

    # When both are updated both ways
    loud = portal.batch("contacts/batch/update", inputs)
    portal.remote.switch("hubspot", missing_update_ids="silent")
    silent = portal.batch("contacts/batch/update", inputs)

    # Then the unknown one is named, then not
    assert (loud.status_code, traces(loud.json()["errors"])) == (207, ["t1"])
    assert (silent.status_code, "errors" in silent.json(), len(silent.json()["results"])) == (200, False, 1)


def test_a_write_can_fail_silently(portal: HubspotCaller) -> None:
    """2xx with empty lists and nothing written; or a result that is left out although it was written."""
    # Given both switches
    portal.remote.switch("hubspot", silent_failure_next=1)

    # When a batch meets each
    empty = portal.batch("contacts/batch/upsert", traced([contact("a@x.io")]))
    stored_after_empty = portal.stored()
    portal.remote.switch("hubspot", silent_drop_every=2)
    dropped = portal.batch("contacts/batch/upsert", traced([contact("b@x.io"), contact("c@x.io")]))

    # Then nothing says so
    assert (empty.status_code, empty.json()["results"], stored_after_empty) == (200, [], [])
    assert (dropped.status_code, len(dropped.json()["results"]), len(portal.stored())) == (200, 1, 2)
