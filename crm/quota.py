"""The daily-quota guard: a connection holds before it eats the quota that the customer's other programs need.

Fed by what every reply says (Salesforce `Sforce-Limit-Info`). Each process knows what its own calls were told; one call
now and then is let through, so that a quota that came back is noticed.
"""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from crm.errors import QuotaExhausted
from crm.model import AccountLimits

#: A reading older than this does not hold anybody back: the quota is a rolling day.
PROBE_EVERY_S = 300.0


@dataclass(frozen=True, slots=True)
class _Reading:
    used: int
    most: int
    read_at: float


class QuotaGuard:
    """Holds back calls of CRM accounts that have used more than their share of the day's quota.

    Args:
        share: Part of the day's calls that may be used before commands are held (0.8 = 80 %).
    """

    def __init__(self, share: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._share = share
        self._clock = clock
        self._lock = threading.Lock()
        self._readings: dict[str, _Reading] = {}

    def note(self, account_id: str | None, limits: AccountLimits | None) -> None:
        """Remember what a reply said."""
        if account_id is None or limits is None or limits.daily_used is None or not limits.daily_max:
            return
        with self._lock:
            self._readings[account_id] = _Reading(limits.daily_used, limits.daily_max, self._clock())

    def check(self, account_id: str | None) -> None:
        """Raise QuotaExhausted while the account is over its share, but for one probe every `PROBE_EVERY_S`."""
        with self._lock:
            reading = self._readings.get(account_id or "")
            if reading is None or reading.used < self._share * reading.most:
                return
            age_s = self._clock() - reading.read_at
            if age_s >= PROBE_EVERY_S:
                # The next reply brings a new reading; until then nobody else probes.
                self._readings[account_id or ""] = _Reading(reading.used, reading.most, self._clock())
                return
        text = (
            f"{reading.used} of {reading.most} API calls of the day are used; this service stops at {self._share:.0%}"
        )
        raise QuotaExhausted(text, retry_after_s=PROBE_EVERY_S - age_s)
