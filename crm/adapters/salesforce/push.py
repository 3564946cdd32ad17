"""A push: what each record needs (decided without I/O), the look-ups and writes, one outcome a record.

Calls for n records: with an external id as match field ceil(n / 200); else one look-up for about 200 e-mail addresses,
then one call for what exists and one for what is new. Records with a known id are written without a look-up. A write
policy other than `overwrite` always costs the look-up; records with a known id are read too where it is `fill_if_empty`
or where nothing is to be written to them: only reading tells whether they are there.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from crm.adapters.outcome import failed, merged_outcomes, own_failure, skipped, succeeded
from crm.adapters.salesforce import lookup
from crm.adapters.salesforce.calls import Org
from crm.adapters.salesforce.describe import FRESH_S, DescribeCache, ObjectFields
from crm.adapters.salesforce.drafts import (
    Draft,
    MatchRule,
    body_for_create,
    body_for_upsert,
    change_for,
    draft,
    match_rule,
    missing_on_create,
    needs_held,
    with_id,
)
from crm.adapters.salesforce.field_plan import FieldPlan
from crm.adapters.salesforce.lookup import Row
from crm.adapters.salesforce.relationships import with_related
from crm.adapters.salesforce.writes import Answer, CollectionWriter, Write
from crm.errors import CrmError, LeaseLost
from crm.mapping_plan import MappingPlan
from crm.matching import choose_match_field, long_id, merge_by_key
from crm.model import Action, CrmRecord, FieldMapping, PushOptions, RecordOutcome, SyncResult
from crm.write_policy import may_skip_look_up

_MAX_NAMED = 5


@dataclass(slots=True)
class Push:
    """One push of one command, from its records to its outcomes.

    `may_read_again`: a refusal for a field may be raised, so that the push is made again with fields read anew.
    """

    org: Org
    describes: DescribeCache
    mappings: Sequence[FieldMapping]
    options: PushOptions
    default_match_field: str | None
    may_read_again: bool = False
    _fields: ObjectFields = field(init=False)
    _rule: MatchRule | None = field(init=False)
    _field_plan: FieldPlan = field(init=False)
    _fields_may_be_stale: bool = field(init=False, default=False)
    _outcomes: dict[int, RecordOutcome] = field(default_factory=dict)
    _merged_into: dict[int, int] = field(default_factory=dict)
    _by_link: set[int] = field(default_factory=set)
    _dead_links: set[str | None] = field(default_factory=set)
    _absent: set[int] = field(default_factory=set)

    def run(self, records: Sequence[CrmRecord]) -> SyncResult:
        """Write the records; see `crm.adapters.contract.CrmAdapter.push_records`."""
        self._fields = self._described()
        match_on = choose_match_field(self.options.match_on, self.mappings, self.default_match_field)
        self._rule = match_rule(match_on, self.mappings, self._fields)
        plan = MappingPlan.of(
            self.mappings,
            strict=self.options.strict,
            write_policy=self.options.write_policy,
            default_write_policy=self.options.default_write_policy,
        )
        self._field_plan = FieldPlan.of(plan, self._fields)
        writer = CollectionWriter(self.org, self._fields, len(records), self._fields_may_be_stale)
        sound = self._settle_broken(records)
        self._write(writer, self._plan(self._merge(sound)))
        self._look_again(writer, sound)
        if writer.saw_field_error:
            self.describes.drop(self.org)
        outcomes = merged_outcomes(self._outcomes.values(), records, self._merged_into)
        return SyncResult(outcomes, writer.interrupted_by)

    def _described(self) -> ObjectFields:
        """The live fields, with those of related records; whether they may have changed since they were read."""
        oldest = 0.0

        def describe(crm_object: str) -> ObjectFields:
            nonlocal oldest
            fields = self.describes.get(self.org, crm_object)
            oldest = max(oldest, self.describes.age_s(self.org, crm_object))
            return fields

        names = [mapping.crm_field for mapping in self.mappings if mapping.direction != "pull"]
        fields = with_related(describe(self.options.crm_object), names, describe)
        self._fields_may_be_stale = self.may_read_again and oldest >= FRESH_S
        return fields

    def _draft(self, record: CrmRecord) -> Draft:
        return draft(record, self._field_plan, self._rule)

    def _settle_broken(self, records: Sequence[CrmRecord]) -> list[Draft]:
        """Fail what cannot be sent by itself, before it can spoil a record that it would be merged with."""
        sound = []
        for item in map(self._draft, records):
            can_match = item.crm_id or item.match_value or self.options.mode == "create"
            if item.errors:
                self._settle(failed(item, *item.errors, warnings=item.warnings, match_value=item.match_value))
            elif not can_match:
                name = self._rule.morket_field if self._rule else "crm_id"
                message = f"the record has no {name} to be matched by"
                self._settle(failed(item, own_failure("no_match_value", message, field=name), warnings=item.warnings))
            else:
                sound.append(item)
        return sound

    def _merge(self, drafts: Iterable[Draft]) -> list[Draft]:
        """One draft for each record that is meant: by the id where it is known, else by the match value."""
        by_index = {item.index: item for item in drafts}
        records = [item.record for item in by_index.values()]
        merged, into = merge_by_key(records, lambda record: self._key(by_index[record.index]))
        self._merged_into = {index: into.get(first, first) for index, first in self._merged_into.items()} | into
        before = (by_index[record.index] for record in merged)
        return [
            item if record is item.record else self._draft(record) for item, record in zip(before, merged, strict=True)
        ]

    def _key(self, item: Draft) -> object | None:
        crm_id = item.crm_id or self._link(item)
        if crm_id:
            return ("id", crm_id)
        return ("value", item.match_value) if item.match_value else None

    def _link(self, item: Draft) -> str | None:
        value = item.match_value
        link = self.options.links.get(value) if value and value not in self._dead_links else None
        return long_id(link) if link else None

    def _plan(self, drafts: Sequence[Draft]) -> list[Write]:
        """Settle what needs no call; the writes of the others."""
        known: list[Draft] = []
        upserts: list[Draft] = []
        to_find: list[Draft] = []
        plain: list[Draft] = []
        for item in drafts:
            if item.crm_id:
                known.append(item)
            elif self._upserts(item):
                upserts.append(item)
            elif self._link(item) and self.options.mode != "create":
                known.append(with_id(item, self._link(item)))
                self._by_link.add(item.index)
            else:
                (to_find if item.match_value else plain).append(item)
        names = sorted({name for item in (*known, *to_find) for name in item.values})
        held = self._held(known, names)
        rows = self._rows(to_find, names)
        found = [with_id(item, _id(rows[item][0])) for item in to_find if len(rows[item]) == 1]
        held |= {_id(row): row for several in rows.values() for row in several}
        # A record that is known by its id may be one that another was found as: they are one update.
        present = [item for item in known if item.index not in self._absent]
        same = self._merge(sorted([*present, *found], key=lambda item: item.index))
        writes = [self._existing(item, held.get(item.crm_id or "")) for item in same]
        writes += [self._not_one(item, rows[item]) for item in to_find if len(rows[item]) != 1]
        writes += [self._upsert(item) for item in upserts]
        writes += [self._create(item) for item in plain]
        return [write for write in writes if write is not None]

    def _held(self, known: Sequence[Draft], names: Sequence[str]) -> dict[str, Row]:
        """What Salesforce holds under the known ids that no write is certain to touch; fail those that are gone."""
        reads_all = self.options.mode == "create"
        asking = {item.crm_id: item for item in known if item.crm_id and (reads_all or needs_held(item, self._fields))}
        held = lookup.by_id(self.org, self._fields.name, asking, names) if asking else {}
        for crm_id, item in asking.items():
            if crm_id not in held:
                self._absent.add(item.index)
                self._fail(item, "record_gone", f"{self._fields.name} {crm_id} does not exist or was deleted")
        return held

    def _rows(self, drafts: Sequence[Draft], names: Sequence[str]) -> dict[Draft, list[Row]]:
        """What Salesforce holds for each draft."""
        if not drafts or self._rule is None:
            return {item: [] for item in drafts}
        rows = lookup.by_value(self.org, self._fields, self._rule, drafts, names)
        if self.options.mode == "create":
            rows |= self._linked_rows(drafts, rows, names)
        return {item: rows.get(item.match_value or "", []) for item in drafts}

    def _linked_rows(
        self, drafts: Sequence[Draft], rows: dict[str, list[Row]], names: Sequence[str]
    ) -> dict[str, list[Row]]:
        """What an earlier push made exists too, where it still does: a person may have changed its key since."""
        missed = [item for item in drafts if item.match_value not in rows]
        links = {item.match_value: link for item in missed if item.match_value and (link := self._link(item))}
        if not links:
            return {}
        live = lookup.by_id(self.org, self._fields.name, links.values(), names)
        return {value: [live[link]] for value, link in links.items() if link in live}

    def _existing(self, item: Draft, row: Row | None) -> Write | None:
        crm_id = item.crm_id or ""
        if self.options.mode == "create":
            self._skip_existing(item, crm_id)
            return None
        change = change_for(item, self._fields, row)
        item = replace(item, warnings=(*item.warnings, *change.warnings))
        if change.body:
            return Write(item, change.body, crm_id)
        self._settle(succeeded(item, "unchanged", crm_id=crm_id, warnings=item.warnings, match_value=item.match_value))
        return None

    def _not_one(self, item: Draft, rows: Sequence[Row]) -> Write | None:
        if rows:
            names = ", ".join(_id(row) for row in rows[:_MAX_NAMED])
            message = f"{len(rows)} records of {self._fields.name} match {item.match_value}: {names}"
            self._fail(item, "several_matches", message)
            return None
        if self.options.mode == "update":
            self._fail(item, "not_found", f"no record of {self._fields.name} matches {item.match_value}")
            return None
        return self._create(item)

    def _create(self, item: Draft) -> Write | None:
        missing = missing_on_create(item, self._fields)
        if not missing:
            return Write(item, body_for_create(item, self._fields))
        self._settle(failed(item, *missing, warnings=item.warnings, match_value=item.match_value))
        return None

    def _upserts(self, item: Draft) -> bool:
        """A true upsert: by an external id; it does not tell beforehand what is new, so all values are overwritten."""
        if self._rule is None or not self._rule.crm_field.external_id or self.options.mode != "upsert":
            return False
        key = self._rule.crm_field.name
        policies = {name: item.policies[name] for name in item.values if name != key}
        return may_skip_look_up(policies) and not item.defaults and item.values.get(key) is not None

    def _upsert(self, item: Draft) -> Write:
        name = self._rule.crm_field.name if self._rule else ""
        return Write(item, {**body_for_upsert(item, self._fields), name: item.values[name]}, key_field=name)

    def _write(self, writer: CollectionWriter, writes: Sequence[Write]) -> None:
        """Updates first: they can be repeated, whatever happens to the calls after them."""
        by_id = [write for write in writes if write.crm_id]
        by_key = [write for write in writes if write.key_field]
        for group in (by_id, by_key, [write for write in writes if write.creates]):
            writer.write(group)
        for write in writes:
            self._settle(_outcome(write, writer.answers[write.item.index]))

    def _look_again(self, writer: CollectionWriter, sound: Sequence[Draft]) -> None:
        """Look up, once, the records whose link proved dead: each for itself, for only the link made them one."""
        refused = {index for index, answer in writer.answers.items() if answer.is_gone}
        gone = self._by_link & (refused | self._absent)
        if not gone or writer.interrupted_by is not None:
            return
        self._by_link.clear()
        self._absent.clear()
        again = [item for item in sound if self._merged_into.get(item.index, item.index) in gone]
        for item in again:
            self._dead_links.add(item.match_value)
            self._merged_into.pop(item.index, None)
        try:
            writes = self._plan(self._merge(again))
        except LeaseLost:
            raise
        except CrmError as error:
            writer.interrupted_by = error
            for item in again:
                self._fail(item, "not_sent", error.public)
        else:
            self._write(writer, writes)

    def _fail(self, item: Draft, code: str, message: str) -> None:
        failure = own_failure(code, message)
        self._settle(failed(item, failure, warnings=item.warnings, match_value=item.match_value))

    def _skip_existing(self, item: Draft, crm_id: str) -> None:
        message = f"Salesforce has this record already: {crm_id}"
        self._settle(skipped(item, "already_exists", message, crm_id=crm_id, match_value=item.match_value))

    def _settle(self, outcome: RecordOutcome) -> None:
        self._outcomes[outcome.index] = outcome


def _id(row: Row) -> str:
    return long_id(str(row.get("Id")))


def _outcome(write: Write, answer: Answer) -> RecordOutcome:
    item = write.item
    if answer.failures:
        return failed(
            item, *answer.failures, crm_id=answer.crm_id, warnings=item.warnings, match_value=item.match_value
        )
    action: Action = "created" if answer.created else "updated"
    return succeeded(item, action, crm_id=answer.crm_id, warnings=item.warnings, match_value=item.match_value)
