"""A push: the look-ups and batch writes of one command, one outcome a record. What each record needs: `plan`.

Calls for n records with a unique match property (contacts by e-mail), mode upsert, every field overwritten:
ceil(n / 100) and nothing before them. The price is that `updated` may then mean that nothing changed: HubSpot does not
tell. Every other case reads first (one call for 100 unique values, one search for about 100 others), and there equal
values are `unchanged` and cost no write. Associations of existing records cost one read and one write for 100.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from crm.adapters.hubspot.association_calls import TargetFinder
from crm.adapters.hubspot.batch import Answer, BatchWriter, split_budget_for
from crm.adapters.hubspot.binding import bind_associations
from crm.adapters.hubspot.calls import Calls
from crm.adapters.hubspot.codes import STALE_METADATA
from crm.adapters.hubspot.deletion import delete_draft, delete_outcome, delete_step
from crm.adapters.hubspot.drafts import Draft, Shape, draft, match_rule
from crm.adapters.hubspot.errors import existing_id
from crm.adapters.hubspot.matches import LookUp, properties_to_read
from crm.adapters.hubspot.outcomes import Sent, outcome_of
from crm.adapters.hubspot.pace import SearchPace
from crm.adapters.hubspot.plan import Step, already_exists, broken, first_step, next_step, update_of_existing
from crm.adapters.hubspot.properties import PropertyCatalogue
from crm.adapters.hubspot.search import Search
from crm.adapters.outcome import merged_outcomes
from crm.errors import CrmError, LeaseLost
from crm.matching import merge_by_key
from crm.model import CrmRecord, FieldMapping, PushOptions, RecordOutcome, SyncResult
from crm.write_policy import may_skip_look_up


@dataclass(slots=True)
class Push:
    """One push of one command, from its records to its outcomes."""

    calls: Calls
    catalogue: PropertyCatalogue
    pace: SearchPace
    options: PushOptions
    _outcomes: dict[int, RecordOutcome] = field(default_factory=dict)

    def run(self, records: Sequence[CrmRecord], mappings: Sequence[FieldMapping]) -> SyncResult:
        """Write the records; see `crm.adapters.contract.CrmAdapter.push_records`."""
        crm_object = self.options.crm_object
        shape = self._shape(mappings)
        writer = BatchWriter(self.calls, crm_object, split_budget_for(len(records)))
        if self.options.mode == "delete":
            merged_into = self._delete(records, shape, writer)
        else:
            merged_into = self._push(records, shape, writer)
        return SyncResult(merged_outcomes(self._outcomes.values(), records, merged_into), writer.interrupted_by)

    def _shape(self, mappings: Sequence[FieldMapping]) -> Shape:
        options = self.options
        fields = self.catalogue.of(self.calls, options.crm_object)
        rule = match_rule(options.match_on, mappings, options.crm_object, fields)
        return Shape(
            options.crm_object,
            fields,
            mappings,
            rule,
            options.strict,
            options.write_policy,
            options.default_write_policy,
        )

    def _push(self, records: Sequence[CrmRecord], shape: Shape, writer: BatchWriter) -> dict[int, int]:
        # What cannot be sent fails by itself, before it spoils a record that it would be merged with.
        by_index = {record.index: draft(record, shape) for record in records}
        for item in by_index.values():
            if item.errors:
                self._settle(broken(item))
        sound = {record.index: record for record in records if not by_index[record.index].errors}
        merged, merged_into = merge_by_key(
            list(sound.values()), lambda record: _key(by_index[record.index], self.options.links)
        )
        drafts = [
            by_index[record.index] if record is sound[record.index] else draft(record, shape) for record in merged
        ]
        if any(item.associations for item in drafts):
            drafts = TargetFinder(self.calls, self.pace).resolve(drafts)
        steps = self._plan(drafts, shape)
        self._write(writer, steps, shape)
        if writer.interrupted_by is None:
            sent = {step.item.index: step.operation for step in steps}
            writer.interrupted_by = bind_associations(self.calls, shape.crm_object, drafts, sent, self._outcomes)
        return merged_into

    def _plan(self, drafts: Sequence[Draft], shape: Shape) -> list[Step]:
        """The writes to make; what is decided without a write goes to the outcomes at once."""
        steps: list[Step] = []
        to_find: list[Draft] = []
        for item in drafts:
            decided = first_step(item, shape, self.options.mode)
            if decided is None:
                to_find.append(item)
            else:
                self._take(decided, steps)
        found = self._look_up(shape).matches(to_find)
        for item in to_find:
            self._take(next_step(item, found.get(item.index, []), shape, self.options.mode), steps)
        # Two of them may turn out to be one record of the CRM: the later one's values must come last.
        return sorted(steps, key=lambda step: step.item.index)

    def _delete(self, records: Sequence[CrmRecord], shape: Shape, writer: BatchWriter) -> dict[int, int]:
        """Archive what the records stand for."""

        def key(record: CrmRecord) -> object | None:
            return _key(delete_draft(record, shape.rule), self.options.links)

        merged, merged_into = merge_by_key(records, key)
        drafts = [delete_draft(record, shape.rule) for record in merged]
        found = self._look_up(shape).matches(drafts)
        steps: list[Step] = []
        for item in drafts:
            self._take(delete_step(item, found.get(item.index, []), shape), steps)
        writer.write("archive", [step.input for step in steps])
        for step in steps:
            self._settle(delete_outcome(step, writer.answers[step.input.index]))
        return merged_into

    def _look_up(self, shape: Shape) -> LookUp:
        return LookUp(Search(self.calls, shape.crm_object, self.pace), shape.rule, self.options.links)

    def _write(self, writer: BatchWriter, steps: Sequence[Step], shape: Shape) -> None:
        # Updates by id go first: they may free a unique value that an upsert of the same command then takes.
        for operation in ("update", "upsert", "create"):
            writer.write(operation, [step.input for step in steps if step.operation == operation])
        standing = [step for step in steps if not _is_in_the_way(step, writer)]
        for step in standing:
            self._finish(step, writer.answers[step.input.index])
        self._write_to_existing(writer, [step for step in steps if step not in standing], shape)

    def _write_to_existing(self, writer: BatchWriter, steps: Sequence[Step], shape: Shape) -> None:
        """Creates that HubSpot refused by naming the record that exists: write to that one, or say that it exists."""
        resolved: list[Step] = []
        to_read: list[Step] = []
        for step in steps:
            crm_id = str(existing_id(writer.answers[step.input.index].reasons))
            if self.options.mode == "create":
                self._settle(already_exists(step.item, crm_id))
            elif may_skip_look_up(step.item.policies):
                resolved.append(update_of_existing(step.item, crm_id))
            else:
                to_read.append(step)
        resolved += self._read_existing(writer, to_read, shape)
        writer.write("update", [step.input for step in resolved])
        for step in resolved:
            self._finish(step, writer.answers[step.input.index])

    def _read_existing(self, writer: BatchWriter, steps: Sequence[Step], shape: Shape) -> list[Step]:
        """The updates of records that stand in the way, by what they hold; what needs none is settled."""
        ids = {step.item.index: str(existing_id(writer.answers[step.item.index].reasons)) for step in steps}
        names = properties_to_read([step.item for step in steps], shape.rule)
        try:
            by_id = Search(self.calls, shape.crm_object, self.pace).by_id(list(ids.values()), names) if ids else {}
        except LeaseLost:
            raise
        except CrmError as error:
            writer.interrupt(error, [step.input for step in steps])
            by_id = {}
        resolved: list[Step] = []
        for step in steps:
            record = by_id.get(ids[step.item.index])
            if record is None:
                self._finish(step, writer.answers[step.item.index])
            else:
                self._take(next_step(step.item, [record], shape, self.options.mode), resolved)
        return resolved

    def _take(self, decided: Step | RecordOutcome, steps: list[Step]) -> None:
        if isinstance(decided, RecordOutcome):
            self._settle(decided)
        else:
            steps.append(decided)

    def _finish(self, step: Step, answer: Answer) -> None:
        if any(reason.code in STALE_METADATA for reason in answer.reasons):
            self.catalogue.forget(self.calls, self.options.crm_object)
        self._settle(outcome_of(step.item, Sent(step.operation, step.input.target), answer))

    def _settle(self, outcome: RecordOutcome) -> None:
        self._outcomes[outcome.index] = outcome


def _is_in_the_way(step: Step, writer: BatchWriter) -> bool:
    answer = writer.answers[step.input.index]
    return step.operation != "update" and answer.fate == "refused" and existing_id(answer.reasons) is not None


def _key(item: Draft, links: Mapping[str, str]) -> object | None:
    """What tells two records of one command that they are one: the record id if it is known, else the match value."""
    crm_id = item.crm_id or links.get(item.match_value or "")
    if crm_id:
        return ("id", crm_id)
    return ("value", item.match_value) if item.match_value else None
