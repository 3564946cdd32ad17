"""The official `hubspot-api-client` runs its ordinary calls against the sandbox over real HTTP.

Its host is a setting of the client (`host`), so that nothing of it is touched. This version of the client speaks the
legacy paths (`/crm/v3/...`, `/crm/v4/...` for associations, `/oauth/v1/...`).
"""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import urllib3
from hubspot import HubSpot
from hubspot.crm import contacts
from hubspot.crm.contacts.exceptions import ApiException, ForbiddenException, UnauthorizedException
from hubspot.crm.contacts.exceptions import NotFoundException as ContactNotFound

from sandbox.remote import RemoteSandbox
from sandbox.server import SandboxServer

CLIENT_ID, CLIENT_SECRET = "sandbox-hubspot-client", "sandbox-hubspot-secret-not-real"


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
def connect(remote: RemoteSandbox, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., HubSpot]]:
    """A client for a token; its connection pools are closed at the end, which the client itself never does."""
    pools: list[urllib3.PoolManager] = []
    made = urllib3.PoolManager.__init__

    def remember(pool: urllib3.PoolManager, *arguments: Any, **more: Any) -> None:
        made(pool, *arguments, **more)
        pools.append(pool)

    monkeypatch.setattr(urllib3.PoolManager, "__init__", remember)

    def open_client(scopes: list[str] | None = None) -> HubSpot:
        tokens = remote.tokens("hubspot", remote.account_ids("hubspot")[0], scopes)
        return HubSpot(access_token=tokens["access_token"], host=f"{remote.origin}/hubspot")

    yield open_client
    for pool in pools:
        pool.clear()


@pytest.fixture
def hubspot(connect: Callable[..., HubSpot]) -> HubSpot:
    return connect()


def inputs(*given: dict[str, Any]) -> dict[str, Any]:
    return {"inputs": list(given)}


def test_contacts_are_created_read_updated_and_archived_in_batches(hubspot: HubSpot) -> None:
    """The four batch calls; results are matched by their own ids, since their order is not promised."""
    # Given two created contacts
    batch = hubspot.crm.contacts.batch_api
    created = batch.create(
        contacts.BatchInputSimplePublicObjectBatchInputForCreate(
            inputs=[
                contacts.SimplePublicObjectBatchInputForCreate(properties={"email": f"p{at}@acme.io"}, associations=[])
                for at in range(2)
            ]
        )
    )
    ids = {one.properties["email"]: one.id for one in created.results}

    # When they are updated, read and archived
    updated = batch.update(inputs({"id": ids["p0@acme.io"], "properties": {"firstname": "Ada"}}))
    wanted = contacts.BatchReadInputSimplePublicObjectId(
        id_property="email",
        properties=["email", "firstname"],
        properties_with_history=[],
        inputs=[{"id": "P0@acme.io"}],
    )
    read = batch.read(wanted)
    batch.archive(inputs(*({"id": record_id} for record_id in ids.values())))

    # Then the records say so
    assert (created.status, updated.status, read.status) == ("COMPLETE", "COMPLETE", "COMPLETE")
    assert [one.properties["firstname"] for one in read.results] == ["Ada"]
    assert read.results[0].created_at.tzinfo is not None
    assert hubspot.crm.contacts.get_all() == []


def test_contacts_are_upserted_by_email(hubspot: HubSpot) -> None:
    """`new` tells a created contact from an updated one."""

    # Given an upsert by e-mail
    def upsert(name: str) -> Any:
        return hubspot.crm.contacts.batch_api.upsert(
            contacts.BatchInputSimplePublicObjectBatchInputUpsert(
                inputs=[
                    contacts.SimplePublicObjectBatchInputUpsert(
                        id="ada@acme.io", id_property="email", properties={"email": "ada@acme.io", "firstname": name}
                    )
                ]
            )
        ).results[0]

    # When it runs twice
    first, second = upsert("Ada"), upsert("Augusta")

    # Then one contact was made
    assert (first.new, second.new, first.id == second.id) == (True, False, True)
    assert second.properties["firstname"] == "Augusta"


def test_partial_success_comes_with_errors(hubspot: HubSpot) -> None:
    """A 207 is read as the type with errors; each names its input by trace id."""
    # Given two traced inputs, one of them bad
    batch = hubspot.crm.contacts.batch_api
    traced = inputs(
        {"properties": {"email": "good@acme.io"}, "objectWriteTraceId": "t1", "associations": []},
        {"properties": {"email": "bad"}, "objectWriteTraceId": "t2", "associations": []},
    )

    # When they are created
    reply = batch.create(traced)

    # Then one landed
    assert type(reply).__name__ == "BatchResponseSimplePublicObjectWithErrors"
    assert [one.properties["email"] for one in reply.results] == ["good@acme.io"]
    assert (reply.num_errors, reply.errors[0].context["objectWriteTraceId"]) == (1, ["t2"])


def test_one_contact_is_created_read_changed_and_archived(hubspot: HubSpot) -> None:
    """The basic calls, by id and by e-mail, then the client's own "not found"."""
    # Given a contact
    basic = hubspot.crm.contacts.basic_api
    made = basic.create(contacts.SimplePublicObjectInputForCreate(properties={"email": "ada@acme.io"}, associations=[]))

    # When it is changed and read
    basic.update(made.id, contacts.SimplePublicObjectInput(properties={"jobtitle": "CTO"}))
    read = basic.get_by_id("ada@acme.io", id_property="email", properties=["jobtitle", "nope"])
    basic.archive(made.id)

    # Then it was, and is gone
    assert (read.id, read.properties["jobtitle"], "nope" in read.properties) == (made.id, "CTO", False)
    with pytest.raises(ContactNotFound):
        basic.get_by_id(made.id)


def test_pages_lead_through_all_records(hubspot: HubSpot, remote: RemoteSandbox) -> None:
    """`get_page` with `after`, and the client's own `get_all` over pages of 100."""
    # Given 230 companies
    names = [f"C{at:03}" for at in range(230)]
    remote.store("hubspot", remote.account_ids("hubspot")[0], "companies", [{"name": name} for name in names])

    # When they are paged
    first = hubspot.crm.companies.basic_api.get_page(limit=100, properties=["name"])
    second = hubspot.crm.companies.basic_api.get_page(limit=100, after=first.paging.next.after, properties=["name"])
    everything = hubspot.crm.companies.get_all(properties=["name"])

    # Then all come, once each
    assert [one.properties["name"] for one in (*first.results, *second.results)] == names[:200]
    assert [one.properties["name"] for one in everything] == names


def test_records_are_searched(hubspot: HubSpot, remote: RemoteSandbox) -> None:
    """Filter groups, sorts and limit of the client's search request."""
    # Given companies
    hub_id = remote.account_ids("hubspot")[0]
    remote.store(
        "hubspot",
        hub_id,
        "companies",
        [{"name": f"C{at}", "domain": f"c{at}.io", "numberofemployees": str(at)} for at in range(5)],
    )

    # When two are searched for
    found = hubspot.crm.companies.search_api.do_search(
        {
            "filterGroups": [
                {"filters": [{"propertyName": "domain", "operator": "IN", "values": ["c1.io", "c3.io", "c9.io"]}]}
            ],
            "sorts": [{"propertyName": "numberofemployees", "direction": "DESCENDING"}],
            "properties": ["name"],
            "limit": 200,
        }
    )

    # Then they come in the order asked for
    assert (found.total, [one.properties["name"] for one in found.results]) == (2, ["C3", "C1"])


def test_properties_are_listed_and_read(hubspot: HubSpot) -> None:
    """Options, uniqueness and read-only marks survive the client's models."""
    # When they are asked for
    listed = {one.name: one for one in hubspot.crm.properties.core_api.get_all("companies").results}
    one = hubspot.crm.properties.core_api.get_by_name("contacts", "email")

    # Then they say what writes are held to
    assert "COMPUTER_SOFTWARE" in {option.value for option in listed["industry"].options}
    assert (listed["morket_id"].has_unique_value, listed["domain"].has_unique_value) == (True, False)
    assert listed["createdate"].modification_metadata.read_only_value is True
    assert (one.name, one.type) == ("email", "string")


def test_associations_are_read_from_both_sides(hubspot: HubSpot) -> None:
    """Given at the creation of a contact; read by the v4 call, and with the contact."""
    # Given a company with a contact
    company = hubspot.crm.companies.basic_api.create({"properties": {"name": "Acme"}, "associations": []})
    contact = hubspot.crm.contacts.basic_api.create(
        contacts.SimplePublicObjectInputForCreate(
            properties={"email": "ada@acme.io"},
            associations=[
                contacts.PublicAssociationsForObject(
                    to=contacts.PublicObjectId(id=company.id),
                    types=[contacts.AssociationSpec(association_category="HUBSPOT_DEFINED", association_type_id=279)],
                )
            ],
        )
    )

    # When both sides are read
    v4 = hubspot.crm.associations.v4.basic_api
    of_contact = v4.get_page("contacts", contact.id, "companies").results
    of_company = v4.get_page("companies", company.id, "contacts").results
    read = hubspot.crm.contacts.basic_api.get_by_id(contact.id, associations=["companies"])

    # Then each names the other
    assert [(one.to_object_id, one.association_types[0].type_id) for one in of_contact] == [(company.id, 279)]
    assert [(one.to_object_id, one.association_types[0].type_id) for one in of_company] == [(contact.id, 280)]
    linked = read.associations["companies"].results
    assert [(one.id, one.type) for one in linked] == [(company.id, "contact_to_company_unlabeled")]


def test_tokens_are_refreshed_and_looked_up(hubspot: HubSpot, remote: RemoteSandbox) -> None:
    """The old OAuth endpoints, which are all that this version of the client knows."""
    # Given a refresh token
    hub_id = remote.account_ids("hubspot")[0]
    refresh_token = remote.tokens("hubspot", hub_id)["refresh_token"]

    # When it is exchanged and both tokens are looked up
    reply = hubspot.oauth.tokens_api.create(
        grant_type="refresh_token", refresh_token=refresh_token, client_id=CLIENT_ID, client_secret=CLIENT_SECRET
    )
    access = hubspot.oauth.access_tokens_api.get(reply.access_token)
    refresh = hubspot.oauth.refresh_tokens_api.get(reply.refresh_token)
    hubspot.oauth.refresh_tokens_api.archive(reply.refresh_token)

    # Then they belong to the portal, and a deleted one is unknown
    assert (reply.expires_in, str(access.hub_id), str(refresh.hub_id)) == (1800, hub_id, hub_id)
    assert (access.app_id > 0, refresh.client_id) == (True, CLIENT_ID)
    with pytest.raises(Exception, match="404"):
        hubspot.oauth.refresh_tokens_api.get(reply.refresh_token)


def test_refusals_become_the_clients_exceptions(
    hubspot: HubSpot, connect: Callable[..., HubSpot], remote: RemoteSandbox
) -> None:
    """400, 401, 403 and 409 carry the body that the client shows."""
    # Given a contact, and a client that may not read contacts
    basic = hubspot.crm.contacts.basic_api
    ada = {"properties": {"email": "ada@acme.io"}, "associations": []}
    basic.create(ada)
    narrow = connect(["oauth", "crm.objects.companies.read"])

    # When it is created again, with a wrong value, without the scope, and with an expired token
    with pytest.raises(ApiException) as conflict:
        basic.create(ada)
    with pytest.raises(ApiException) as invalid:
        basic.create({"properties": {"email": "x", "nope": "1"}, "associations": []})
    with pytest.raises(ForbiddenException) as forbidden:
        narrow.crm.contacts.basic_api.get_page()
    remote.expire_access_tokens("hubspot", remote.account_ids("hubspot")[0])
    with pytest.raises(UnauthorizedException) as expired:
        basic.get_page()

    # Then each has its status and category
    told = [(failure.value.status, failure.value.body) for failure in (conflict, invalid, forbidden, expired)]
    assert [status for status, _ in told] == [409, 400, 403, 401]
    marks = ["Existing ID: ", "PROPERTY_DOESNT_EXIST", "MISSING_SCOPES", "EXPIRED_AUTHENTICATION"]
    assert [mark in body for mark, (_, body) in zip(marks, told, strict=True)] == [True] * 4
