"""One try of one command, and what follows from it: it is finished, or is tried again."""

import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import structlog

from consumer.decode import Refusal
from consumer.ownership import Ownership
from consumer.results import Ending, finish
from consumer.retry import GiveUp, RetryAt, Tries, decide
from consumer.work import Work
from crm.errors import CrmError, CrmUnavailable, LeaseLost
from crm.model import CallScope
from crm.resolution import Resolved
from crm.store.engine import DatabaseUnavailable
from crm.store.group_commit import FinishedCommand
from crm.sync import SyncAttempt, SyncRunner
from schemas.topics import Topics

log = structlog.get_logger()

#: Waits that do not count towards `retry_for`: the command was not at fault, so it starts afresh after them.
PATIENT = frozenset({"reauthorization", "quota"})
#: How long a command waits when PostgreSQL is away or the lease is short; neither counts as a try.
SHORT_WAIT_S = 1.0


@dataclass(frozen=True, slots=True)
class Again:
    """Put the command back until `until`; `reason` None when there is nothing worth telling."""

    until: datetime
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Flights:
    """Runs tries; one instance serves all threads."""

    runner: SyncRunner
    ownership: Ownership
    topics: Topics
    retry_for_s: float
    clock: Callable[[], datetime]

    def fly(self, work: Work) -> FinishedCommand | Again:
        """Try a claimed command once. Never raises."""
        now = self.clock()
        work.started_at = work.started_at or now
        refusal = work.refusal or self._expired(work, now)
        try:
            if refusal:
                return finish(work, Ending(refusal=refusal), self.topics, now)
            return self._try(work)
        except (LeaseLost, *DatabaseUnavailable):
            return Again(self.clock() + timedelta(seconds=SHORT_WAIT_S))
        except Exception:
            # A fault of ours must neither stop the lane for ever nor be answered with the exception's text.
            log.exception("command_crashed", command_id=work.readable.command_id)
            refusal = Refusal("internal_error", "a fault of this service stopped the command")
            return finish(work, Ending(refusal=refusal), self.topics, self.clock())

    def _try(self, work: Work) -> FinishedCommand | Again:
        command = work.readable.command
        assert command is not None, "what has no command has a refusal"
        scope = CallScope(before_send=lambda timeout_s: self.ownership.check(work.partition, work.epoch, timeout_s))
        attempt: SyncAttempt | None = None
        resolved: Resolved | None = None
        error: CrmError | None = None
        try:
            resolved = self.runner.resolve(command)
            attempt = self.runner.run(command, resolved, scope=scope, only=work.left(), may_have_run=work.attempt > 1)
            interrupted_by = attempt.interrupted_by
            error = interrupted_by if isinstance(interrupted_by, CrmError) else None
        except LeaseLost:
            raise
        except CrmError as problem:
            error = problem
        finally:
            work.api_calls += scope.api_calls
        work.tries += 1
        return self._after_try(work, Ending(attempt, resolved=resolved), error)

    def _after_try(self, work: Work, ending: Ending, error: CrmError | None) -> FinishedCommand | Again:
        now, attempt = self.clock(), ending.attempt
        retryable = self._keep(work, attempt)
        if error is None and not retryable:
            return finish(work, ending, self.topics, now)
        tries = Tries(
            work.tries,
            max(work.first_ready_at or now, work.resumed_at or work.first_ready_at or now),
            work.readable.expires_at,
            now,
            random.random(),  # noqa: S311 - jitter
        )
        decision = decide(error, tries, self.retry_for_s)
        if isinstance(decision, RetryAt):
            if decision.reason in PATIENT:
                work.resumed_at = decision.at
            return Again(max(decision.at, now + timedelta(seconds=_search_lag_s(attempt, error))), decision.reason)
        return finish(work, self._given_up(work, ending, error, decision), self.topics, now)

    def _keep(self, work: Work, attempt: SyncAttempt | None) -> bool:
        """Keep the final outcomes of a try; True when records are left that another try may help."""
        if attempt is None:
            return False
        for outcome in attempt.outcomes:
            if not outcome.retryable:
                work.outcomes[outcome.index] = outcome
        work.links.extend(attempt.links)
        return any(outcome.retryable for outcome in attempt.outcomes)

    def _given_up(self, work: Work, ending: Ending, error: CrmError | None, decision: GiveUp) -> Ending:
        """After the last try: records keep their own errors; a command that never reached the CRM fails as a whole."""
        for outcome in ending.attempt.outcomes if ending.attempt else ():
            work.outcomes.setdefault(outcome.index, outcome)
        if error is None and work.outcomes:
            return ending
        text = error.public if error else "not all records could be written in time"
        return replace(ending, refusal=Refusal(decision.code, text))

    def _expired(self, work: Work, now: datetime) -> Refusal | None:
        if now <= work.readable.expires_at:
            return None
        return Refusal("expired", f"expired at {work.readable.expires_at.isoformat()}", "expires_at")


def _search_lag_s(attempt: SyncAttempt | None, error: CrmError | None) -> float:
    """Seconds until a create whose answer was lost can be found; the next try looks it up first."""
    if attempt is None or not isinstance(error, CrmUnavailable) or not error.may_have_arrived:
        return 0.0
    return attempt.resolved.adapter.capabilities.search_lag_s
