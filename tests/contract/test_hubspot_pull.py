"""Pulling from HubSpot: oldest change first, nothing twice, nothing lost, whatever the page size."""

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from crm.adapters.hubspot.cursor import Position, Seen, settle
from crm.adapters.hubspot.pace import SearchPace
from crm.errors import CommandRefused, RateLimited
from crm.model import CrmRecord, FieldMapping, PulledPage, PullOptions
from sandbox.server import SandboxServer
from services.hubspot_portal import ConnectedPortal, connected_portal


@pytest.fixture(scope="module")
def server() -> Iterator[SandboxServer]:
    with SandboxServer() as running:
        yield running


@pytest.fixture
def portal(server: SandboxServer) -> Iterator[ConnectedPortal]:
    with connected_portal(server.origin) as connected:
        # These tests pull faster than any worker; the limit has a test of its own.
        connected.switch(search_per_second_limit=0)
        connected.adapter._pace = SearchPace(per_second=10_000)
        yield connected


def people(count: int) -> list[CrmRecord]:
    return [CrmRecord({"email": f"p{index}@acme.io", "last_name": f"N{index}"}, index=index) for index in range(count)]


def walk(portal: ConnectedPortal, limit: int, *, include_deleted: bool = False) -> tuple[list[CrmRecord], PulledPage]:
    """Every record until there is no more, and the last page."""
    records: list[CrmRecord] = []
    page = portal.pull("person", limit, include_deleted=include_deleted)
    records += page
    while page.has_more:
        page = portal.pull("person", limit, cursor=page.cursor, include_deleted=include_deleted)
        records += page
    return records, page


@pytest.mark.parametrize("limit", [1, 7, 100, 200])
def test_records_of_one_millisecond_come_once_each_at_any_page_size(portal: ConnectedPortal, limit: int) -> None:
    """Batch writes give many records one timestamp; pages that end inside such a group lose and repeat nothing."""
    # Given contacts written by two batches (one for the smallest pages), so that timestamps are shared
    count = 20 if limit == 1 else 150
    portal.push("contacts", people(count))

    # When they are pulled page by page
    records, _last = walk(portal, limit)

    # Then each came once, oldest change first
    assert sorted(str(record.fields["email"]) for record in records) == sorted(f"p{i}@acme.io" for i in range(count))
    moments = [record.modified_at for record in records if record.modified_at]
    assert moments == sorted(moments)
    assert len(moments) == count


def test_200_records_cost_one_search(portal: ConnectedPortal) -> None:
    """A pull of 200 records is one search, once the properties are known."""
    # Given 200 contacts
    portal.push("contacts", people(200))

    # When they are pulled
    before = portal.calls()
    page = portal.pull("person", 200)

    # Then one call brought all
    assert (len(page), page.has_more) == (200, False)
    assert portal.calls() - before == 1


def test_the_cursor_brings_only_changes(portal: ConnectedPortal) -> None:
    """After everything was pulled, the cursor brings nothing, then exactly what was changed or added."""
    # Given three pulled contacts
    portal.push("contacts", people(3))
    page = portal.pull("person", 200)

    # When nothing, then one change and one new contact happened
    quiet = portal.pull("person", 200, cursor=page.cursor)
    portal.push(
        "contacts", [CrmRecord({"email": "p1@acme.io", "city": "Riga"}), CrmRecord({"email": "new@acme.io"}, 1)]
    )
    changed = portal.pull("person", 200, cursor=quiet.cursor)
    after = portal.pull("person", 200, cursor=changed.cursor)

    # Then only those came, once
    assert len(quiet) == 0
    assert {record.fields["email"] for record in changed} == {"p1@acme.io", "new@acme.io"}
    assert len(after) == 0


def test_an_empty_account_gives_a_cursor_that_works(portal: ConnectedPortal) -> None:
    """A pull of nothing gives a cursor, and that cursor brings what comes later."""
    # Given an empty account
    page = portal.pull("company", 200)

    # When a company is added and the cursor is used
    portal.store("companies", {"domain": "acme.io"})
    later = portal.pull("company", 200, cursor=page.cursor)

    # Then it comes
    assert len(page) == 0
    assert [record.fields["company_domain"] for record in later] == ["acme.io"]


def test_changes_that_the_search_shows_late_are_not_lost(portal: ConnectedPortal) -> None:
    """A record that becomes searchable after a newer one was pulled still comes, and the newer not twice."""
    # Given two contacts, and the cursor of a pull that saw only the newer one
    portal.push("contacts", [CrmRecord({"email": "late@acme.io"})])
    portal.push("contacts", [CrmRecord({"email": "newer@acme.io"})])
    _late, newer = portal.pull("person", 200)
    assert newer.crm_id is not None
    assert newer.modified_at is not None
    at_ms = round(newer.modified_at.timestamp() * 1000)
    saw_one = Position("contacts", at_ms, int(newer.crm_id))
    cursor = settle(saw_one, [Seen.of(at_ms, newer.crm_id)], round(time.time() * 1000)).encode()

    # When the next pull goes on from there, and the one after it
    rest = portal.pull("person", 200, cursor=cursor)
    after = portal.pull("person", 200, cursor=rest.cursor)

    # Then the older one comes, once
    assert [record.fields["email"] for record in rest] == ["late@acme.io"]
    assert len(after) == 0


def test_modified_since_is_inclusive(portal: ConnectedPortal) -> None:
    """`modified_since` brings what changed at that instant or after it."""
    # Given two contacts at different instants
    portal.push("contacts", [CrmRecord({"email": "a@acme.io"})])
    first = portal.pull("person", 200).records[0].modified_at
    assert first is not None

    # When the account is pulled from that instant, and from a millisecond later
    at_once = portal.pull("person", 200, modified_since=first)
    later = portal.pull("person", 200, modified_since=first + timedelta(milliseconds=1))

    # Then the first holds it, the second does not
    assert len(at_once) == 1
    assert len(later) == 0


def test_deleted_records_come_from_the_archived_list(portal: ConnectedPortal) -> None:
    """With `include_deleted` archived contacts come after the live ones, marked, once, at any page size."""
    # Given five contacts, of which three are deleted
    portal.push("contacts", people(5))
    ids = [row["id"] for row in portal.stored("contacts")][:3]
    portal.delete("contacts", ids)

    # When everything is pulled in small pages, and again with the last cursor
    records, last = walk(portal, 2, include_deleted=True)
    again = portal.pull("person", 200, cursor=last.cursor, include_deleted=True)
    live = portal.pull("person", 200)

    # Then the deleted ones are marked, came once, and only when asked for
    assert sorted(record.crm_id for record in records if record.deleted and record.crm_id) == sorted(ids)
    assert len(records) == 5
    assert all(record.modified_at for record in records)
    assert len(again) == 0
    assert len(live) == 2


def test_values_come_back_in_morket_fields_with_their_types(portal: ConnectedPortal) -> None:
    """Numbers are numbers, empty fields null, names joined; `fields` narrows; push-only mappings are left out."""
    # Given a company and a contact
    portal.store("companies", {"domain": "acme.io", "numberofemployees": "50", "industry": "BANKING"})
    portal.push("contacts", [CrmRecord({"email": "a@acme.io", "first_name": "Ada", "last_name": "Lovelace"})])

    # When they are pulled
    company = portal.pull("company", 200).records[0]
    narrow = portal.pull("person", 200, fields=("full_name", "phone")).records[0]

    # Then the types are those of the properties
    assert (company.fields["employee_count"], company.fields["company_industry"]) == (50, "BANKING")
    assert company.fields["city"] is None
    assert company.fields["website"] is None
    assert narrow.fields == {"full_name": "Ada Lovelace", "phone": None}


def test_custom_mappings_are_read(portal: ConnectedPortal) -> None:
    """A workspace's own mapping is read; one that HubSpot does not have any more is left out."""
    # Given mappings to a unique property and to one that does not exist
    portal.store("contacts", {"email": "a@acme.io", "morket_id": "m-1"})
    extra = (FieldMapping("external_id", "morket_id"), FieldMapping("gone", "no_such_property"))

    # When the contact is pulled
    record = portal.pull("person", 200, extra=extra).records[0]

    # Then the first is there
    assert record.fields["external_id"] == "m-1"
    assert "gone" not in record.fields


def test_a_foreign_cursor_is_refused(portal: ConnectedPortal) -> None:
    """A cursor of companies, or of nobody, is `invalid_cursor`."""
    # Given a cursor of companies
    cursor = portal.pull("company", 200).cursor

    # When contacts are pulled with it, and with garbage / Then both are refused
    for text in (cursor, "garbage"):
        with pytest.raises(CommandRefused) as refused:
            portal.pull("person", 200, cursor=text)
        assert refused.value.code == "invalid_cursor"


def test_the_search_limit_is_told(portal: ConnectedPortal) -> None:
    """A search that HubSpot refuses for its rate is `RateLimited` with the seconds to wait."""
    # Given an account that is over its limit
    portal.pull("person", 1)
    portal.switch(rate_limited_next=-1, rate_limit_policy="SECONDLY")

    # When it is pulled / Then the error says so
    with pytest.raises(RateLimited) as limited:
        portal.pull("person", 200)
    assert limited.value.retry_after_s == 1.0


def test_a_future_start_brings_nothing_and_skips_nothing_before_it(portal: ConnectedPortal) -> None:
    """A start in the future is taken at its word."""
    # Given a contact and a start tomorrow
    portal.push("contacts", people(1))
    options = PullOptions(modified_since=datetime.now(UTC) + timedelta(days=1))

    # When the account is pulled
    page = portal.pull("person", 200, modified_since=options.modified_since)

    # Then nothing comes
    assert (len(page), page.has_more) == (0, False)


def test_a_search_that_another_program_pushed_over_the_limit_is_asked_again(portal: ConnectedPortal) -> None:
    """The limit is shared with the account's other programs: one refusal costs a second, not the pull."""
    # Given an account that refuses one search
    portal.push("contacts", people(1))
    portal.pull("person", 1)
    portal.switch(rate_limited_next=1, rate_limit_policy="SECONDLY")

    # When it is pulled / Then the records come
    assert len(portal.pull("person", 10)) == 1


def test_a_pull_goes_past_the_search_wall(portal: ConnectedPortal) -> None:
    """HubSpot pages a search to 10,000 records and no further; a pull brings all of 10,250, each once.

    They were imported at once, so hundreds of them share a millisecond.
    """
    # Given more records than one search may page through
    count, step = 10_250, 2_050
    for start in range(0, count, step):
        portal.store("deals", *({"dealname": f"D{index}"} for index in range(start, start + step)))
    mappings = (FieldMapping("deal_name", "dealname"),)

    # When they are pulled 200 at a time
    cursor, names, moments = None, [], set()
    has_more = True
    while has_more:
        options = PullOptions(cursor=cursor)
        page = portal.adapter.pull_records(portal.tokens, "deals", mappings, 200, options=options)
        names += [str(record.fields["deal_name"]) for record in page]
        moments |= {record.modified_at for record in page}
        cursor, has_more = page.cursor, page.has_more

    # Then none is missing and none came twice
    assert len(names) == count
    assert len(set(names)) == count
    assert len(moments) < count
