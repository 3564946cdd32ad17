"""A pulled page fits into one message: as many records as fit in 900 kB, then `has_more`."""

import json
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crm.model import CrmRecord, PulledPage
from crm.page_size import LONG_TEXT, MAX_PAGE_BYTES, count_that_fits, fit_page


@dataclass
class Crm:
    """A CRM that holds records and pages them; its cursor is the id of the last record of the page."""

    records: list[CrmRecord]
    limits: list[int] = field(default_factory=list)

    def pull(self, limit: int) -> PulledPage:
        """Its first `limit` records."""
        self.limits.append(limit)
        page = tuple(self.records[:limit])
        return PulledPage(page, page[-1].crm_id or "" if page else "start", has_more=len(self.records) > limit)


def records(*sizes: int, text: str = "x") -> list[CrmRecord]:
    """Records with a text of so many characters each."""
    return [CrmRecord({"notes": text * size}, crm_id=str(number)) for number, size in enumerate(sizes)]


def bytes_of(page: PulledPage) -> int:
    """JSON bytes of the page's records."""
    return sum(len(json.dumps(dict(record.fields), ensure_ascii=False).encode()) for record in page)


@pytest.mark.parametrize("count", [0, 1, 200])
def test_a_page_that_fits_is_read_once(count: int) -> None:
    """The usual page costs one call and is left as it came."""
    # Given
    crm = Crm(records(*[2_000] * count))
    # When
    page = fit_page(crm.pull, 200)
    # Then
    assert (page, crm.limits) == (crm.pull(200), [200, 200])
    assert not page.has_more


def test_a_page_that_is_too_large_is_read_again_smaller() -> None:
    """The cursor belongs to the last record that is given, so nothing is left out between two pulls."""
    # Given 200 records of 10 kB
    crm = Crm(records(*[10_000] * 200))
    # When
    page = fit_page(crm.pull, 200)
    # Then
    assert 80 <= len(page) <= 90
    assert page.has_more
    assert page.cursor == page.records[-1].crm_id
    assert bytes_of(page) <= MAX_PAGE_BYTES
    assert crm.limits == [200, len(page)]


def test_bytes_count_not_characters() -> None:
    """A text of three bytes a character takes three times the room."""
    # Given
    crm = Crm(records(*[10_000] * 200, text="語"))
    # When
    page = fit_page(crm.pull, 200)
    # Then
    assert len(page) < 31
    assert bytes_of(page) <= MAX_PAGE_BYTES


@pytest.mark.parametrize("limit", [1, 200])
def test_a_single_record_over_the_limit_comes_with_shortened_texts(limit: int) -> None:
    """One endless text must not stop a connection's pulls for ever; the other fields stay whole."""
    # Given
    huge = CrmRecord({"notes": "x" * 2_000_000, "email": "a@b.c", "tags": ["vip"]}, crm_id="9")
    crm = Crm([huge, *records(10, 10)])
    # When
    page = fit_page(crm.pull, limit)
    # Then
    (record,) = page
    assert record.fields == {"notes": "x" * LONG_TEXT, "email": "a@b.c", "tags": ["vip"]}
    assert page.cursor == "9"
    assert page.has_more
    assert count_that_fits(page) == 1


@settings(max_examples=40)
@given(sizes=st.lists(st.sampled_from([10, 5_000, 200_000, 899_000, 1_000_000]), max_size=30), limit=st.integers(1, 30))
def test_pulling_on_brings_every_record_once_and_in_order(sizes: list[int], limit: int) -> None:
    """Page after page with the cursor: all records, in pages that fit, and an end."""
    # Given
    left, seen = records(*sizes), list[str | None]()
    # When
    while left:
        page = fit_page(Crm(left).pull, limit)
        # Then
        assert page.has_more == (len(page) < len(left))
        assert count_that_fits(page) == len(page) >= 1
        seen += [record.crm_id for record in page]
        left = left[len(page) :]
    assert seen == [str(number) for number in range(len(sizes))]
