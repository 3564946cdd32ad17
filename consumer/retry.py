"""Another try, or give up? A pure decision; waiting is the lanes' job."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from crm.errors import AccessTokenRejected, CrmError, QuotaExhausted, ReauthRequired, TryAgain

#: Seconds before the first retry; doubled each time, up to the cap.
FIRST_DELAY_S = 1.0
MAX_DELAY_S = 60.0
MOST_DOUBLINGS = 6
#: How often a command that waits for a person looks whether they came.
PERSON_DELAY_S = 5.0
#: No CRM is believed when it asks for more than a day (HubSpot's 477 may ask for a day).
MAX_TOLD_S = 86_400.0
#: How often a used-up quota is tried again.
QUOTA_DELAY_S = 300.0


@dataclass(frozen=True, slots=True)
class RetryAt:
    """Try again at `at`; until then the command waits for `reason`."""

    at: datetime
    reason: str


@dataclass(frozen=True, slots=True)
class GiveUp:
    """Answer with this failure code now."""

    code: str


@dataclass(frozen=True, slots=True)
class Tries:
    """What is known when a try has ended: how many, since when, until when, and luck (0 to 1) for the jitter."""

    count: int
    first_ready_at: datetime
    expires_at: datetime
    now: datetime
    jitter: float


def decide(error: CrmError | None, tries: Tries, retry_for_s: float) -> RetryAt | GiveUp:
    """What follows a try that left something to do.

    A person who must reconnect and a quota that must come back are waited for until the command expires: the command is
    not at fault. All else is retried within `retry_for_s` seconds from when the command was ready first.

    `error` is what ended the try; None when only single records failed in a way that may go away.
    """
    if isinstance(error, ReauthRequired):
        return _until_expired(tries, "reauthorization", PERSON_DELAY_S)
    if isinstance(error, QuotaExhausted):
        return _until_expired(tries, "quota", min(error.retry_after_s or QUOTA_DELAY_S, MAX_TOLD_S))
    # A token that is refused although it was refreshed just now: as good as no answer.
    if error is not None and not isinstance(error, TryAgain | AccessTokenRejected):
        return GiveUp(error.code)
    code = error.code if error else "crm_unavailable"
    told_s = min(error.retry_after_s or 0.0, MAX_TOLD_S) if isinstance(error, TryAgain) else 0.0
    at = tries.now + timedelta(seconds=max(told_s, backoff_s(tries.count, tries.jitter)))
    if at > tries.expires_at:
        return GiveUp("expired")
    if at > tries.first_ready_at + timedelta(seconds=retry_for_s):
        return GiveUp(code)
    return RetryAt(at, code)


def backoff_s(tries: int, jitter: float) -> float:
    """Seconds to wait after `tries` tries: 1, 2, 4 … 60, each between half and whole of it by luck."""
    # Bounded before it is computed: a command that waits for a person has thousands of tries behind it.
    doublings = min(max(0, tries - 1), MOST_DOUBLINGS)
    whole = min(FIRST_DELAY_S * 2**doublings, MAX_DELAY_S)
    return float(whole * (0.5 + jitter / 2))


def _until_expired(tries: Tries, reason: str, delay_s: float) -> RetryAt | GiveUp:
    at = tries.now + timedelta(seconds=delay_s)
    return RetryAt(at, reason) if at <= tries.expires_at else GiveUp("expired")
