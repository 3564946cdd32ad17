"""The associations of records that this push wrote or found: tied after the write, and told in their outcomes."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from crm.adapters.hubspot.association_calls import Binder, Tie, association_warning
from crm.adapters.hubspot.batch import Answer, Operation
from crm.adapters.hubspot.calls import Calls
from crm.adapters.hubspot.drafts import Draft
from crm.adapters.hubspot.outcomes import Sent, outcome_of
from crm.errors import CrmError, LeaseLost
from crm.model import RecordOutcome
from schemas.result import MAX_WARNINGS


def bind_associations(
    calls: Calls,
    crm_object: str,
    drafts: Sequence[Draft],
    sent: Mapping[int, Operation],
    outcomes: dict[int, RecordOutcome],
) -> CrmError | None:
    """Tie the records that exist now, and correct their outcomes; the run-level error that stopped it, or None.

    A record whose association could not be tried is failed and retryable: its values are written, and the retry writes
    them again and then ties it. One whose association HubSpot refused is written, with a warning.

    Args:
        calls: To the account.
        crm_object: Of the records.
        drafts: With their targets.
        sent: Index -> how it was written; creates carried their associations themselves.
        outcomes: By index; changed in place.
    """
    by_index = {item.index: item for item in drafts}
    pending = [tie for item in drafts for tie in _ties(item, sent.get(item.index), outcomes.get(item.index))]
    for kind in dict.fromkeys(tie.wish.kind for tie in pending):
        ties = [tie for tie in pending if tie.wish.kind == kind]
        binder = Binder(calls, crm_object)
        try:
            binder.bind(kind, ties)
        except LeaseLost:
            raise
        except CrmError as error:
            _tell(binder, ties, by_index, outcomes)
            for index in {tie.index for tie in ties} - binder.tied - binder.settled:
                outcomes[index] = _not_tied(by_index[index], outcomes[index], error)
            return error
        _tell(binder, ties, by_index, outcomes)
    return None


def _ties(item: Draft, operation: Operation | None, outcome: RecordOutcome | None) -> list[Tie]:
    is_there = outcome is not None and outcome.action in {"created", "updated", "unchanged"}
    if outcome is None or not is_there or outcome.crm_id is None:
        return []
    is_new = outcome.action == "created"
    if is_new and operation == "create":
        return []
    return [Tie(item.index, outcome.crm_id, wish, is_new) for wish in item.associations]


def _tell(
    binder: Binder, ties: Sequence[Tie], by_index: Mapping[int, Draft], outcomes: dict[int, RecordOutcome]
) -> None:
    for tie in ties:
        outcome = outcomes[tie.index]
        if tie.index in binder.tied and outcome.action == "unchanged":
            outcomes[tie.index] = replace(outcome, action="updated")
        elif tie.index in binder.refused:
            said = binder.refused[tie.index]
            warning = association_warning("association_refused", said, by_index[tie.index], tie.wish)
            outcomes[tie.index] = replace(outcome, warnings=(warning, *outcome.warnings)[:MAX_WARNINGS])


def _not_tied(item: Draft, outcome: RecordOutcome, error: CrmError) -> RecordOutcome:
    return outcome_of(item, Sent("update", outcome.crm_id), Answer("interrupted", error=error))
