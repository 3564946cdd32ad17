"""Facts on which the vendors' documents are silent or differ: each is a switch, and both of its settings answer."""

from collections.abc import Iterator
from typing import Any

import pytest
import requests

from sandbox.callers import HubspotCaller, SalesforceCaller
from sandbox.remote import RemoteSandbox
from sandbox.server import SandboxServer


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


def refresh(remote: RemoteSandbox, version: str) -> requests.Response:
    form = {
        "grant_type": "refresh_token",
        "refresh_token": remote.tokens("hubspot", remote.account_ids("hubspot")[0])["refresh_token"],
        "client_id": "sandbox-hubspot-client",
        "client_secret": "sandbox-hubspot-secret-not-real",
    }
    return requests.post(f"{remote.origin}/hubspot/oauth/{version}/token", data=form, timeout=10)


@pytest.mark.parametrize(("newest", "status"), [(67, 404), (68, 200)])
def test_the_newest_salesforce_version(org: SalesforceCaller, newest: int, status: int) -> None:
    """Whether v68.0 is generally available: it is listed and answers, or neither."""
    # Given the setting
    org.remote.switch("salesforce", newest_version=newest)

    # When the list is read and v68.0 is called
    listed = requests.get(f"{org.instance_url}/services/data", timeout=10).json()
    called = org.session.get(f"{org.instance_url}/services/data/v68.0/limits", timeout=10)

    # Then both agree
    assert (listed[-1]["version"], called.status_code) == (f"{newest}.0", status)


@pytest.mark.parametrize("code", ["EXCEEDED_ID_LIMIT", "LIMIT_EXCEEDED"])
def test_the_code_of_too_many_records(org: SalesforceCaller, code: str) -> None:
    """More than 200 records are a 400 of the whole call, under either code, for writes, deletes and reads."""
    # Given the setting
    org.remote.switch("salesforce", over_limit_code=code)
    lead = {"attributes": {"type": "Lead"}, "LastName": "Doe", "Company": "Acme"}
    ids = ",".join(["00Q000000000001"] * 201)

    # When 201 are written, deleted, read
    replies = [
        org.collection("POST", [lead] * 201),
        org.send("DELETE", "/composite/sobjects", params={"ids": ids}),
        org.send("GET", "/composite/sobjects/Lead", params={"ids": ids, "fields": "Id"}),
    ]

    # Then nothing is
    assert [(reply.status_code, reply.json()[0]["errorCode"]) for reply in replies] == [(400, code)] * 3
    assert org.stored() == []


@pytest.mark.parametrize("code", ["DUPLICATE_VALUE", "INVALID_ID_FIELD"])
def test_the_code_of_an_id_that_comes_twice(org: SalesforceCaller, code: str) -> None:
    """The second one fails on its own, under either code."""
    # Given the setting and a lead
    org.remote.switch("salesforce", duplicate_id_code=code)
    (lead_id,) = org.remote.store("salesforce", org.org_id, "Lead", [{"LastName": "Doe", "Company": "Acme"}])
    change = {"attributes": {"type": "Lead"}, "id": lead_id}

    # When it is updated twice in one call
    results = org.collection("PATCH", [{**change, "Title": "A"}, {**change, "Title": "B"}]).json()

    # Then the first counts
    assert [result["success"] for result in results] == [True, False]
    assert results[1]["errors"][0]["statusCode"] == code
    assert org.stored()[0]["Title"] == "A"


@pytest.mark.parametrize(("versions", "status"), [(["v3", "2026-03"], 404), (["v3", "2026-03", "2026-09"], 200)])
def test_the_versions_that_hubspot_serves(portal: HubspotCaller, versions: list[str], status: int) -> None:
    """A version that is not served is a 404 for data and tokens alike; the others go on."""
    # Given the setting
    portal.remote.switch("hubspot", api_versions=versions)

    # When both versions are called
    newest = [portal.send("GET", "contacts").status_code, refresh(portal.remote, "2026-09").status_code]
    fallback = [
        portal.send("GET", "contacts", version="2026-03").status_code,
        refresh(portal.remote, "2026-03").status_code,
    ]

    # Then
    assert (newest, fallback) == ([status] * 2, [200] * 2)


@pytest.mark.parametrize("place", ["context", "errors"])
def test_where_a_missing_scope_is_named(portal: HubspotCaller, place: str) -> None:
    """In the body's own context, or in that of each error."""
    # Given the setting and a token without contact scopes
    portal.remote.switch("hubspot", missing_scopes_in=place)
    token = portal.remote.tokens("hubspot", portal.hub_id, ["oauth"])["access_token"]
    portal.session.headers["Authorization"] = f"Bearer {token}"

    # When contacts are read
    body = portal.send("GET", "contacts").json()

    # Then the scope is there
    context = body["context"] if place == "context" else body["errors"][0]["context"]
    assert context == {"requiredGranularScopes": ["crm.objects.contacts.read"]}
    assert (body["category"], "context" in body) == ("MISSING_SCOPES", place == "context")


@pytest.mark.parametrize(
    ("switches", "groups", "filters", "status"),
    [
        ({}, 5, 3, 200),
        ({}, 6, 1, 400),
        ({}, 4, 5, 400),
        ({"search_most_groups": 10, "search_most_filters": 25}, 10, 2, 200),
        ({"search_most_groups": 10, "search_most_filters": 25}, 11, 1, 400),
        ({"search_most_groups": 10, "search_most_filters": 25}, 5, 6, 400),
        ({}, 1, 7, 400),
        ({"search_most_group_filters": 10}, 1, 10, 200),
        ({"search_most_group_filters": 10}, 1, 11, 400),
    ],
)
def test_how_many_filters_a_search_may_have(
    portal: HubspotCaller, switches: dict[str, int], groups: int, filters: int, status: int
) -> None:
    """By default the lowest numbers that any page names; the highest are a setting."""
    # Given the setting
    portal.remote.switch("hubspot", **switches)
    one = {"propertyName": "name", "operator": "EQ", "value": "x"}

    # When a search with many filters comes
    reply = portal.search(filterGroups=[{"filters": [one] * filters}] * groups)

    # Then
    assert reply.status_code == status


@pytest.mark.parametrize(("most", "status"), [(0, 200), (3000, 400)])
def test_whether_the_whole_search_body_is_limited(portal: HubspotCaller, most: int, status: int) -> None:
    """3,000 characters hold for `query` alone, or for the body."""
    # Given the setting, and a long list
    portal.remote.switch("hubspot", search_max_body_chars=most)
    values = [f"company-{at}.example" for at in range(200)]

    # When it is searched for
    one = {"propertyName": "domain", "operator": "IN", "values": values}
    reply = portal.search(filterGroups=[{"filters": [one]}])

    # Then
    assert reply.status_code == status


@pytest.mark.parametrize(("is_needed", "status"), [(False, 200), (True, 400)])
def test_whether_an_upsert_by_email_must_repeat_the_email(
    portal: HubspotCaller, *, is_needed: bool, status: int
) -> None:
    """Without it in `properties` the update is merged, or refused with the whole call."""
    # Given the setting and a contact
    portal.remote.switch("hubspot", email_upsert_needs_email=is_needed)
    portal.remote.store("hubspot", portal.hub_id, "contacts", [{"email": "a@x.io", "firstname": "A"}])

    # When it is upserted without its e-mail among the properties
    one = {"id": "a@x.io", "idProperty": "email", "properties": {"lastname": "B"}}
    reply = portal.batch("contacts/batch/upsert", [one])

    # Then it has both names, or is as before
    assert reply.status_code == status
    assert portal.stored()[0]["properties"].get("lastname") == (None if is_needed else "B")


@pytest.mark.parametrize(("honours", "status"), [(True, 207), (False, 400)])
def test_whether_an_update_honours_trace_ids(portal: HubspotCaller, *, honours: bool, status: int) -> None:
    """The good input is written beside the bad one, or the call fails as one."""
    # Given the setting and two contacts
    portal.remote.switch("hubspot", trace_partial_update=honours)
    ids = portal.remote.store("hubspot", portal.hub_id, "contacts", [{"email": "a@x.io"}, {"email": "b@x.io"}])

    # When one of two updates is bad
    values: list[dict[str, Any]] = [{"firstname": "A"}, {"nope": "1"}]
    inputs = [
        {"id": record_id, "properties": one, "objectWriteTraceId": record_id}
        for record_id, one in zip(ids, values, strict=True)
    ]
    reply = portal.batch("contacts/batch/update", inputs)

    # Then
    assert reply.status_code == status
    assert portal.stored()[0]["properties"].get("firstname") == ("A" if honours else None)


@pytest.mark.parametrize("value", [50, 1.5, True, None])
@pytest.mark.parametrize(("setting", "statuses"), [("refuse", [400, 400]), ("take", [201, 201])])
def test_values_that_are_no_text(portal: HubspotCaller, value: object, setting: str, statuses: list[int]) -> None:
    """Numbers, booleans and null are refused with the whole call, or taken as their text."""
    # Given the setting
    portal.remote.switch("hubspot", non_text_values=setting)
    bad = {"properties": {"name": "Acme", "description": value}}

    # When one is created alone, and behind a good one in a batch
    single = portal.send("POST", "companies", json=bad)
    batch = portal.batch("companies/batch/create", [{"properties": {"name": "First"}}, bad])

    # Then
    assert [single.status_code, batch.status_code] == statuses
    assert len(portal.stored("companies")) == (0 if setting == "refuse" else 3)


@pytest.mark.parametrize("value", [{"a": 1}, ["x"]])
@pytest.mark.parametrize("setting", ["refuse", "take"])
def test_values_that_are_objects_are_always_refused(portal: HubspotCaller, value: object, setting: str) -> None:
    """A JSON object or list is no property value under either setting."""
    # Given the setting
    portal.remote.switch("hubspot", non_text_values=setting)

    # When one comes behind a good input
    inputs = [{"properties": {"name": "First"}}, {"properties": {"name": value}}]
    reply = portal.batch("companies/batch/create", inputs)

    # Then nothing is written
    assert (reply.status_code, portal.stored("companies")) == (400, [])


@pytest.mark.parametrize("code", ["REQUIRED_FIELD", "CONDITIONALLY_REQUIRED"])
def test_the_code_of_an_administrators_rule(portal: HubspotCaller, code: str) -> None:
    """A property that the customer requires: the category is known, the code of the value is not."""
    # Given the setting
    portal.remote.switch("hubspot", admin_required_properties=["jobtitle"], admin_rule_error=code)

    # When a contact lacks it
    body = portal.send("POST", "contacts", json={"properties": {"email": "a@x.io"}}).json()

    # Then
    assert body["category"] == "VALIDATION_ERROR"
    assert f'"error": "{code}"' in body["message"]
