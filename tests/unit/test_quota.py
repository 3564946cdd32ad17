"""The guard of the customer's daily API quota: it holds an account over its share, and looks again now and then."""

import pytest

from crm.errors import QuotaExhausted
from crm.model import AccountLimits
from crm.quota import PROBE_EVERY_S, QuotaGuard


class Clock:
    """Seconds that stand still until they are moved."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        """Seconds as `time.monotonic` gives them."""
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def guard(clock: Clock) -> QuotaGuard:
    return QuotaGuard(0.8, clock)


def used(count: int, most: int | None = 1000) -> AccountLimits:
    return AccountLimits(daily_used=count, daily_max=most)


def is_held(guard: QuotaGuard, account_id: str | None = "org") -> bool:
    try:
        guard.check(account_id)
    except QuotaExhausted:
        return True
    return False


@pytest.mark.parametrize(("count", "held"), [(0, False), (799, False), (800, True), (1200, True)])
def test_an_account_is_held_at_its_share(guard: QuotaGuard, count: int, *, held: bool) -> None:
    """80 % of 1,000 calls are 800."""
    # When
    guard.note("org", used(count))

    # Then
    assert is_held(guard) == held
    assert not is_held(guard, "another org")


def test_holding_tells_how_long_and_why(guard: QuotaGuard, clock: Clock) -> None:
    """The text names the figures; the wait ends with the next probe."""
    # Given
    guard.note("org", used(900))
    clock.now += 100

    # When
    with pytest.raises(QuotaExhausted) as held:
        guard.check("org")

    # Then
    assert held.value.retry_after_s == PROBE_EVERY_S - 100
    assert "900 of 1000" in held.value.public


def test_one_probe_passes_now_and_then(guard: QuotaGuard, clock: Clock) -> None:
    """The quota is a rolling day: one call finds out, the others wait for what it is told."""
    # Given an account over its share
    guard.note("org", used(900))
    clock.now += PROBE_EVERY_S

    # When / Then only the first passes
    assert [is_held(guard), is_held(guard), is_held(guard)] == [False, True, True]

    # And what it is told frees the others, or holds them again
    guard.note("org", used(100))
    assert not is_held(guard)
    guard.note("org", used(950))
    assert is_held(guard)


@pytest.mark.parametrize(
    "limits", [None, AccountLimits(), AccountLimits(daily_used=900), used(900, 0), AccountLimits(window_left=0)]
)
def test_what_says_nothing_of_the_day_changes_nothing(guard: QuotaGuard, limits: AccountLimits | None) -> None:
    """A reply without the header, or of a CRM without a daily quota, neither holds nor frees."""
    # When / Then
    guard.note("org", limits)
    assert not is_held(guard)
    guard.note("org", used(900))
    guard.note("org", limits)
    assert is_held(guard)


def test_without_an_account_nothing_is_held(guard: QuotaGuard) -> None:
    """A connection whose account is not known yet has no reading."""
    # When
    guard.note(None, used(1000))

    # Then
    assert not is_held(guard, None)
