"""A push in mode `delete`: records are found as in an update and put into Salesforce's recycle bin.

Calls for n records: a look-up by id of those that are known (the delete call takes the ids of any object, so each is
checked to be of this one), one by match value of the others, and one delete for each 200. Source: REST API Developer
Guide, resources_composite_sobjects_collections_delete.htm.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from crm.adapters.outcome import failed, merged_outcomes, own_failure, succeeded
from crm.adapters.salesforce import lookup
from crm.adapters.salesforce.calls import Org
from crm.adapters.salesforce.describe import DescribeCache, ObjectFields
from crm.adapters.salesforce.drafts import Draft, MatchRule, id_errors, match_rule
from crm.adapters.salesforce.writes import Answer, CollectionWriter, Write
from crm.matching import choose_match_field, long_id
from crm.model import CrmRecord, FieldMapping, PushOptions, RecordOutcome, SyncResult
from schemas.result import OutcomeWarning

_MAX_NAMED = 5


@dataclass(slots=True)
class Deletion:
    """The deletes of one command, from its records to its outcomes."""

    org: Org
    describes: DescribeCache
    mappings: Sequence[FieldMapping]
    options: PushOptions
    default_match_field: str | None
    _fields: ObjectFields = field(init=False)
    _rule: MatchRule | None = field(init=False)
    _outcomes: dict[int, RecordOutcome] = field(default_factory=dict)
    _found: dict[int, tuple[Draft, str]] = field(default_factory=dict)

    def run(self, records: Sequence[CrmRecord]) -> SyncResult:
        """Delete the records; deleting twice is harmless."""
        self._fields = self.describes.get(self.org, self.options.crm_object)
        match_on = choose_match_field(self.options.match_on, self.mappings, self.default_match_field)
        self._rule = match_rule(match_on, self.mappings, self._fields)
        self._find_by_value(self._find_by_id(self._sound(records)))
        firsts: dict[str, int] = {}
        merged_into: dict[int, int] = {}
        writes: list[Write] = []
        for index in sorted(self._found):
            item, crm_id = self._found[index]
            if firsts.setdefault(crm_id, index) != index:
                merged_into[index] = firsts[crm_id]
            else:
                writes.append(Write(item, {}, crm_id, deletes=True))
        writer = CollectionWriter(self.org, self._fields, len(records))
        writer.write(writes)
        for write in writes:
            self._settle_deleted(write, writer.answers[write.item.index])
        return SyncResult(merged_outcomes(self._outcomes.values(), records, merged_into), writer.interrupted_by)

    def _sound(self, records: Sequence[CrmRecord]) -> list[Draft]:
        """Fail what names no record. Values beside the match field do not matter: they go with the record."""
        sound = []
        for record in records:
            match_value = self._rule.value_of(record) if self._rule else None
            item = Draft(record, match_value, errors=id_errors(record))
            if item.errors:
                self._settle(failed(item, *item.errors))
            elif not (item.crm_id or item.match_value):
                name = self._rule.morket_field if self._rule else "crm_id"
                message = f"the record has no {name} to be matched by"
                self._settle(failed(item, own_failure("no_match_value", message, field=name)))
            else:
                sound.append(item)
        return sound

    def _find_by_id(self, drafts: Sequence[Draft]) -> list[Draft]:
        """Find the records whose id is given or linked; those that are left are to be found by their match value."""
        known = {item.index: crm_id for item in drafts if (crm_id := item.crm_id or self._link(item))}
        live = lookup.by_id(self.org, self._fields.name, known.values(), ()) if known else {}
        left = []
        for item in drafts:
            crm_id = known.get(item.index)
            if crm_id in live:
                self._found[item.index] = (item, str(crm_id))
            elif item.crm_id:
                self._settle_absent(item, f"{self._fields.name} {item.crm_id} does not exist")
            else:
                left.append(item)
        return left

    def _find_by_value(self, drafts: Sequence[Draft]) -> None:
        if not drafts or self._rule is None:
            return
        rows = lookup.by_value(self.org, self._fields, self._rule, drafts, ())
        for item in drafts:
            ids = [long_id(str(row.get("Id"))) for row in rows.get(item.match_value or "", [])]
            if len(ids) > 1:
                named = ", ".join(ids[:_MAX_NAMED])
                message = f"{len(ids)} records of {self._fields.name} match {item.match_value}: {named}"
                self._settle(failed(item, own_failure("several_matches", message), match_value=item.match_value))
            elif ids:
                self._found[item.index] = (item, ids[0])
            else:
                self._settle_absent(item, f"no record of {self._fields.name} matches {item.match_value}")

    def _link(self, item: Draft) -> str | None:
        link = self.options.links.get(item.match_value) if item.match_value else None
        return long_id(link) if link else None

    def _settle_deleted(self, write: Write, answer: Answer) -> None:
        if any(failure.code == "record_gone" for failure in answer.failures):
            self._settle_absent(write.item, f"{self._fields.name} {write.crm_id} was deleted already")
        elif answer.failures:
            self._settle(failed(write.item, *answer.failures, crm_id=write.crm_id, match_value=write.item.match_value))
        else:
            warning = OutcomeWarning(code="deleted", message="the record was moved to Salesforce's recycle bin")
            # Without match value: nothing may be linked to a record that is gone.
            self._settle(succeeded(write.item, "updated", crm_id=write.crm_id, warnings=(warning,)))

    def _settle_absent(self, item: Draft, message: str) -> None:
        warning = OutcomeWarning(code="not_found", message=message)
        self._settle(succeeded(item, "unchanged", crm_id=None, warnings=(warning,)))

    def _settle(self, outcome: RecordOutcome) -> None:
        self._outcomes[outcome.index] = outcome
