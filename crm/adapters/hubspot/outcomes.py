"""A batch answer -> a record's outcome. Pure."""

from dataclasses import dataclass

from crm.adapters.hubspot.batch import Answer, Operation
from crm.adapters.hubspot.codes import TABLE
from crm.adapters.hubspot.drafts import Draft
from crm.adapters.hubspot.errors import Reason, existing_id
from crm.adapters.outcome import failed, own_failure, succeeded, translate
from crm.errors import (
    AccessTokenRejected,
    CrmUnavailable,
    PermissionDenied,
    QuotaExhausted,
    RateLimited,
)
from crm.model import Action, RecordOutcome
from schemas.result import Failure


@dataclass(frozen=True, slots=True)
class Sent:
    """How a record was sent: the operation, and the id or unique value that named it."""

    operation: Operation
    target: str | None


def outcome_of(item: Draft, sent: Sent, answer: Answer) -> RecordOutcome:
    """What became of one record that was sent, or should have been."""
    if answer.fate == "written":
        return succeeded(
            item, _action(sent, answer), crm_id=answer.crm_id, warnings=item.warnings, match_value=item.match_value
        )
    crm_id = item.crm_id or (sent.target if sent.operation == "update" else None)
    failures = _failures(item, sent, answer)
    return failed(item, *failures, crm_id=crm_id, warnings=item.warnings, match_value=item.match_value)


def _action(sent: Sent, answer: Answer) -> Action:
    is_new = sent.operation == "create" or (sent.operation == "upsert" and answer.is_new)
    return "created" if is_new else "updated"


def _failures(item: Draft, sent: Sent, answer: Answer) -> tuple[Failure, ...]:
    if answer.fate == "refused":
        return tuple(_refused(item, reason) for reason in answer.reasons)
    if answer.fate == "silent":
        said = "; ".join(reason.message for reason in answer.reasons)
        message = f"HubSpot's answer does not name this record{': ' + said if said else ''}"
        return (own_failure("no_answer_for_record", message),)
    if answer.fate == "split_budget_spent":
        return (own_failure("split_budget_spent", "HubSpot refused the call that held it, and it was not sent again"),)
    if answer.fate == "not_sent":
        return (own_failure("not_sent", f"not sent: {answer.error.public if answer.error else ''}"),)
    return (_interrupted(item, sent, answer),)


def _refused(item: Draft, reason: Reason) -> Failure:
    if existing_id((reason,)) is not None:
        clash = translate(TABLE, "CONFLICT", reason.message, reason.crm_field, item.morket_field_of)
        return clash.model_copy(update={"crm_code": reason.code})
    return translate(TABLE, reason.code, reason.message, reason.crm_field, item.morket_field_of)


def _interrupted(item: Draft, sent: Sent, answer: Answer) -> Failure:
    """The failure of a record whose call ended in a run-level error."""
    error = answer.error
    text = error.public if error else "HubSpot did not answer"
    if isinstance(error, CrmUnavailable):
        lost_create = sent.operation == "create" and item.match_value is None and error.may_have_arrived
        return own_failure("outcome_unknown" if lost_create else "crm_unavailable", text)
    if isinstance(error, RateLimited):
        return own_failure("rate_limited", text)
    if isinstance(error, QuotaExhausted):
        return own_failure("quota_exhausted", text)
    if isinstance(error, PermissionDenied):
        return own_failure("permission_denied", text)
    return own_failure("not_sent" if isinstance(error, AccessTokenRejected) else "crm_refused", text)
