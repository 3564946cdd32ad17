"""Does the evidence say what the demo claims? Pure: everything it looks at was read before."""

import csv
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from cli.demo.evidence import Evidence
from cli.demo.expected import differences, expected_records
from cli.demo.syncs import SAMPLES, SLUGS, Pull, Push
from cli.outcome_table import total
from schemas.result import Outcome, SyncResult

#: ref -> CRM -> the code that the dirty row must come back with (`merged`, or empty where that CRM takes it).
DIRTY_ROWS: Final = SAMPLES / "dirty_rows.csv"
_SHOWN: Final = 3


@dataclass(frozen=True, slots=True)
class Account:
    """All syncs of the demo: both rounds of pushes, and the pulls between them, by CRM."""

    first: Mapping[str, Push]
    again: Mapping[str, Push]
    pulls: Mapping[str, Pull]

    @property
    def command_ids(self) -> list[str]:
        """Every command that was published."""
        pushed = [str(one.command_id) for push in (*self.first.values(), *self.again.values()) for one in push.commands]
        return pushed + [str(one.command_id) for pull in self.pulls.values() for one in pull.commands]


@dataclass(frozen=True, slots=True)
class Check:
    """One claim and what speaks against it (empty when it holds)."""

    claim: str
    against: tuple[str, ...] = ()

    @property
    def holds(self) -> bool:
        """Whether nothing speaks against it."""
        return not self.against


def check_all(account: Account, evidence: Evidence) -> list[Check]:
    """Every claim of the demo."""
    return [
        _of("every record of every command has exactly one outcome", _uncounted(account)),
        _of("every dirty row came back with its reason", _unexplained(account)),
        _of("both CRMs hold field by field what was pushed", _all_differences(account, evidence)),
        _of("the pulls brought back every stored record", _not_pulled(account, evidence)),
        _of("pushing the same files again created nothing", _created_again(account)),
        _of("each command has exactly one result event and one history row", _not_once(account, evidence)),
    ]


def _of(claim: str, against: Iterator[str]) -> Check:
    found = list(against)
    shown = found[:_SHOWN] + ([f"… and {len(found) - _SHOWN} more"] if len(found) > _SHOWN else [])
    return Check(claim, tuple(shown))


def _uncounted(account: Account) -> Iterator[str]:
    for push in (*account.first.values(), *account.again.values()):
        for command, result in zip(push.commands, push.results, strict=True):
            indexes = sorted(outcome.index for outcome in result.outcomes)
            if indexes != list(range(len(command.records))) or sum(_counts(result)) != len(command.records):
                why = f" ({result.error.message})" if result.error else ""
                yield f"{push.slug} {command.entity}: {len(indexes)} outcomes for {len(command.records)} records{why}"


def _counts(result: SyncResult) -> Sequence[int]:
    return (result.success_count, result.failure_count, result.skipped_count)


def expected_codes() -> dict[str, dict[str, str]]:
    """CRM -> ref -> the code with which a dirty row must come back; clean rows are not in it."""
    with DIRTY_ROWS.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    return {slug: {row["ref"]: row[slug] for row in rows if row[slug]} for slug in SLUGS}


def code_of(outcome: Outcome) -> str:
    """`merged`, the first error's code, or nothing for a record that simply went in."""
    if outcome.errors:
        return outcome.errors[0].code
    return "merged" if outcome.merged_into is not None else ""


def _unexplained(account: Account) -> Iterator[str]:
    wanted = expected_codes()
    for slug, push in account.first.items():
        for outcome in (outcome for result in push.results for outcome in result.outcomes):
            expected, got = wanted[slug].get(str(outcome.ref), ""), code_of(outcome)
            if got != expected:
                yield f"{slug} {outcome.ref}: expected {expected or 'a success'}, got {got or 'a success'}"
            elif any(not failure.message or not failure.hint for failure in outcome.errors):
                yield f"{slug} {outcome.ref}: {got} came without a message or a hint"


def _all_differences(account: Account, evidence: Evidence) -> Iterator[str]:
    for slug, push in account.first.items():
        for difference in differences(expected_records(push), evidence.stored[slug]):
            yield f"{slug}: {difference}"


def _not_pulled(account: Account, evidence: Evidence) -> Iterator[str]:
    for slug, pull in account.pulls.items():
        ids = {str(command.command_id) for command in pull.commands}
        pages = [page for page in evidence.pulled if page.command_id in ids]
        pulled = [(page.crm_object, record.crm_id) for page in pages for record in page.records]
        missing = evidence.stored[slug].keys() - set(pulled)
        if missing:
            yield f"{slug}: {len(missing)} stored record(s) were not pulled, such as {min(missing)}"
        if len(set(pulled)) != len(pulled):
            yield f"{slug}: {len(pulled) - len(set(pulled))} record(s) came twice"
        for result in pull.results:
            if result.error is not None:
                yield f"{slug}: a pull failed: {result.error.message}"


def _created_again(account: Account) -> Iterator[str]:
    for slug, push in account.again.items():
        created = total(push.results).created
        if created:
            yield f"{slug}: {created} record(s) were created again"


def _not_once(account: Account, evidence: Evidence) -> Iterator[str]:
    published = sorted(account.command_ids)
    events = sorted(result.command_id for result in evidence.results)
    if events != published:
        yield f"{len(published)} commands, {len(events)} result events, {evidence.duplicate_results} of them repeats"
    if sorted(evidence.history_commands) != published:
        yield f"{len(published)} commands, {len(evidence.history_commands)} history rows"


def summary(account: Account, evidence: Evidence) -> dict[str, Any]:
    """The demo's JSON line; counts are those of the result events as they were read back."""
    document: dict[str, Any] = {}
    for slug in SLUGS:
        results = [evidence.result_of(str(command.command_id)) for command in account.first[slug].commands]
        pulls = {str(command.command_id) for command in account.pulls[slug].commands}
        counts = total(results).model_dump()
        document[slug] = {
            "push": {
                "records": sum(result.record_count for result in results),
                **counts,
                "api_calls": sum(result.api_calls for result in results),
            },
            "pull": {"records": sum(len(page.records) for page in evidence.pulled if page.command_id in pulls)},
        }
    matches = not any(_all_differences(account, evidence))
    return document | {
        "history_rows": len(evidence.history_commands),
        "result_events": len(evidence.results),
        "duplicate_result_events": evidence.duplicate_results,
        "sandbox_matches_pushed": matches,
    }
