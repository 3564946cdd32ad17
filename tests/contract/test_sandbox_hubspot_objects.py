"""The sandbox's HubSpot objects, over a socket: values by type, reads, lists, properties, errors."""

from collections.abc import Iterator

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


def test_values_are_text_and_checked_by_type(portal: HubspotCaller) -> None:
    """Values come back as they were sent; each type has its rule."""
    # Given a company and a deal with values of every type
    company = {"name": "Initech", "numberofemployees": "50", "is_public": "TRUE", "industry": "COMPUTER_SOFTWARE"}
    bad = {"name": "x", "numberofemployees": "many", "industry": "Computer Software", "hs_object_id": "1"}

    # When good and bad ones are created
    good = portal.send("POST", "companies", json={"properties": company}).json()
    refused = portal.send("POST", "companies", json={"properties": bad})
    deal = portal.send("POST", "deals", json={"properties": {"dealname": "D", "closedate": "1795363200000"}}).json()

    # Then values are text, and every fault is told at once
    values = good["properties"]
    assert (values["numberofemployees"], values["is_public"]) == ("50", "true")
    assert values["hs_object_id"] == good["id"]
    assert deal["properties"]["closedate"] == "2026-11-22T16:00:00.000Z"
    message = refused.json()["message"]
    assert [code in message for code in ("INVALID_INTEGER", "INVALID_OPTION", "READ_ONLY_VALUE")] == [True] * 3


def test_a_create_needs_what_identifies_it(portal: HubspotCaller) -> None:
    """A contact without e-mail and names, and on dated paths a create without the admin's required properties."""
    # Given a property that the admin requires
    portal.remote.switch("hubspot", admin_required_properties=["jobtitle"])
    body = {"properties": {"email": "a@x.io"}}

    # When contacts are created
    anonymous = portal.send("POST", "contacts", json={"properties": {"phone": "1"}})
    new_path = portal.send("POST", "contacts", json=body)
    old_path = portal.send("POST", "contacts", version="2026-03", json=body)

    # Then the rule of the admin binds the newest path alone
    assert "REQUIRED_FIELD" in anonymous.json()["message"]
    assert (new_path.status_code, old_path.status_code) == (400, 201)


def test_batch_read_by_email_names_what_is_missing(portal: HubspotCaller) -> None:
    """Unknown properties are left out, empty ones are null, missing ids are one entry of errors."""
    # Given a contact
    portal.send("POST", "contacts", json={"properties": {"email": "a@x.io"}})

    # When it and another are read by e-mail
    inputs = [{"id": "A@x.io"}, {"id": "nobody@x.io"}]
    response = portal.batch("contacts/batch/read", inputs, idProperty="email", properties=["jobtitle", "shoe"])

    # Then the one comes and the other is named
    (result,) = response.json()["results"]
    assert response.status_code == 207
    assert result["properties"]["jobtitle"] is None
    assert "shoe" not in result["properties"]
    assert response.json()["errors"][0]["context"] == {"ids": ["nobody@x.io"]}


def test_lists_are_paged_by_id(portal: HubspotCaller) -> None:
    """`paging.next.after` leads through all; the last page has none; archived records are apart."""
    # Given seven contacts, one archived
    emails = [f"p{at}@x.io" for at in range(7)]
    ids = portal.remote.store("hubspot", portal.hub_id, "contacts", [{"email": email} for email in emails])
    archived = portal.send("DELETE", f"contacts/{ids[2]}")

    # When they are listed three a page
    pages, after = [], "0"
    while after:
        parameters = {"limit": "3", "after": after, "properties": "email,jobtitle"}
        pages.append(portal.send("GET", "contacts", params=parameters).json())
        after = pages[-1].get("paging", {}).get("next", {}).get("after", "")

    # Then six come, in the order of their ids
    listed = [record["id"] for page in pages for record in page["results"]]
    gone = portal.send("GET", "contacts", params={"archived": "true"}).json()["results"]
    assert archived.status_code == 204
    assert listed == [one for one in ids if one != ids[2]]
    assert [record["id"] for record in gone] == [ids[2]]
    assert portal.send("GET", f"contacts/{ids[2]}").json()["category"] == "OBJECT_NOT_FOUND"


def test_a_lifecycle_stage_moves_forward_only(portal: HubspotCaller) -> None:
    """To go back it must be emptied first."""
    # Given a customer
    path = f"contacts/{portal.remote.store('hubspot', portal.hub_id, 'contacts', [{'email': 'a@x.io'}])[0]}"

    # When the stage is set forward, back, emptied, back
    stages = [
        portal.send("PATCH", path, json={"properties": {"lifecyclestage": stage}})
        .json()["properties"]
        .get("lifecyclestage")
        for stage in ("customer", "lead", "", "lead")
    ]

    # Then only the way over the empty value leads back
    assert stages == ["customer", "customer", None, "lead"]


def test_property_metadata_says_what_is_writable(portal: HubspotCaller) -> None:
    """Both path styles answer; options, uniqueness and read-only marks are there."""
    # Given both URLs of the contact properties
    base = f"{portal.remote.origin}/hubspot/crm"
    urls = (f"{base}/properties/2026-09/contacts", f"{base}/v3/properties/0-1")

    # When they are read
    dated, legacy = (portal.session.get(url, timeout=10).json()["results"] for url in urls)

    # Then they are the same, and tell
    by_name = {entry["name"]: entry for entry in dated}
    assert dated == legacy
    assert by_name["morket_id"]["hasUniqueValue"] is True
    assert by_name["createdate"]["modificationMetadata"]["readOnlyValue"] is True
    assert [option["value"] for option in by_name["numemployees"]["options"]][:2] == ["1-5", "5-25"]
    assert "hs_linkedin_url" in by_name


def test_broken_json_and_unknown_urls_are_refused_in_the_vendors_shape(portal: HubspotCaller) -> None:
    """An object with status, message, correlationId and category."""
    # Given a cut-off body, and a type that does not exist
    headers = {"Content-Type": "application/json"}

    # When they are sent
    broken = portal.send("POST", "contacts/batch/create", data='{"inputs": [', headers=headers)
    unknown_type = portal.send("GET", "shoes")
    unknown_url = portal.session.get(f"{portal.remote.origin}/hubspot/crm/shoes", timeout=10)

    # Then each is explained
    assert broken.json()["message"].startswith("Invalid input JSON on line 1, column ")
    assert unknown_type.json()["message"] == "Unable to infer object type from: shoes"
    assert (unknown_url.status_code, unknown_url.json()["status"]) == (404, "error")
