"""The sandbox's HubSpot search, over a socket: operators, paging, the wall, the lag, its own rate limit."""

import time
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
    remote.switch("hubspot", search_per_second_limit=0)
    caller = HubspotCaller(remote)
    yield caller
    caller.session.close()


def names(portal: HubspotCaller, *filters: dict[str, Any]) -> list[str]:
    reply = portal.search(filterGroups=[{"filters": list(filters)}], properties=["name"], limit=200).json()
    return [result["properties"]["name"] for result in reply["results"]]


def store(portal: HubspotCaller, *companies: dict[str, Any]) -> list[str]:
    return portal.remote.store("hubspot", portal.hub_id, "companies", list(companies))


def one(name: str, operator: str, value: Any = None, **more: Any) -> dict[str, Any]:
    return {"propertyName": name, "operator": operator, **({"value": value} if value is not None else {}), **more}


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        (one("domain", "EQ", "A.IO"), ["A"]),
        (one("domain", "IN", values=["a.io", "b.io"]), ["A", "B"]),
        (one("domain", "IN", values=["A.io", "b.io"]), ["B"]),
        (one("domain", "NOT_IN", values=["a.io"]), ["B", "C"]),
        (one("domain", "NOT_HAS_PROPERTY"), ["C"]),
        (one("domain", "HAS_PROPERTY"), ["A", "B"]),
        (one("numberofemployees", "GTE", "20"), ["B", "C"]),
        (one("numberofemployees", "LT", 20), ["A"]),
        (one("numberofemployees", "BETWEEN", "5", highValue="20"), ["A", "B"]),
        (one("industry", "EQ", "computer_software"), []),
        (one("industry", "EQ", "COMPUTER_SOFTWARE"), ["A"]),
        (one("description", "CONTAINS_TOKEN", "rockets"), ["B"]),
        (one("description", "CONTAINS_TOKEN", "rock*"), ["B"]),
        (one("createdate", "GT", "1600000000000"), ["A", "B", "C"]),
    ],
)
def test_operators_select_what_the_guide_says(
    portal: HubspotCaller, wanted: dict[str, Any], expected: list[str]
) -> None:
    """Texts without regard to case but for IN, enumerations by exact value, numbers and instants by size."""
    # Given three companies
    store(
        portal,
        {"name": "A", "domain": "a.io", "numberofemployees": 10, "industry": "COMPUTER_SOFTWARE"},
        {"name": "B", "domain": "b.io", "numberofemployees": 20, "description": "rockets, slowly"},
        {"name": "C", "numberofemployees": 100},
    )

    # When the filter is applied
    found = names(portal, wanted)

    # Then the right ones come
    assert sorted(found) == expected


@pytest.mark.parametrize(
    "body",
    [
        {"filterGroups": [{"filters": [{"propertyName": "shoe", "operator": "EQ", "value": "1"}]}]},
        {"filterGroups": [{"filters": [{"propertyName": "name", "operator": "IS", "value": "1"}]}]},
        {"filterGroups": [{"filters": [{"propertyName": "name", "operator": "IN", "value": "1"}]}]},
        {"filterGroups": [{"filters": [{"propertyName": "createdate", "operator": "GT", "value": "soon"}]}]},
        {"sorts": [{"propertyName": "shoe"}]},
        {"query": "x" * 3001},
    ],
)
def test_a_wrong_search_gets_the_unexplained_400(portal: HubspotCaller, body: dict[str, Any]) -> None:
    """Wrong operators, properties and dates are answered without a category."""
    # Given a wrong body
    # When it is sent
    response = portal.search(**body)

    # Then there was a problem with the request, and no more is said
    assert response.status_code == 400
    assert response.json()["message"] == "There was a problem with the request."
    assert "category" not in response.json()


@pytest.mark.parametrize(
    "body",
    [
        {"limit": 201},
        {"limit": 200, "after": "9801"},
        {"sorts": ["name", "domain"]},
        {"filterGroups": [{"filters": [one("name", "HAS_PROPERTY")]}] * 6},
        {"filterGroups": [{"filters": [one("name", "HAS_PROPERTY")] * 7}]},
    ],
)
def test_the_limits_of_search_hold(portal: HubspotCaller, body: dict[str, Any]) -> None:
    """200 a page, 10,000 in all, one sort, 5 groups, 6 filters each."""
    # Given a body over a limit
    # When it is sent
    response = portal.search(**body)

    # Then it is refused
    assert (response.status_code, response.json()["category"]) == (400, "VALIDATION_ERROR")


def test_pages_follow_the_sort(portal: HubspotCaller) -> None:
    """`after` is an offset; the last page has no `paging`."""
    # Given five companies
    store(portal, *({"name": f"C{at}", "numberofemployees": at} for at in range(5)))
    sorts = [{"propertyName": "numberofemployees", "direction": "DESCENDING"}]

    # When they are searched two a page
    pages = [portal.search(sorts=sorts, limit=2, after=after, properties=["name"]).json() for after in ("0", "2", "4")]

    # Then the order goes on over the pages
    assert [result["properties"]["name"] for page in pages for result in page["results"]] == [
        "C4", "C3", "C2", "C1", "C0",
    ]  # fmt: skip
    assert [page.get("paging", {}).get("next", {}).get("after") for page in pages] == ["2", "4", None]
    assert {page["total"] for page in pages} == {5}


def test_search_lags_behind_writes(portal: HubspotCaller) -> None:
    """Until the delay is over a new record is not found and a changed one is found by its old values."""
    # Given a settled company and a lag
    (company_id,) = store(portal, {"name": "Old"})
    time.sleep(0.31)
    portal.remote.switch("hubspot", search_delay_ms=300)

    # When it is renamed and another is made
    url = f"{portal.remote.origin}/hubspot/crm/objects/2026-09/companies/{company_id}"
    portal.session.patch(url, json={"properties": {"name": "New"}}, timeout=10)
    store(portal, {"name": "Fresh"})
    at_once = names(portal, one("name", "HAS_PROPERTY"))
    time.sleep(0.35)
    later = names(portal, one("name", "HAS_PROPERTY"))

    # Then the index catches up
    assert at_once == ["Old"]
    assert sorted(later) == ["Fresh", "New"]


def test_search_has_a_rate_limit_of_its_own(portal: HubspotCaller) -> None:
    """The sixth search of a second is a 429 with policy SECONDLY; search replies carry no rate headers."""
    # Given the documented limit
    portal.remote.switch("hubspot", search_per_second_limit=5)

    # When six searches come at once
    replies = [portal.search() for _ in range(6)]

    # Then the sixth is refused
    assert [reply.status_code for reply in replies] == [200] * 5 + [429]
    assert replies[5].json()["policyName"] == "SECONDLY"
    assert not any(name.lower().startswith("x-hubspot-ratelimit") for name in replies[0].headers)
