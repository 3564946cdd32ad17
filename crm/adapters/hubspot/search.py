"""Finding records: batch reads by id or unique property, searches by any other.

Searches lag behind writes by seconds, are limited to 5 a second for an account, and compare strings in lower case.
Sources:
developers.hubspot.com/docs/api-reference/latest/crm/search, …/crm/objects/contacts/guide (batch read).
"""

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from crm.adapters.hubspot.batch import BATCH_SIZE
from crm.adapters.hubspot.calls import Calls, objects_in
from crm.adapters.hubspot.pace import SearchPace
from crm.errors import CallRefused, RateLimited

#: Records per search page.
SEARCH_PAGE: Final = 200
# The guide speaks of 3,000 characters in a way that can be read as the whole body, so the list of values stays below.
_MAX_VALUES_CHARS: Final = 2_300
_MAX_VALUES: Final = 100
# A search that another program's searches pushed over the limit is asked once more after this long at most.
_LONGEST_REST_S: Final = 2.0
# HubSpot refuses to page beyond this.
_MAX_RESULTS: Final = 10_000


@dataclass(frozen=True, slots=True)
class Found:
    """A record that HubSpot has: its id and the properties that were asked for."""

    crm_id: str
    properties: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Search:
    """Reads of one object of one account."""

    calls: Calls
    crm_object: str
    pace: SearchPace

    def page(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """One search call.

        Raises:
            CrmError: as `errors.raise_for_status` says.
        """
        try:
            return self._ask(body)
        except RateLimited as limited:
            rest_s = limited.retry_after_s
            if limited.crm_code != "SECONDLY" or rest_s is None or rest_s > _LONGEST_REST_S:
                raise
        # The account's other programs and our other processes share the limit; a search is safe to repeat.
        time.sleep(rest_s)
        return self._ask(body)

    def _ask(self, body: Mapping[str, Any]) -> dict[str, Any]:
        with self.pace.place(f"{self.calls.origin} {self.calls.tokens.account_id}"):
            return self.calls.post(self.calls.objects_path(self.crm_object, "/search"), body)

    def by_property(self, name: str, values: Sequence[str], properties: Sequence[str]) -> list[Found]:
        """Every record whose property `name` is one of `values` (lower case)."""
        found: dict[str, Found] = {}
        for group in in_searches(values):
            for item in self._all_pages(name, group, properties):
                found[item.crm_id] = item
        return list(found.values())

    def _all_pages(self, name: str, values: Sequence[str], properties: Sequence[str]) -> Iterator[Found]:
        after: str | None = None
        seen = 0
        while True:
            body: dict[str, Any] = {
                "filterGroups": [{"filters": [{"propertyName": name, "operator": "IN", "values": list(values)}]}],
                "properties": list(properties),
                "limit": SEARCH_PAGE,
                **({"after": after} if after else {}),
            }
            page = self.page(body)
            results = found_in(page)
            yield from results
            seen += len(results)
            after = next_page(page)
            if not results or after is None:
                return
            if seen >= _MAX_RESULTS:
                # What lies beyond is unknown, and an unknown match would be created a second time.
                raise CallRefused(f"more than {_MAX_RESULTS} records of {self.crm_object} match by {name}")

    def by_id(self, ids: Sequence[str], properties: Sequence[str]) -> dict[str, Found]:
        """Record id -> record, for those that exist; what is no HubSpot id exists nowhere."""
        usable = [name for name in dict.fromkeys(ids) if name.isascii() and name.isdigit()]
        return {item.crm_id: item for item in self._batch_read(usable, properties, None) if item.crm_id in set(usable)}

    def by_unique(self, name: str, values: Sequence[str], properties: Sequence[str]) -> list[Found]:
        """The records whose unique property `name` is one of `values`; no search delay, no search limit."""
        return list(self._batch_read(list(dict.fromkeys(values)), properties, name))

    def _batch_read(self, names: Sequence[str], properties: Sequence[str], id_property: str | None) -> Iterator[Found]:
        path = self.calls.objects_path(self.crm_object, "/batch/read")
        for start in range(0, len(names), BATCH_SIZE):
            body: dict[str, Any] = {
                "inputs": [{"id": name} for name in names[start : start + BATCH_SIZE]],
                "properties": list(properties),
                "propertiesWithHistory": [],
                **({"idProperty": id_property} if id_property else {}),
            }
            yield from found_in(self.calls.post(path, body))


def in_searches(values: Sequence[str]) -> Iterator[list[str]]:
    """The values in groups that fit one search: at most 100, and short enough when written as JSON."""
    group: list[str] = []
    size = 0
    for value in values:
        length = len(json.dumps(value)) + 2
        if group and (len(group) >= _MAX_VALUES or size + length > _MAX_VALUES_CHARS):
            yield group
            group, size = [], 0
        group.append(value)
        size += length
    if group:
        yield group


def found_in(page: Mapping[str, Any]) -> list[Found]:
    """The records of a page of results."""
    return [
        Found(str(item["id"]), properties if isinstance(properties := item.get("properties"), dict) else {})
        for item in objects_in(page.get("results"))
        if item.get("id")
    ]


def next_page(page: Mapping[str, Any]) -> str | None:
    """`paging.next.after`; None on the last page."""
    paging = page.get("paging")
    following = paging.get("next") if isinstance(paging, Mapping) else None
    after = following.get("after") if isinstance(following, Mapping) else None
    return str(after) if after else None
