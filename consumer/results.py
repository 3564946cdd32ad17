"""What a finished command leaves behind: its result event, its history row, its records event. Pure."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import NAMESPACE_URL, UUID, uuid5

from consumer.decode import Refusal
from consumer.work import Work
from crm.model import RecordOutcome
from crm.resolution import Resolved
from crm.store.group_commit import FinishedCommand
from crm.store.history import as_history
from crm.store.outbox import MAX_MESSAGE_BYTES, OutboxMessage
from crm.sync import SyncAttempt
from crm.text import scrub
from schemas import envelope
from schemas.command import MAX_RECORDS
from schemas.failure import COMMAND_FAILURES
from schemas.records import PulledRecord, PulledRecords
from schemas.result import (
    MAX_ERRORS,
    MAX_WARNINGS,
    Counts,
    Failure,
    Outcome,
    PullSummary,
    SourcePosition,
    SyncResult,
    status_of,
)
from schemas.topics import EventType, Topics, message_key

#: Characters that the CRM's texts keep in a result which would be too large with all of them, one after the other.
SHORTER_TEXTS: Final = (100, 30)


@dataclass(frozen=True, slots=True)
class Ending:
    """How a command ended: with what its tries brought, or with a refusal of the whole.

    Attributes:
        attempt: The last try that reached the adapter, if any: connection, object, page.
        refusal: Why the command as a whole failed.
        resolved: What the command meant, where no try reached the adapter's end.
    """

    attempt: SyncAttempt | None = None
    refusal: Refusal | None = None
    resolved: Resolved | None = None


def finish(work: Work, ending: Ending, topics: Topics, now: datetime) -> FinishedCommand:
    """Everything to store for a finished command."""
    result = build_result(work, ending, now)
    message = _message(topics.results, EventType.RESULT, result, work, now)
    for limit in SHORTER_TEXTS:
        if message.size > MAX_MESSAGE_BYTES:
            result = _with_shorter_texts(result, limit)
            message = _message(topics.results, EventType.RESULT, result, work, now)
    messages = [message]
    records = _pulled(ending, result)
    if records:
        messages.append(_message(topics.records, EventType.RECORDS, records, work, now))
    return FinishedCommand(
        partition=work.partition,
        epoch=work.epoch,
        claim=(*work.claim_key, work.attempt),
        history=as_history(result, claim_id=work.claim_id),
        links=work.links,
        messages=messages,
    )


def build_result(work: Work, ending: Ending, now: datetime) -> SyncResult:
    """The one result of a command; every record of the input has an outcome."""
    error = _failure(ending.refusal) if ending.refusal else None
    outcomes = [_outcome(outcome) for _, outcome in sorted(work.outcomes.items())]
    if error:
        outcomes = _complete(outcomes, work, error)
    page = ending.attempt.page if ending.attempt else None
    by_action = Counter(outcome.action for outcome in outcomes)
    failed, skipped = by_action["failed"], by_action["skipped"]
    succeeded = by_action["created"] + by_action["updated"] + by_action["unchanged"] + (len(page) if page else 0)
    content = work.readable.content
    return SyncResult(
        command_id=work.readable.command_id,
        sync_id=sync_id_of(work),
        workspace_id=work.readable.workspace_id,
        integration=_text(content.get("integration")),
        direction=content.get("direction") if content.get("direction") in ("push", "pull") else None,
        entity=_text(content.get("entity")),
        **_of_connection(ending),
        status="failed" if error and not succeeded else status_of(succeeded, failed),
        record_count=succeeded + failed + skipped,
        success_count=succeeded,
        failure_count=failed,
        skipped_count=skipped,
        counts=Counts.model_validate(by_action),
        outcomes=outcomes,
        pull=PullSummary(cursor=page.cursor, has_more=page.has_more) if page else None,
        error=error,
        attempt=max(1, work.attempt),
        api_calls=work.api_calls,
        started_at=work.started_at or now,
        completed_at=now,
        source=SourcePosition(topic=work.partition.topic, partition=work.partition.partition, offset=work.offset),
    )


def sync_id_of(work: Work) -> UUID:
    """One claim, one sync id: a second try of a command, here or elsewhere, stands for the same sync."""
    return uuid5(NAMESPACE_URL, f"urn:morket:crm-sync:{work.readable.workspace_id}/{work.claim_id}")


def not_storable(work: Work, topics: Topics, now: datetime) -> FinishedCommand:
    """The result of a command whose real outcome PostgreSQL refuses: it holds nothing that came from the CRM."""
    work.outcomes.clear()
    work.links.clear()
    refusal = Refusal("outcome_not_storable", "the CRM was called, but what it answered cannot be stored")
    return finish(work, Ending(refusal=refusal), topics, now)


def _of_connection(ending: Ending) -> dict[str, Any]:
    resolved = ending.attempt.resolved if ending.attempt else ending.resolved
    if resolved is None:
        return {}
    return {
        "connection_id": resolved.connection.id,
        "crm_account_id": resolved.connection.crm_account_id,
        "crm_object": resolved.crm_object,
        "record_url_template": ending.attempt.record_url_template if ending.attempt else None,
    }


def _complete(outcomes: Sequence[Outcome], work: Work, error: Failure) -> list[Outcome]:
    """The outcomes that are there, and the command's error for every record that has none."""
    records = work.readable.content.get("records")
    if not isinstance(records, list) or len(records) > MAX_RECORDS:
        return list(outcomes)
    found = {outcome.index: outcome for outcome in outcomes}
    rest = {
        index: Outcome(index=index, ref=_ref(record), action="failed", errors=[error])
        for index, record in enumerate(records)
        if index not in found
    }
    return [outcome for _, outcome in sorted({**rest, **found}.items())]


def _outcome(outcome: RecordOutcome) -> Outcome:
    return Outcome(
        index=outcome.index,
        ref=outcome.ref,
        crm_id=outcome.crm_id,
        action=outcome.action,
        merged_into=outcome.merged_into,
        errors=list(outcome.errors[:MAX_ERRORS]),
        warnings=list(outcome.warnings[:MAX_WARNINGS]),
    )


def _with_shorter_texts(result: SyncResult, limit: int) -> SyncResult:
    """For texts of many bytes a character (CJK, emoji): every record keeps its outcome, codes and fields."""
    return result.model_copy(update={"outcomes": [_shorter(outcome, limit) for outcome in result.outcomes]})


def _shorter(outcome: Outcome, limit: int) -> Outcome:
    def cut(text: str | None) -> str | None:
        return None if text is None else scrub(text, limit)

    errors = [
        error.model_copy(
            update={"message": cut(error.message), "crm_field": cut(error.crm_field), "crm_code": cut(error.crm_code)}
        )
        for error in outcome.errors
    ]
    warnings = [
        warning.model_copy(update={"message": cut(warning.message), "crm_field": cut(warning.crm_field)})
        for warning in outcome.warnings
    ]
    return outcome.model_copy(update={"errors": errors, "warnings": warnings})


def _failure(refusal: Refusal) -> Failure:
    known = COMMAND_FAILURES.get(refusal.code, COMMAND_FAILURES["crm_refused"])
    return Failure(
        code=refusal.code,
        category=known.category,
        message=scrub(refusal.message),
        hint=known.hint,
        retryable=known.retryable,
        field=_text(refusal.field),
    )


def _pulled(ending: Ending, result: SyncResult) -> PulledRecords | None:
    if ending.attempt is None or ending.attempt.page is None or result.connection_id is None:
        return None
    page = ending.attempt.page
    return PulledRecords(
        command_id=result.command_id,
        sync_id=result.sync_id,
        workspace_id=result.workspace_id,
        connection_id=result.connection_id,
        crm_account_id=result.crm_account_id,
        integration=result.integration or "",
        entity=result.entity or "",
        crm_object=result.crm_object or "",
        records=[
            PulledRecord(
                crm_id=record.crm_id or "",
                modified_at=record.modified_at,
                deleted=record.deleted,
                fields=dict(record.fields),
            )
            for record in page
        ],
        cursor=page.cursor,
        has_more=page.has_more,
    )


def _message(
    topic: str, event_type: EventType, data: SyncResult | PulledRecords, work: Work, now: datetime
) -> OutboxMessage:
    key = message_key(work.readable.workspace_id, data.integration or "").encode()
    # CloudEvents wants one id an event of a source, and a pull sends two events of one sync.
    event_id = f"{data.sync_id}/records" if event_type is EventType.RECORDS else str(data.sync_id)
    headers, value = envelope.encode(
        event_type,
        event_id,
        data,
        subject=data.command_id,
        time=now,
        traceparent=work.readable.traceparent,
    )
    return OutboxMessage(topic, f"{work.readable.workspace_id}/{work.claim_id}", key, value, headers)


def _ref(record: object) -> str | None:
    ref = record.get("ref") if isinstance(record, dict) else None
    return scrub(ref, 200) if isinstance(ref, str) else None


def _text(value: object) -> str | None:
    return scrub(value, 100) if isinstance(value, str) else None
