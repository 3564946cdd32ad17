"""A push: what each record needs (decided without I/O), the batch writes, one outcome a record.

Calls for n records with a unique match property (contacts by e-mail), mode upsert: ceil(n / 100) and nothing before
them. The price is that `updated` may then mean that nothing changed: HubSpot does not tell. Every other case reads
first, and there equal values are `unchanged` and cost no write.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from crm.adapters.hubspot.batch import Answer, BatchWriter, Input, Operation, split_budget_for
from crm.adapters.hubspot.calls import Calls
from crm.adapters.hubspot.drafts import Draft, Shape, draft, match_rule, missing_for_create, properties_for_create
from crm.adapters.hubspot.errors import STALE_METADATA, existing_id
from crm.adapters.hubspot.matches import LookUp
from crm.adapters.hubspot.outcomes import Sent, outcome_of
from crm.adapters.hubspot.properties import PropertyCatalogue
from crm.adapters.hubspot.search import Found, Search, SearchPace
from crm.adapters.hubspot.values import is_same
from crm.adapters.outcome import failed, merged_outcomes, own_failure, refuse_unbuilt, skipped, succeeded
from crm.matching import merge_by_key
from crm.model import CrmRecord, FieldMapping, PushOptions, RecordOutcome, SyncResult
from schemas.command import PushMode


@dataclass(frozen=True, slots=True)
class Step:
    """One write to make for a draft."""

    operation: Operation
    item: Draft
    input: Input


@dataclass(slots=True)
class Push:
    """One push of one command, from its records to its outcomes."""

    calls: Calls
    catalogue: PropertyCatalogue
    pace: SearchPace
    options: PushOptions
    _outcomes: list[RecordOutcome] = field(default_factory=list)

    def run(self, records: Sequence[CrmRecord], mappings: Sequence[FieldMapping]) -> SyncResult:
        """Write the records; see `crm.adapters.contract.CrmAdapter.push_records`."""
        refuse_unbuilt(self.options)
        crm_object = self.options.crm_object
        fields = self.catalogue.of(self.calls, crm_object)
        rule = match_rule(self.options.match_on, mappings, crm_object, fields)
        shape = Shape(crm_object, fields, mappings, rule, self.options.strict)
        # What cannot be sent fails by itself, before it spoils a record that it would be merged with.
        broken = {item.index: item for item in (draft(record, shape) for record in records) if item.errors}
        self._outcomes += [_failed(item) for item in broken.values()]
        sound = [record for record in records if record.index not in broken]
        merged, merged_into = merge_by_key(sound, lambda record: _key(draft(record, shape), self.options.links))
        steps = self._plan([draft(record, shape) for record in merged], shape)
        writer = BatchWriter(self.calls, crm_object, split_budget_for(len(records)))
        self._write(writer, steps)
        return SyncResult(merged_outcomes(self._outcomes, records, merged_into), writer.interrupted_by)

    def _plan(self, drafts: Sequence[Draft], shape: Shape) -> list[Step]:
        """The writes to make; what is decided without a write goes to the outcomes at once."""
        steps: list[Step] = []
        to_find: list[Draft] = []
        for item in drafts:
            decided = first_step(item, shape, self.options.mode)
            if isinstance(decided, RecordOutcome):
                self._outcomes.append(decided)
            elif decided is None:
                to_find.append(item)
            else:
                steps.append(decided)
        look_up = LookUp(Search(self.calls, shape.crm_object, self.pace), shape.rule, self.options.links)
        found = look_up.matches(to_find)
        for item in to_find:
            step = next_step(item, found.get(item.index, []), shape, self.options.mode)
            if isinstance(step, RecordOutcome):
                self._outcomes.append(step)
            else:
                steps.append(step)
        # Two of them may turn out to be one record of the CRM: the later one's values must come last.
        return sorted(steps, key=lambda step: step.item.index)

    def _write(self, writer: BatchWriter, steps: Sequence[Step]) -> None:
        # Updates by id go first: they may free a unique value that an upsert of the same command then takes.
        for operation in ("update", "upsert", "create"):
            writer.write(operation, [step.input for step in steps if step.operation == operation])
        standing = [step for step in steps if not self._is_in_the_way(step, writer)]
        for step in standing:
            self._finish(step, writer.answers[step.input.index])
        self._write_to_existing(writer, [step for step in steps if step not in standing])

    def _write_to_existing(self, writer: BatchWriter, steps: Sequence[Step]) -> None:
        """Creates that HubSpot refused by naming the record that exists: write to that one, or say that it exists."""
        resolved: list[Step] = []
        for step in steps:
            crm_id = existing_id(writer.answers[step.input.index].reasons)
            if self.options.mode == "create":
                self._outcomes.append(_already_exists(step.item, crm_id))
            else:
                known = Input(step.item.index, step.item.properties, target=crm_id)
                resolved.append(Step("update", step.item, known))
        writer.write("update", [step.input for step in resolved])
        for step in resolved:
            self._finish(step, writer.answers[step.input.index])

    @staticmethod
    def _is_in_the_way(step: Step, writer: BatchWriter) -> bool:
        answer = writer.answers[step.input.index]
        return step.operation != "update" and answer.fate == "refused" and existing_id(answer.reasons) is not None

    def _finish(self, step: Step, answer: Answer) -> None:
        if any(reason.code in STALE_METADATA for reason in answer.reasons):
            self.catalogue.forget(self.calls, self.options.crm_object)
        self._outcomes.append(outcome_of(step.item, Sent(step.operation, step.input.target), answer))


def _key(item: Draft, links: Mapping[str, str]) -> object | None:
    """What tells two records of one command that they are one: the record id if it is known, else the match value."""
    crm_id = item.crm_id or links.get(item.match_value or "")
    if crm_id:
        return ("id", crm_id)
    return ("value", item.match_value) if item.match_value else None


def first_step(item: Draft, shape: Shape, mode: PushMode) -> Step | RecordOutcome | None:
    """What a draft needs before anything is read; None when the CRM must be asked first."""
    if item.errors:
        return _failed(item)
    if item.crm_id:
        # What is no HubSpot id may fail the whole call; with nothing to write, only reading tells whether it is there.
        is_writable = item.crm_id.isdecimal() and item.properties
        return _update(item, item.crm_id) if is_writable and mode != "create" else None
    if item.match_value is None:
        return _create(item, shape) if mode == "create" else _without_key(item, shape)
    # Defaults are for new records only, and an upsert does not tell beforehand which are new.
    if mode == "upsert" and shape.rule and shape.rule.is_unique and not item.defaults:
        return _upsert(item, shape.rule.crm_property)
    return None


def _without_key(item: Draft, shape: Shape) -> RecordOutcome:
    name = shape.rule.morket_field if shape.rule else "crm_id"
    missing = own_failure("no_match_value", f"the record has no {name} to be matched by", field=name)
    return failed(item, missing, warnings=item.warnings)


def next_step(item: Draft, found: Sequence[Found], shape: Shape, mode: PushMode) -> Step | RecordOutcome:
    """What a draft needs now that the records it stands for are known."""
    if len(found) > 1:
        names = ", ".join(record.crm_id for record in found[:5])
        message = f"{len(found)} records of {shape.crm_object} match {item.match_value}: {names}"
        return failed(item, own_failure("several_matches", message), match_value=item.match_value)
    if not found:
        return _without_match(item, shape, mode)
    record = found[0]
    if mode == "create":
        return _already_exists(item, record.crm_id)
    if is_same(item.properties, record.properties, shape.fields):
        return _unchanged(item, record.crm_id)
    return _update(item, record.crm_id)


def _without_match(item: Draft, shape: Shape, mode: PushMode) -> Step | RecordOutcome:
    if item.crm_id:
        gone = own_failure("record_gone", f"HubSpot has no record {item.crm_id} in {shape.crm_object}")
        return failed(item, gone, crm_id=item.crm_id, warnings=item.warnings)
    if mode == "update":
        message = f"HubSpot has no record in {shape.crm_object} that matches {item.match_value}"
        return failed(item, own_failure("not_found", message), warnings=item.warnings, match_value=item.match_value)
    return _create(item, shape)


def _create(item: Draft, shape: Shape) -> Step | RecordOutcome:
    properties = properties_for_create(item, shape.rule)
    missing = missing_for_create(properties, shape.crm_object)
    if missing is not None:
        return _failed(replace(item, errors=(missing,)))
    return Step("create", item, Input(item.index, properties))


def _update(item: Draft, crm_id: str) -> Step | RecordOutcome:
    if not item.properties:
        return _unchanged(item, crm_id)
    return Step("update", item, Input(item.index, item.properties, target=crm_id))


def _upsert(item: Draft, name: str) -> Step:
    # The unique value stands in the properties too: HubSpot takes no partial upsert by e-mail.
    properties = {**item.properties, name: item.properties.get(name) or str(item.match_value)}
    return Step("upsert", item, Input(item.index, properties, target=properties[name], id_property=name))


def _failed(item: Draft) -> RecordOutcome:
    return failed(item, *item.errors, crm_id=item.crm_id, warnings=item.warnings, match_value=item.match_value)


def _unchanged(item: Draft, crm_id: str) -> RecordOutcome:
    return succeeded(item, "unchanged", crm_id=crm_id, warnings=item.warnings, match_value=item.match_value)


def _already_exists(item: Draft, crm_id: str | None) -> RecordOutcome:
    message = f"HubSpot has this record already: {crm_id}"
    return skipped(item, "already_exists", message, crm_id=crm_id, match_value=item.match_value)
