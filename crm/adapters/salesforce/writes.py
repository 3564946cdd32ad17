"""sObject Collections calls: up to 200 records each, one answer for every record, whatever happens to the call.

Sources: REST API Developer Guide, resources_composite_sobjects_collections_{create,update,upsert}.htm and
headers_duplicaterules.htm.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from crm.adapters.outcome import own_failure
from crm.adapters.salesforce.calls import Org
from crm.adapters.salesforce.describe import ObjectFields
from crm.adapters.salesforce.drafts import Draft
from crm.adapters.salesforce.errors import (
    SalesforceMessage,
    is_gone,
    is_stale_field,
    messages_in,
    record_failures,
)
from crm.adapters.salesforce.relationships import as_json
from crm.errors import (
    CallRefused,
    CrmError,
    CrmUnavailable,
    LeaseLost,
    PermissionDenied,
    QuotaExhausted,
    RateLimited,
    Reauthorize,
    TryAgain,
)
from crm.matching import long_id
from schemas.result import Failure
from schemas.values import FieldValue

BATCH: Final = 200
# Alert rules ask a person, and nobody is there: they pass. Blocking rules still refuse the record.
_DUPLICATE_RULES: Final = "allowSave=true; includeRecordDetails=false; runAsCurrentUser=true"


@dataclass(frozen=True, slots=True)
class Write:
    """One record of a call. `key_field`: the external id of an upsert; `deletes`: the record is to go."""

    item: Draft
    body: Mapping[str, FieldValue]
    crm_id: str | None = None
    key_field: str | None = None
    deletes: bool = False

    @property
    def creates(self) -> bool:
        """True where sending it twice could make two records: an upsert cannot, its key is unique."""
        return self.crm_id is None and self.key_field is None


@dataclass(frozen=True, slots=True)
class Answer:
    """What Salesforce said about one record, or what is known where it said nothing.

    Attributes:
        is_gone: The record that was to be updated is no longer one to write to.
    """

    crm_id: str | None = None
    created: bool = False
    failures: tuple[Failure, ...] = ()
    is_gone: bool = False


@dataclass(slots=True)
class CollectionWriter:
    """The writes of one push. `saw_field_error` says that the cached fields are no longer true.

    Args:
        org: To write to.
        fields: Of the object that is written.
        record_count: Of the push; the budget for splitting refused calls follows from it.
        fields_may_be_stale: A call that is refused for a field is raised while nothing is written, so that the push can
            be made again with the fields as they are now.
    """

    org: Org
    fields: ObjectFields
    record_count: int
    fields_may_be_stale: bool = False
    answers: dict[int, Answer] = field(default_factory=dict)
    interrupted_by: CrmError | None = None
    saw_field_error: bool = False
    _has_written: bool = False
    _splits_left: int = 0

    def __post_init__(self) -> None:
        self._splits_left = 2 * math.ceil(math.log2(max(self.record_count, 1))) + 8

    def write(self, writes: Sequence[Write]) -> None:
        """Send writes of one kind (all new, all by id, all by one external id, or all deletes); each gets its answer.

        Raises:
            CrmError: what ended the push, as long as nothing can have been written.
        """
        for start in range(0, len(writes), BATCH):
            self._send(writes[start : start + BATCH])

    def _send(self, writes: Sequence[Write]) -> None:
        if self.interrupted_by is not None:
            self._answer_all(
                writes, own_failure("not_sent", "an earlier call ended the push before this record's turn")
            )
            return
        try:
            results = self._call(writes)
        except LeaseLost:
            raise
        except CallRefused as refusal:
            self._refused(writes, refusal)
        except CrmError as error:
            self._interrupt(writes, error)
        else:
            self._has_written = True
            for place, write in enumerate(writes):
                result = results[place] if place < len(results) else None
                self.answers[write.item.index] = self._answer(write, result)

    def _call(self, writes: Sequence[Write]) -> list[Any]:
        first = writes[0]
        is_new = first.creates
        if first.deletes:
            ids = ",".join(write.crm_id or "" for write in writes)
            params = {"ids": ids, "allOrNone": "false"}
            answer = self.org.call("DELETE", "/composite/sobjects", params=params, writes=True)
            return answer if isinstance(answer, list) else []
        path = "/composite/sobjects" + (f"/{self.fields.name}/{first.key_field}" if first.key_field else "")
        # An enrichment must never move a record to another owner; for new ones the org's assignment rules hold.
        headers = {"Sforce-Duplicate-Rule-Header": _DUPLICATE_RULES, "Sforce-Auto-Assign": str(is_new).upper()}
        records = [_as_json(write, self.fields) for write in writes]
        content = {"allOrNone": False, "records": records}
        answer = self.org.call("POST" if is_new else "PATCH", path, json=content, headers=headers, writes=True)
        return answer if isinstance(answer, list) else []

    def _refused(self, writes: Sequence[Write], refusal: CallRefused) -> None:
        message = SalesforceMessage(refusal.crm_code or "", refusal.public, (refusal.field,) if refusal.field else ())
        self.saw_field_error |= is_stale_field(message)
        if is_stale_field(message) and self.fields_may_be_stale and not self._has_written:
            raise refusal
        if not refusal.may_split:
            self._interrupt(writes, refusal)
        elif len(writes) == 1:
            item = writes[0].item
            failures = record_failures([message], item.morket_field_of)
            self.answers[item.index] = Answer(writes[0].crm_id, failures=failures, is_gone=is_gone(message))
        elif self._splits_left < 2:  # noqa: PLR2004 - both halves
            self._answer_all(writes, own_failure("split_budget_spent", refusal.public))
        else:
            self._splits_left -= 2
            middle = len(writes) // 2
            self._send(writes[:middle])
            self._send(writes[middle:])

    def _interrupt(self, writes: Sequence[Write], error: CrmError) -> None:
        """End the push; raised as it is while it is certain that nothing was written."""
        may_have_arrived = isinstance(error, CrmUnavailable) and error.may_have_arrived
        if not self._has_written and not may_have_arrived:
            raise error
        self.interrupted_by = error
        for write in writes:
            self.answers[write.item.index] = Answer(write.crm_id, failures=(_after(error, write),))

    def _answer_all(self, writes: Sequence[Write], failure: Failure) -> None:
        for write in writes:
            self.answers[write.item.index] = Answer(write.crm_id, failures=(failure,))

    def _answer(self, write: Write, result: Any) -> Answer:
        if not isinstance(result, dict) or not isinstance(result.get("success"), bool):
            retryable = not write.creates or write.item.match_value is not None
            failure = own_failure(
                "no_answer_for_record", "Salesforce said nothing about this record", retryable=retryable
            )
            return Answer(write.crm_id, failures=(failure,))
        crm_id = long_id(str(result["id"])) if result.get("id") else write.crm_id
        if result["success"]:
            return Answer(crm_id, created=bool(result.get("created", write.creates)))
        messages = messages_in(result.get("errors") or [])
        self.saw_field_error |= any(map(is_stale_field, messages))
        failures = record_failures(messages, write.item.morket_field_of)
        was_gone = any(map(is_gone, messages))
        return Answer(crm_id, failures=failures, is_gone=was_gone and write.crm_id is not None)


def _as_json(write: Write, fields: ObjectFields) -> dict[str, Any]:
    own_id = {"id": write.crm_id} if write.crm_id else {}
    return {"attributes": {"type": fields.name}, **own_id, **as_json(write.body, fields)}


def _after(error: CrmError, write: Write) -> Failure:
    """The failure of a record whose call ended the push."""
    may_exist = isinstance(error, CrmUnavailable) and error.may_have_arrived and write.creates
    if may_exist and write.item.match_value is None:
        return own_failure("outcome_unknown", f"{error.public}; the record may have been created")
    codes: tuple[tuple[type[CrmError], str], ...] = (
        (QuotaExhausted, "quota_exhausted"),
        (RateLimited, "rate_limited"),
        (TryAgain, "crm_unavailable"),
        (Reauthorize, "not_sent"),
        (PermissionDenied, "permission_denied"),
    )
    code = next((code for kind, code in codes if isinstance(error, kind)), "crm_refused")
    return own_failure(code, error.public)
