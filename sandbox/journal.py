"""The ring buffer of requests seen, and counters over all of them. Never holds tokens, codes, queries or bodies."""

import time
from collections import Counter, deque
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class JournalEntry:
    """One request: when (epoch seconds), what, for which account, how it ended, how long it took."""

    at: float
    crm: str
    method: str
    path: str
    route: str
    status: int
    account: str | None
    records: int | None
    duration_ms: float
    fault: str | None = None
    """The switch that spoiled it, such as ``lose_reply_next``; its status is then what the server meant to say."""


class Journal:
    """Entries of the latest requests and totals since the last reset."""

    def __init__(self, size: int) -> None:
        self._entries: deque[JournalEntry] = deque(maxlen=size)
        self._by_route: Counter[str] = Counter()
        self._by_status: Counter[str] = Counter()
        self._in_flight: Counter[str] = Counter()
        self._peak: dict[str, int] = {}

    def started(self, crm: str) -> None:
        """Note that a request is being worked on."""
        self._in_flight[crm] += 1
        self._peak[crm] = max(self._peak.get(crm, 0), self._in_flight[crm])

    def ended(self, entry: JournalEntry) -> None:
        """Note how a request ended."""
        self._in_flight[entry.crm] -= 1
        self._entries.append(entry)
        self._by_route[f"{entry.method} {entry.route}"] += 1
        self._by_status[f"{entry.crm} {entry.status}"] += 1

    def entries(self, since: float = 0.0) -> list[dict[str, Any]]:
        """Return the kept entries that started at or after ``since`` (epoch seconds), oldest first."""
        return [asdict(entry) for entry in self._entries if entry.at >= since]

    def stats(self) -> dict[str, Any]:
        """Return counts by route and by status, requests in flight now and at most."""
        return {
            "at": time.time(),
            "requests": sum(self._by_route.values()),
            "by_route": dict(sorted(self._by_route.items())),
            "by_status": dict(sorted(self._by_status.items())),
            "in_flight": {crm: count for crm, count in self._in_flight.items() if count},
            "peak_in_flight": dict(self._peak),
        }

    def clear(self) -> None:
        """Forget entries and totals; requests in flight stay counted."""
        self._entries.clear()
        self._by_route.clear()
        self._by_status.clear()
        self._peak = {crm: count for crm, count in self._in_flight.items() if count}
