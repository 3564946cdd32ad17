"""The sandbox's HubSpot associations, over a socket: given at a create, read from both sides."""

from collections.abc import Iterator
from typing import Any

import pytest

from sandbox.callers import HubspotCaller
from sandbox.remote import RemoteSandbox
from sandbox.server import SandboxServer

PRIMARY, TO_COMPANY, TO_CONTACT, DEAL_TO_CONTACT = 1, 279, 280, 3


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


def to(record_id: str, *type_ids: int, category: str = "HUBSPOT_DEFINED") -> dict[str, Any]:
    types = [{"associationCategory": category, "associationTypeId": type_id} for type_id in type_ids]
    return {"to": {"id": record_id}, "types": types}


def create(portal: HubspotCaller, kind: str, properties: dict[str, str], *associations: dict[str, Any]) -> str:
    body = {"properties": properties, "associations": list(associations)}
    return str(portal.send("POST", kind, json=body).json()["id"])


def test_an_association_is_read_from_both_sides(portal: HubspotCaller) -> None:
    """Type ids of each direction and labels; "Primary" brings the unlabeled type along."""
    # Given a company, a contact of it and a deal of the contact
    company = create(portal, "companies", {"name": "Acme"})
    contact = create(portal, "contacts", {"email": "a@acme.io"}, to(company, PRIMARY))
    deal = create(portal, "deals", {"dealname": "D"}, to(contact, DEAL_TO_CONTACT))

    # When they are read
    of_contact = portal.send("GET", f"contacts/{contact}/associations/companies").json()
    of_company = portal.send("GET", f"companies/{company}/associations/contacts").json()
    deals = portal.send("GET", f"contacts/{contact}/associations/deals").json()
    none = portal.send("GET", f"companies/{company}/associations/deals").json()

    # Then each side names the other
    assert of_contact["results"] == [
        {
            "toObjectId": company,
            "associationTypes": [
                {"category": "HUBSPOT_DEFINED", "typeId": 1, "label": "Primary"},
                {"category": "HUBSPOT_DEFINED", "typeId": 279, "label": None},
            ],
        }
    ]
    assert [kind["typeId"] for kind in of_company["results"][0]["associationTypes"]] == [2, 280]
    assert [one["toObjectId"] for one in deals["results"]] == [deal]
    assert none == {"results": []}


def test_records_carry_the_associations_that_are_asked_for(portal: HubspotCaller) -> None:
    """`associations=` on a single read and on a list; records without any have no such member."""
    # Given a contact with a company, and one without
    company = create(portal, "companies", {"name": "Acme"})
    linked = create(portal, "contacts", {"email": "a@acme.io"}, to(company, TO_COMPANY))
    create(portal, "contacts", {"email": "b@acme.io"})
    wanted = {"companies": {"results": [{"id": company, "type": "contact_to_company_unlabeled"}]}}

    # When they are read with and without asking
    single = portal.send("GET", f"contacts/{linked}", params={"associations": "companies,deals"}).json()
    listed = portal.send("GET", "contacts", params={"associations": "companies"}).json()["results"]
    plain = portal.send("GET", f"contacts/{linked}").json()

    # Then only who asks is told
    assert single["associations"] == wanted
    assert [record.get("associations") for record in listed] == [wanted, None]
    assert "associations" not in plain


def test_associations_are_paged_and_forget_archived_records(portal: HubspotCaller) -> None:
    """`limit` and `after`; an archived record is associated with nothing."""
    # Given a company with three contacts
    company = create(portal, "companies", {"name": "Acme"})
    ids = [create(portal, "contacts", {"email": f"{at}@acme.io"}, to(company, TO_COMPANY)) for at in range(3)]
    path = f"companies/{company}/associations/contacts"

    # When they are paged, and one is archived
    first = portal.send("GET", path, params={"limit": 2}).json()
    last = portal.send("GET", path, params={"limit": 2, "after": first["paging"]["next"]["after"]}).json()
    portal.send("DELETE", f"contacts/{ids[0]}")
    after = portal.send("GET", path).json()

    # Then
    assert [one["toObjectId"] for page in (first, last) for one in page["results"]] == ids
    assert "paging" not in last
    assert [one["toObjectId"] for one in after["results"]] == ids[1:]


@pytest.mark.parametrize(
    ("target", "type_id", "category"),
    [("", 9999, "HUBSPOT_DEFINED"), ("", TO_CONTACT, "HUBSPOT_DEFINED"), ("", TO_COMPANY, "USER_DEFINED"),
     ("1", TO_COMPANY, "HUBSPOT_DEFINED")],
)  # fmt: skip
def test_an_association_that_cannot_be_is_refused(
    portal: HubspotCaller, target: str, type_id: int, category: str
) -> None:
    """An unknown type, one of another direction, one that is not simulated, a record that is not there."""
    # Given a company
    company = create(portal, "companies", {"name": "Acme"})

    # When a contact is to be associated wrongly
    association = to(target or company, type_id, category=category)
    body = {"properties": {"email": "a@acme.io"}, "associations": [association]}
    refused = portal.send("POST", "contacts", json=body)

    # Then it is not created
    assert (refused.status_code, refused.json()["category"]) == (400, "VALIDATION_ERROR")
    assert portal.stored() == []


def test_a_read_of_associations_needs_records_and_types_that_exist(portal: HubspotCaller) -> None:
    """404 without the record, 400 without the type, 404 on a path of another version's style."""
    # Given a contact
    contact = create(portal, "contacts", {"email": "a@acme.io"})

    # When others are asked for
    paths = ["contacts/1/associations/companies", f"contacts/{contact}/associations/tickets"]
    statuses = [portal.send("GET", path).status_code for path in paths]
    v3 = portal.send("GET", f"contacts/{contact}/associations/companies", version="v3")
    misplaced = portal.session.get(f"{portal.remote.origin}/hubspot/crm/objects/v3/contacts/{contact}", timeout=10)

    # Then
    assert statuses == [404, 400]
    assert v3.json() == {"results": []}
    assert misplaced.status_code == 404
