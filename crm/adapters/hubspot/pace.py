"""The spacing of searches: 5 a second for each account, over all adapters of this process.

Source: developers.hubspot.com/docs/developer-tooling/platform/usage-guidelines (search has a limit of its own).
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final

from crm.errors import RateLimited

#: HubSpot counts when a search arrives, this process knows only when it was sent and when it was answered. A place is
#: given back a second after the answer, so whatever way the clocks and the network fall, no second holds a sixth.
_WINDOW_S: Final = 1.05
# Longer waits belong to whoever runs the commands, not to a thread that sleeps.
_LONGEST_WAIT_S: Final = 5.0


@dataclass(slots=True)
class _Account:
    """The places of one account.

    Attributes:
        in_flight: Searches that were sent and not answered.
        free_at: When the places of answered searches come back, oldest first.
    """

    in_flight: int = 0
    free_at: deque[float] = field(default_factory=deque)


class SearchPace:
    """At most `per_second` searches a second for each account from this process.

    Spacing costs a second at most; being refused would throw away a look-up that needs several searches, each time.

    Args:
        per_second: HubSpot's limit.
        clock, wait: Monotonic seconds, and waiting on a condition for at most so many seconds; replaced in tests.
    """

    def __init__(
        self,
        per_second: int = 5,
        *,
        clock: Callable[[], float] = time.monotonic,
        wait: Callable[[threading.Condition, float], object] = threading.Condition.wait,
    ) -> None:
        self._per_second = per_second
        self._clock = clock
        self._wait = wait
        self._changed = threading.Condition()
        self._accounts: dict[str, _Account] = {}

    @contextmanager
    def place(self, account_id: str) -> Iterator[None]:
        """Wait for a place, hold it while the search runs, and give it back a second after.

        Raises:
            RateLimited: so many wait already that this one would take too long.
        """
        self._take(account_id)
        try:
            yield
        finally:
            with self._changed:
                account = self._accounts[account_id]
                account.in_flight -= 1
                account.free_at.append(self._clock() + _WINDOW_S)
                self._changed.notify_all()

    def _take(self, account_id: str) -> None:
        with self._changed:
            give_up_at = self._clock() + _LONGEST_WAIT_S
            while True:
                now = self._clock()
                self._forget_idle(now)
                account = self._accounts.setdefault(account_id, _Account())
                if account.in_flight + len(account.free_at) < self._per_second:
                    account.in_flight += 1
                    return
                if now >= give_up_at:
                    text = "too many searches of this HubSpot account wait for its limit of 5 a second"
                    raise RateLimited(text, retry_after_s=_WINDOW_S)
                until = account.free_at[0] if account.free_at else give_up_at
                self._wait(self._changed, min(until, give_up_at) - now)

    def _forget_idle(self, now: float) -> None:
        """Give places back whose time is over; forget accounts that have nothing left to remember."""
        for account_id, account in list(self._accounts.items()):
            while account.free_at and account.free_at[0] <= now:
                account.free_at.popleft()
            if not account.free_at and not account.in_flight:
                del self._accounts[account_id]


#: HubSpot counts by account, whatever adapter the search came from: one pace for the process.
SHARED_PACE: Final = SearchPace()
