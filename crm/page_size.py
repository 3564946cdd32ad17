"""A pulled page must fit into one Kafka message: as many records as fit in 900 kB, then `has_more`."""

import json
from collections.abc import Callable
from dataclasses import replace

from crm.model import CrmRecord, PulledPage

#: Bytes of JSON that the records of one pull may take.
MAX_PAGE_BYTES = 900_000
#: A single record over the limit keeps only this many characters of its long texts.
LONG_TEXT = 4_000
#: Room for the names around a record's fields in its JSON.
RECORD_OVERHEAD = 150


def fit_page(pull: Callable[[int], PulledPage], limit: int) -> PulledPage:
    """Pull `limit` records, or as many of the first ones as fit.

    A cursor belongs to the last record of its page, so a page that is too large is read again with a smaller limit.
    """
    page = pull(limit)
    fitting = count_that_fits(page)
    while fitting < len(page) and limit > 1:
        limit = max(1, fitting)
        smaller = pull(limit)
        page = replace(smaller, has_more=smaller.has_more or len(smaller) < len(page))
        fitting = count_that_fits(page)
    if fitting < len(page):
        return replace(page, records=tuple(_shortened(record) for record in page.records))
    return page


def count_that_fits(page: PulledPage) -> int:
    """How many of the page's first records fit into `MAX_PAGE_BYTES`."""
    used = 0
    for count, record in enumerate(page.records):
        used += len(json.dumps(dict(record.fields), ensure_ascii=False).encode("utf-8", "replace")) + RECORD_OVERHEAD
        if used > MAX_PAGE_BYTES:
            return count
    return len(page)


def _shortened(record: CrmRecord) -> CrmRecord:
    fields = {name: value[:LONG_TEXT] if isinstance(value, str) else value for name, value in record.fields.items()}
    return replace(record, fields=fields)
