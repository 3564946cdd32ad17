"""Query locators: the rows of a query that did not fit its first page (REST guide, Query "nextRecordsUrl")."""

from dataclasses import dataclass
from typing import Any

from sandbox.salesforce.ids import new_id

_MOST_KEPT = 1000


@dataclass(frozen=True, slots=True)
class StoredQuery:
    """All rows of one query of one org."""

    org_id: str
    rows: list[dict[str, Any]]
    batch_size: int


class QueryLocators:
    """Stored queries by locator id; the oldest is forgotten when very many are kept."""

    def __init__(self) -> None:
        self._queries: dict[str, StoredQuery] = {}
        self._number = 62**8

    def add(self, query: StoredQuery) -> str:
        """Keep a query and return its locator id."""
        if len(self._queries) >= _MOST_KEPT:
            del self._queries[next(iter(self._queries))]
        self._number += 1
        locator_id = new_id("01g", 300, self._number)
        self._queries[locator_id] = query
        return locator_id

    def get(self, locator_id: str, org_id: str) -> StoredQuery | None:
        """Return a query of this org, if it is still kept."""
        query = self._queries.get(locator_id)
        return query if query is not None and query.org_id == org_id else None
