"""Searches of one account are spaced so that HubSpot never counts six in a second, whatever their way there takes."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crm.adapters.hubspot.pace import SHARED_PACE, SearchPace
from crm.errors import RateLimited


class Clock:
    """Seconds that only waiting and calls move."""

    def __init__(self) -> None:
        self.now = 0.0
        self.waits: list[float] = []

    def __call__(self) -> float:
        """The time."""
        return self.now

    def wait(self, _condition: threading.Condition, seconds: float) -> bool:
        """Let the seconds pass."""
        self.waits.append(seconds)
        self.now += seconds
        return True


def paced(clock: Clock) -> SearchPace:
    return SearchPace(clock=clock, wait=clock.wait)


def searched(clock: Clock, pace: SearchPace, account: str, arrives_s: float, takes_s: float) -> float:
    """One search; when it arrived at HubSpot."""
    with pace.place(account):
        arrived = clock.now + arrives_s
        clock.now += takes_s
    return arrived


def test_the_sixth_search_waits_and_another_account_does_not() -> None:
    """Five searches pass at once, the sixth waits a second after the first was answered."""
    # Given five searches of one account
    clock = Clock()
    pace = paced(clock)
    for _search in range(5):
        searched(clock, pace, "1", 0.0, 0.0)

    # When another account and then the same one search
    searched(clock, pace, "2", 0.0, 0.0)
    waited_for_another = list(clock.waits)
    searched(clock, pace, "1", 0.0, 0.0)

    # Then only the same account waited
    assert waited_for_another == []
    assert clock.waits == [pytest.approx(1.05)]


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 2)), min_size=6, max_size=40))
def test_no_second_holds_six_arrivals(ways: list[tuple[float, float]]) -> None:
    """However late a search arrives before its answer, HubSpot counts at most five in any second."""
    # Given searches that arrive at any part of any duration / When they run one after the other
    clock = Clock()
    pace = paced(clock)
    arrivals = [searched(clock, pace, "1", part * takes_s, takes_s) for part, takes_s in ways]

    # Then every sixth arrival is a second after the first of its five
    assert all(later - earlier >= 1.0 for earlier, later in zip(arrivals, arrivals[5:], strict=False))


def test_searches_that_wait_too_long_are_refused() -> None:
    """While five searches hang, a sixth is told to come again after some seconds."""
    # Given five searches without an answer
    clock = Clock()
    pace = paced(clock)
    places = [pace.place("1") for _search in range(5)]
    for place in places:
        place.__enter__()

    # When a sixth asks / Then it is refused in time
    with pytest.raises(RateLimited) as limited, pace.place("1"):
        pytest.fail("a sixth search was let through")
    assert limited.value.retry_after_s is not None
    assert clock.now == pytest.approx(5.0)
    for place in places:
        place.__exit__(None, None, None)


def test_a_place_comes_back_after_an_error_and_idle_accounts_are_forgotten() -> None:
    """A search that raised gives its place back; an account that searched long ago takes no memory."""
    # Given a search that fails
    clock = Clock()
    pace = paced(clock)
    with pytest.raises(ValueError, match="broken"), pace.place("1"):
        raise ValueError("broken")

    # When time passes and another account searches
    clock.now += 2.0
    searched(clock, pace, "2", 0.0, 0.0)

    # Then only that one is remembered
    assert list(pace._accounts) == ["2"]


def test_threads_and_adapters_share_the_limit() -> None:
    """Twelve searches of one account from twelve threads: any six arrivals in a row span a second."""
    # Given the pace of the process and searches that take a moment
    arrivals: list[float] = []

    def search() -> None:
        with SHARED_PACE.place("threads"):
            arrivals.append(time.monotonic())
            time.sleep(0.05)

    # When twelve threads search at once
    run: Callable[[], None] = search
    with ThreadPoolExecutor(12) as threads:
        for done in [threads.submit(run) for _thread in range(12)]:
            done.result()

    # Then none of them was too early
    arrivals.sort()
    assert len(arrivals) == 12
    assert all(later - earlier >= 1.0 for earlier, later in zip(arrivals, arrivals[5:], strict=False))
