"""Another try, or give up: the decision as a table."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumer.retry import GiveUp, RetryAt, Tries, backoff_s, decide
from crm.errors import (
    AccessTokenRejected,
    CallRefused,
    CommandRefused,
    ConfigurationFault,
    CrmError,
    CrmUnavailable,
    NotConnected,
    PermissionDenied,
    QuotaExhausted,
    RateLimited,
    ReauthRequired,
    UntrustedHost,
    VaultError,
)
from services.commands_in import NOW

RETRY_FOR_S = 900.0


def tries(*, count: int = 1, ready_s_ago: float = 0, expires_in_s: float = 86_400) -> Tries:
    """What is known when a try has ended; jitter at its most, so that delays are whole."""
    ready_at = NOW - timedelta(seconds=ready_s_ago)
    return Tries(count, ready_at, NOW + timedelta(seconds=expires_in_s), NOW, jitter=1.0)


@pytest.mark.parametrize(
    ("error", "count", "delay_s", "reason"),
    [
        (CrmUnavailable("503"), 1, 1, "crm_unavailable"),
        (CrmUnavailable("503"), 2, 2, "crm_unavailable"),
        (CrmUnavailable("503"), 5, 16, "crm_unavailable"),
        (CrmUnavailable("503"), 50, 60, "crm_unavailable"),
        (CrmUnavailable("503", retry_after_s=7.0), 1, 7, "crm_unavailable"),
        (CrmUnavailable("503", retry_after_s=0.5), 3, 4, "crm_unavailable"),
        (RateLimited("429"), 1, 1, "rate_limited"),
        (RateLimited("429", retry_after_s=120.0), 1, 120, "rate_limited"),
        (QuotaExhausted("daily"), 1, 300, "quota"),
        (QuotaExhausted("daily", retry_after_s=4000.0), 1, 4000, "quota"),
        (QuotaExhausted("daily", retry_after_s=10.0), 1, 10, "quota"),
        (ReauthRequired("invalid_grant"), 1, 5, "reauthorization"),
        (ReauthRequired("invalid_grant"), 99, 5, "reauthorization"),
        (AccessTokenRejected("401 after a refresh"), 3, 4, "reauth_required"),
        (None, 1, 1, "crm_unavailable"),
        (None, 3, 4, "crm_unavailable"),
    ],
)
def test_what_may_go_away_is_tried_again(error: CrmError | None, count: int, delay_s: float, reason: str) -> None:
    """Each kind of obstacle has its own delay: doubled, or as the CRM told, or as long as a person needs."""
    # Given a try that ended so
    known = tries(count=count)
    # When
    decision = decide(error, known, RETRY_FOR_S)
    # Then
    assert decision == RetryAt(NOW + timedelta(seconds=delay_s), reason)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (CallRefused("400"), "crm_refused"),
        (PermissionDenied("403"), "permission_denied"),
        (CommandRefused("no", code="no_mapping_for_entity"), "no_mapping_for_entity"),
        (ConfigurationFault("no client"), "integration_not_configured"),
        (UntrustedHost("evil"), "crm_refused"),
        (NotConnected("nobody connected it"), "not_connected"),
        (VaultError("wrong key"), "internal_error"),
    ],
)
def test_what_cannot_go_away_is_answered_now(error: CrmError, code: str) -> None:
    """Sending the same again cannot help: the command fails with the error's own code."""
    # Given a first try, When, Then
    assert decide(error, tries(), RETRY_FOR_S) == GiveUp(code)


@pytest.mark.parametrize(
    ("error", "code"),
    [(CrmUnavailable("503"), "crm_unavailable"), (RateLimited("429"), "rate_limited"), (None, "crm_unavailable")],
)
def test_retries_end_within_retry_for_of_the_first_ready_moment(error: CrmError | None, code: str) -> None:
    """The last retry starts within `retry_for` of the moment when the command was ready first, takeovers included."""
    # Given a command that was ready first so long ago that the next delay just fits, and one second more
    fits, too_late = tries(ready_s_ago=RETRY_FOR_S - 1), tries(ready_s_ago=RETRY_FOR_S)
    # When, Then
    assert isinstance(decide(error, fits, RETRY_FOR_S), RetryAt)
    assert decide(error, too_late, RETRY_FOR_S) == GiveUp(code)


@pytest.mark.parametrize("error", [ReauthRequired("gone"), QuotaExhausted("daily")])
def test_a_person_and_a_quota_are_waited_for_until_the_command_expires(error: CrmError) -> None:
    """`retry_for` does not bound these waits, the command's own limit does: it is not the command's fault."""
    # Given a command that waits for a day already
    waits = tries(ready_s_ago=86_400, expires_in_s=3600)
    # When, Then
    assert isinstance(decide(error, waits, RETRY_FOR_S), RetryAt)
    assert decide(error, tries(expires_in_s=1), RETRY_FOR_S) == GiveUp("expired")


def test_a_retry_after_the_commands_own_limit_is_not_waited_for() -> None:
    """A CRM that says "in two minutes" to a command that expires in one fails it now, as expired."""
    # Given
    known = tries(expires_in_s=60)
    # When
    decision = decide(RateLimited("429", retry_after_s=120.0), known, RETRY_FOR_S)
    # Then
    assert decision == GiveUp("expired")


def test_no_crm_is_believed_that_asks_for_more_than_a_day() -> None:
    """A `Retry-After` of years would hold a command for ever; a day is the most."""
    # Given a command with a month of time, and CRMs that ask for a year
    known, year_s, day_s = tries(expires_in_s=30 * 86_400), 366 * 86_400.0, 86_400.0
    # When, Then
    assert decide(RateLimited("429", retry_after_s=year_s), known, 2 * day_s) == RetryAt(
        NOW + timedelta(seconds=day_s), "rate_limited"
    )
    assert decide(QuotaExhausted("daily", retry_after_s=year_s), known, RETRY_FOR_S) == RetryAt(
        NOW + timedelta(seconds=day_s), "quota"
    )


@given(count=st.integers(0, 10_000), jitter=st.floats(0, 1))
def test_the_delay_is_between_half_and_whole_of_a_doubled_second(count: int, jitter: float) -> None:
    """Luck spreads the retries of many commands, within bounds; 60 s is the most."""
    # Given, When
    delay_s = backoff_s(count, jitter)
    # Then
    whole_s = min(60.0, 2.0 ** max(0, count - 1)) if count < 10 else 60.0
    assert whole_s / 2 <= delay_s <= whole_s
