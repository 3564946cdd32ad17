"""What holds after every push, whatever the CRM did: outcomes against records, outcomes against what is stored."""

import traceback
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from crm.errors import CrmError
from crm.model import CrmRecord, RecordOutcome, SyncResult
from services.connected_crm import Connected

#: Failures after which the CRM may have written the record all the same: its answer did not arrive, or was silent.
FATE_UNKNOWN: Final = frozenset({"crm_unavailable", "no_answer_for_record", "outcome_unknown"})

Stored = Mapping[str, Mapping[str, Any]]


def check_outcomes(records: Sequence[CrmRecord], result: SyncResult) -> None:
    """One outcome a record, in their order; failures have errors, the others have none and know their record."""
    assert [(one.index, one.ref) for one in result.outcomes] == [(one.index, one.ref) for one in records]
    assert sum(Counter(one.action for one in result.outcomes).values()) == len(records)
    for one in result.outcomes:
        assert (one.action == "failed") == bool(one.errors), one
        assert one.action not in {"created", "updated"} or one.crm_id, one
        assert one.merged_into is None or one.merged_into < one.index, one
    assert result.interrupted_by is None or isinstance(result.interrupted_by, CrmError)


def check_stored(before: Stored, after: Stored, result: SyncResult) -> None:
    """What is stored is what the outcomes claim.

    Args:
        before: Record id -> CRM fields, before the push.
        after: The same after it.
        result: Of a push that did not delete.
    """
    made = {str(one.crm_id) for one in result.outcomes if one.action == "created"}
    known = {str(one.crm_id) for one in result.outcomes if one.action in {"updated", "unchanged"}}
    skipped = {str(one.crm_id) for one in result.outcomes if one.action == "skipped"}
    appeared = set(after) - set(before)
    assert set(before) <= set(after), "a push deleted a record"
    assert made <= appeared, "a record that was said to be created is not there, or was there before"
    assert known | skipped <= set(after), "a record that was said to exist is not there"
    unknown = [one for one in result.outcomes if _fate_is_unknown(one)]
    silent = appeared - made - known
    assert len(silent) <= len(unknown), f"{len(silent)} records were made that no outcome speaks of"
    for crm_id in set(before) - known - made:
        if not unknown:
            assert after[crm_id] == before[crm_id], "a record changed that no outcome speaks of"


def check_values(crm: Connected, records: Sequence[CrmRecord], result: SyncResult, *morket_fields: str) -> None:
    """The last record that was written under an id left its texts there (for fields that no CRM reshapes)."""
    stored = crm.stored(crm.person)
    expected: dict[tuple[str, str], object] = {}
    for record, one in zip(records, result.outcomes, strict=True):
        if one.action in {"created", "updated", "unchanged"} and one.crm_id:
            given = {name: record.fields[name] for name in morket_fields if record.fields.get(name)}
            expected |= {(one.crm_id, name): value for name, value in given.items()}
    held = {(crm_id, name): stored[crm_id].get(crm.crm_field(crm.person, name)) for crm_id, name in expected}
    assert held == expected


def check_calls(crm: Connected) -> None:
    """No write carried more records than the CRM takes."""
    sizes = [call.records or 0 for call in crm.bench.calls() if call.is_write]
    assert max(sizes, default=0) <= crm.adapter.capabilities.batch_size


def check_no_secret(crm: Connected, logged: str, result: SyncResult | None, *errors: BaseException | None) -> None:
    """No token and no client secret in a log line, an outcome, or an error with all that it was raised from."""
    outcomes = repr(result.outcomes) if result else ""
    texts = [logged, outcomes, *(text for error in errors if error is not None for text in _texts_of(error))]
    for secret in crm.secrets():
        assert not any(secret in text for text in texts)


def _texts_of(error: BaseException) -> Iterable[str]:
    yield repr(error)
    yield str(getattr(error, "public", ""))
    yield "".join(traceback.format_exception(error))


def _fate_is_unknown(one: RecordOutcome) -> bool:
    return one.action == "failed" and any(error.code in FATE_UNKNOWN for error in one.errors)
