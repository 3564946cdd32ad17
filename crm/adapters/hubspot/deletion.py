"""Mode delete: which records of HubSpot a command means, archived in batches. HubSpot keeps them for 90 days.

Records are found as for an update; what is not there counts as done, so a delete may be repeated.
Source: developers.hubspot.com/docs/api-reference/latest/crm/objects/contacts/guide (batch archive).
"""

from collections.abc import Sequence

from crm.adapters.hubspot.batch import Answer, Input
from crm.adapters.hubspot.drafts import Draft, MatchRule, Shape
from crm.adapters.hubspot.outcomes import Sent, outcome_of
from crm.adapters.hubspot.plan import Step, several_matches, without_key
from crm.adapters.hubspot.search import Found
from crm.adapters.outcome import succeeded
from crm.matching import match_value
from crm.model import CrmRecord, RecordOutcome
from schemas.result import OutcomeWarning


def delete_draft(record: CrmRecord, rule: MatchRule | None) -> Draft:
    """What a delete needs of a record: its id and its match value; its other values do not matter."""
    value = match_value(record, rule.morket_field) if rule else None
    return Draft(record.index, record.ref, record.crm_id, value)


def delete_step(item: Draft, found: Sequence[Found], shape: Shape) -> Step | RecordOutcome:
    """The archiving of a draft's record, or what became of it without a call."""
    if item.crm_id is None and item.match_value is None:
        return without_key(item, shape)
    if len(found) > 1:
        return several_matches(item, found, shape.crm_object)
    if not found:
        gone = OutcomeWarning(code="not_found", message=f"HubSpot has no such record in {shape.crm_object}")
        return succeeded(item, "unchanged", crm_id=item.crm_id, warnings=(gone,), match_value=item.match_value)
    return Step("archive", item, Input(item.index, {}, target=found[0].crm_id))


def delete_outcome(step: Step, answer: Answer) -> RecordOutcome:
    """What became of one record that was to be archived."""
    if answer.fate != "written":
        return outcome_of(step.item, Sent("archive", step.input.target), answer)
    done = OutcomeWarning(code="deleted", message="the record was archived; HubSpot can restore it for 90 days")
    item = step.item
    return succeeded(item, "updated", crm_id=step.input.target, warnings=(done,), match_value=item.match_value)
