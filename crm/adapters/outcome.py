"""Outcomes and failures as readers get them: the vendor's codes through a table, its texts cut and cleaned. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final, Protocol

from crm.model import Action, CrmRecord, RecordOutcome
from crm.text import scrub
from schemas.failure import FailureCategory
from schemas.result import MAX_ERRORS, MAX_WARNINGS, Failure, OutcomeWarning


class Indexed(Protocol):
    """A record in Morket's names or in the CRM's."""

    @property
    def index(self) -> int:
        """Its place in the command."""
        ...

    @property
    def ref(self) -> str | None:
        """The publisher's own id."""
        ...


@dataclass(frozen=True, slots=True)
class VendorError:
    """What one of a vendor's error codes means to the reader of a result."""

    code: str
    category: FailureCategory
    retryable: bool = False
    hint: str = ""


#: Failures that both adapters find by themselves, by public code.
OWN_FAILURES: Final[Mapping[str, VendorError]] = {
    "no_match_value": VendorError(
        "no_match_value", FailureCategory.BAD_DATA, hint="fill the match field, or give the record's crm_id"
    ),
    "several_matches": VendorError(
        "several_matches", FailureCategory.CONFLICT, hint="merge the records in the CRM, or give the crm_id to write to"
    ),
    "already_exists": VendorError(
        "already_exists", FailureCategory.CONFLICT, hint="use the mode upsert to change what exists"
    ),
    "not_found": VendorError(
        "not_found", FailureCategory.NOT_FOUND, hint="use the mode upsert to create what is missing"
    ),
    "record_gone": VendorError(
        "record_gone", FailureCategory.NOT_FOUND, hint="leave crm_id out, so that the record is matched by its values"
    ),
    "not_sent": VendorError(
        "not_sent", FailureCategory.UNAVAILABLE, retryable=True, hint="the call before it ended the push; send it again"
    ),
    "crm_unavailable": VendorError(
        "crm_unavailable", FailureCategory.UNAVAILABLE, retryable=True, hint="send the record again later"
    ),
    "rate_limited": VendorError(
        "rate_limited", FailureCategory.LIMIT, retryable=True, hint="send the record again later"
    ),
    "quota_exhausted": VendorError(
        "quota_exhausted", FailureCategory.LIMIT, retryable=True, hint="send the record again when the quota returns"
    ),
    "permission_denied": VendorError(
        "permission_denied", FailureCategory.PERMISSION, hint="the connected user needs more rights in the CRM"
    ),
    "outcome_unknown": VendorError(
        "outcome_unknown",
        FailureCategory.UNAVAILABLE,
        hint="look into the CRM before sending it again: without a match value it could be created twice",
    ),
    "no_answer_for_record": VendorError(
        "no_answer_for_record", FailureCategory.UNAVAILABLE, hint="the CRM answered, but not about this record"
    ),
    "split_budget_spent": VendorError(
        "split_budget_spent",
        FailureCategory.UNAVAILABLE,
        retryable=True,
        hint="too many records of one call were refused as a whole; send it again",
    ),
    "crm_refused": VendorError("crm_refused", FailureCategory.BAD_DATA, hint="the CRM's own words are in the message"),
}


def own_failure(code: str, message: str, *, field: str | None = None, retryable: bool | None = None) -> Failure:
    """A failure that the adapter found by itself; `code` is one of `OWN_FAILURES`."""
    known = OWN_FAILURES[code]
    return Failure(
        code=known.code,
        category=known.category,
        message=scrub(message),
        hint=known.hint,
        retryable=known.retryable if retryable is None else retryable,
        field=field,
    )


def translate(
    table: Mapping[str, VendorError],
    crm_code: str | None,
    message: str,
    crm_field: str | None,
    morket_field_of: Mapping[str, str],
) -> Failure:
    """A vendor's error as a public failure; an unknown code keeps the vendor's text and code under `crm_refused`."""
    known = table.get(crm_code or "", OWN_FAILURES["crm_refused"])
    return Failure(
        code=known.code,
        category=known.category,
        message=scrub(message) or "the CRM gave no reason",
        hint=known.hint,
        retryable=known.retryable,
        field=morket_field_of.get(crm_field) if crm_field else None,
        crm_field=scrub(crm_field, 100) if crm_field else None,
        crm_code=scrub(crm_code, 100) if crm_code else None,
    )


def succeeded(
    record: Indexed,
    action: Action,
    *,
    crm_id: str | None,
    warnings: Iterable[OutcomeWarning] = (),
    match_value: str | None = None,
) -> RecordOutcome:
    """The outcome of a record that the CRM took, or that already was as it should be."""
    return RecordOutcome(
        index=record.index,
        action=action,
        ref=record.ref,
        crm_id=crm_id,
        warnings=tuple(warnings)[:MAX_WARNINGS],
        match_value=match_value,
    )


def failed(
    record: Indexed,
    *failures: Failure,
    crm_id: str | None = None,
    warnings: Iterable[OutcomeWarning] = (),
    match_value: str | None = None,
) -> RecordOutcome:
    """The outcome of a record that was not written; at most the first two failures and three warnings are kept."""
    return RecordOutcome(
        index=record.index,
        action="failed",
        ref=record.ref,
        crm_id=crm_id,
        errors=failures[:MAX_ERRORS],
        warnings=tuple(warnings)[:MAX_WARNINGS],
        match_value=match_value,
    )


def skipped(
    record: Indexed, code: str, message: str, *, crm_id: str | None = None, match_value: str | None = None
) -> RecordOutcome:
    """The outcome of a record that was left alone on purpose; the reason is its warning."""
    return succeeded(
        record,
        "skipped",
        crm_id=crm_id,
        warnings=(OutcomeWarning(code=code, message=scrub(message)),),
        match_value=match_value,
    )


def merged_outcomes(
    outcomes: Iterable[RecordOutcome], records: Iterable[CrmRecord], merged_into: Mapping[int, int]
) -> tuple[RecordOutcome, ...]:
    """`outcomes` of the merged records, and the same for each record that was merged into one of them, by index.

    Only one record was created: where the first is `created`, the later ones are `updated`.
    """
    by_index = {outcome.index: outcome for outcome in outcomes}
    for record in records:
        if record.index in merged_into:
            first = by_index[merged_into[record.index]]
            by_index[record.index] = RecordOutcome(
                index=record.index,
                action="updated" if first.action == "created" else first.action,
                ref=record.ref,
                crm_id=first.crm_id,
                errors=first.errors,
                warnings=first.warnings,
                merged_into=first.index,
                match_value=first.match_value,
            )
    return tuple(by_index[index] for index in sorted(by_index))
