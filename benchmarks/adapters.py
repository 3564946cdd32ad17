"""What an adapter costs: API calls, CPU of mapping and coercing, memory. `python -m benchmarks.adapters`."""

import gc
import json
import math
import statistics
import sys
import time
import tracemalloc
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from benchmarks.crm_bench import SLUGS, Bench, connected, people, running_sandbox
from crm.adapters.hubspot import drafts as hubspot_drafts
from crm.adapters.salesforce import drafts as salesforce_drafts
from crm.adapters.salesforce.describe import ObjectFields
from crm.adapters.salesforce.field_plan import FieldPlan
from crm.mapping_plan import MappingPlan
from crm.model import CallScope, CrmRecord, FieldMapping, PushOptions

Drafted = salesforce_drafts.Draft | hubspot_drafts.Draft
RECORDS = 200
ROUNDS = 21


@dataclass(frozen=True)
class Figure:
    """One measurement; `most` is the target, None where there is none."""

    what: str
    value: float
    unit: str
    most: float | None = None

    @property
    def is_missed(self) -> bool:
        """Over the target."""
        return self.most is not None and self.value > self.most


def measure() -> Iterator[Figure]:
    """Every figure, for both CRMs."""
    with running_sandbox() as origin:
        for slug, least in zip(SLUGS, (5, 10), strict=True):
            yield _calls_per_thousand(connected(slug, origin), least)
            yield _calls_with_one_bad(connected(slug, origin))
            yield from _mapping_cost(connected(slug, origin))
            yield _peak_memory(connected(slug, origin))


def _options(bench: Bench, scope: CallScope) -> PushOptions:
    key = "crm:Morket_Id__c" if bench.slug == "salesforce" else None
    return PushOptions(bench.crm_object, match_on=key, scope=scope)


def _push(bench: Bench, records: Sequence[CrmRecord], mappings: Sequence[FieldMapping] | None = None) -> CallScope:
    scope = CallScope()
    result = bench.adapter.push_records(
        bench.tokens, records, mappings or bench.mappings, options=_options(bench, scope)
    )
    failures = [one.errors[0] for one in result.outcomes if one.action == "failed"]
    expected = sum("spoils" in record.fields for record in records)
    if len(failures) != expected or result.interrupted_by is not None:
        raise RuntimeError(f"{bench.slug}: {len(failures)} records failed, {expected} were meant to: {failures[:1]}")
    return scope


def _calls_per_thousand(bench: Bench, least: int) -> Figure:
    """Upserts of 1,000 records in commands of 200, with the fields' description known already."""
    _push(bench, people(1))
    records = people(1000)
    chunks = [records[start : start + RECORDS] for start in range(0, len(records), RECORDS)]
    calls = sum(_push(bench, [replace(one, index=at) for at, one in enumerate(chunk)]).api_calls for chunk in chunks)
    return Figure(f"{bench.slug}: API calls per 1,000 upserted records", calls, "calls", least)


def _calls_with_one_bad(bench: Bench) -> Figure:
    """The calls that one record adds which makes the CRM refuse its whole call, at the CRM's full batch."""
    count = bench.adapter.capabilities.batch_size
    mappings = (*bench.mappings, FieldMapping("spoils", _let_one_field_spoil(bench)))
    clean = _push(bench, people(count), mappings).api_calls
    records = people(count)
    bad = count // 3
    records[bad] = replace(records[bad], fields={**records[bad].fields, "spoils": "boo"})
    calls = _push(bench, records, mappings).api_calls
    most = 2 * math.ceil(math.log2(count))
    return Figure(f"{bench.slug}: further calls for 1 refused record in {count}", calls - clean, "calls", most)


def _let_one_field_spoil(bench: Bench) -> str:
    """A field that is described as writable and that the CRM then refuses the whole call for."""
    name, found = "Ghost__c", bench.adapter
    if bench.slug == "hubspot":
        bench.switch(email_partial_upsert=False)
        name = "ghost"
        described = found._catalogue.of  # type: ignore[attr-defined]  # noqa: SLF001 - a lie about one field

        def haunted(*given: object) -> object:
            fields = described(*given)
            return {**fields, name: replace(fields["jobtitle"], name=name)}

        found._catalogue.of = haunted  # type: ignore[attr-defined]  # noqa: SLF001
        return name
    get = found._describes.get  # type: ignore[attr-defined]  # noqa: SLF001

    def haunted_describe(*given: object) -> ObjectFields:
        fields: ObjectFields = get(*given)
        return replace(fields, by_name={**fields.by_name, name.lower(): replace(fields.by_name["title"], name=name)})

    found._describes.get = haunted_describe  # type: ignore[attr-defined]  # noqa: SLF001
    return name


def _mapping_cost(bench: Bench) -> Iterator[Figure]:
    """CPU of mapping and coercing 200 records of 20 fields, in `json.dumps` of the same records, both in this run."""
    records = people(RECORDS)
    fields = [dict(record.fields) for record in records]
    draft = _drafting(bench)
    if warnings := [warning for one in draft(records) for warning in one.warnings]:
        raise RuntimeError(f"{bench.slug}: a field is not mapped: {warnings[0]}")
    pairs = [(_cpu_s(lambda: draft(records)), _cpu_s(lambda: json.dumps(fields))) for _ in range(ROUNDS)]
    ratio = statistics.median(mapping / dumps for mapping, dumps in pairs)
    mapping_ms = statistics.median(mapping for mapping, _dumps in pairs) * 1000
    yield Figure(f"{bench.slug}: mapping and coercing {RECORDS} records of 20 fields", mapping_ms, "ms CPU")
    yield Figure(f"{bench.slug}: the same, against json.dumps of them", ratio, "times", 3)


def _drafting(bench: Bench) -> Callable[[Sequence[CrmRecord]], Sequence[Drafted]]:
    """What a push does with its records before the first call, its plan included."""
    described = bench.adapter.describe_fields(bench.tokens, bench.crm_object, scope=CallScope())
    if bench.slug == "hubspot":
        by_name = {one.name: one for one in described}
        rule = hubspot_drafts.match_rule(None, bench.mappings, bench.crm_object, by_name)

        def draft_hubspot(records: Sequence[CrmRecord]) -> Sequence[Drafted]:
            shape = hubspot_drafts.Shape(bench.crm_object, by_name, bench.mappings, rule)
            return [hubspot_drafts.draft(record, shape) for record in records]

        return draft_hubspot
    fields = ObjectFields(bench.crm_object, {one.name.lower(): one for one in described})
    found = salesforce_drafts.match_rule("crm:Morket_Id__c", bench.mappings, fields)

    def draft_salesforce(records: Sequence[CrmRecord]) -> Sequence[Drafted]:
        plan = FieldPlan.of(MappingPlan.of(bench.mappings), fields)
        return [salesforce_drafts.draft(record, plan, found) for record in records]

    return draft_salesforce


def _cpu_s(work: Callable[[], object]) -> float:
    gc.collect()
    gc.disable()
    started = time.process_time()
    work()
    spent = time.process_time() - started
    gc.enable()
    return spent


def _peak_memory(bench: Bench) -> Figure:
    """Memory that a push of 200 records takes at most, beyond the records themselves."""
    _push(bench, people(RECORDS))
    records = people(RECORDS)
    gc.collect()
    tracemalloc.start()
    _push(bench, records)
    _now, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return Figure(f"{bench.slug}: peak memory of a push of {RECORDS} records", peak / 1024**2, "MiB")


def show(figures: Iterator[Figure]) -> int:
    """Print a table as the figures come; 1 when one misses its target."""
    missed = 0
    for figure in figures:
        target = "" if figure.most is None else f"at most {figure.most:g}"
        missed += figure.is_missed
        verdict = "MISSED" if figure.is_missed else ""
        print(f"{figure.what:<66} {figure.value:>8.1f} {figure.unit:<7} {target:<12} {verdict}", flush=True)
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(show(measure()))
