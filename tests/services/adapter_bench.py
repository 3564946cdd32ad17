"""What the conformance suite needs of a CRM: a stand-in on this machine that it can look into and make fail.

The author of an adapter in a package of its own gives one more entry point, in the group `morket_crm_sync.benches`: a
function without arguments that returns a context manager of an `AdapterBench`, under the slug as its name.
"""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from importlib.metadata import entry_points
from typing import Any, Final, Protocol

from crm.registry import listed_entries

BENCH_GROUP: Final = "morket_crm_sync.benches"


@dataclass(frozen=True, slots=True)
class SeenCall:
    """One data call as the CRM saw it; OAuth calls are not among them.

    Attributes:
        path: Without query.
        status: What it answered, or meant to answer.
        records: How many records the call carried or asked for; None where that has no meaning.
        is_write: It was meant to change records.
    """

    path: str
    status: int
    records: int | None
    is_write: bool


class AdapterBench(Protocol):
    """One CRM on this machine.

    Attributes:
        origin: `http://127.0.0.1:PORT`, for `CRM_SANDBOX_ORIGIN`.
        client: Id and secret of its OAuth client; the secret ends with `not-real`.
        faults: Name -> switches to set: every way in which data calls of this CRM can go wrong.
    """

    slug: str
    origin: str
    client: tuple[str, str]
    faults: Mapping[str, Mapping[str, Any]]

    def reset(self) -> None:
        """No records, no grants, no faults, no calls seen."""

    def consent(self, authorize_url: str, account_id: str | None = None) -> str:
        """Agree as a person would; the URL that the browser is sent back to."""

    def account_ids(self) -> list[str]:
        """At least two accounts that a person may choose; the first is the default."""

    def switch(self, **values: Any) -> None:
        """Ask for faults. Every CRM knows `token_fault`, `token_fault_next`, `error_500_next`, `html_503_next`,
        `hang_next` and `lose_reply_next`; a count of -1 means every call until `end_faults`.
        """  # noqa: D205 - one sentence about each half

    def end_faults(self) -> None:
        """Let everything work again; records and grants stay."""

    def expire_access_tokens(self, account_id: str) -> None:
        """Every access token of the account dies now."""

    def revoke_grants(self, account_id: str) -> None:
        """The customer ends every grant of the account."""

    def stored(self, account_id: str, crm_object: str) -> dict[str, dict[str, Any]]:
        """Record id -> the CRM's fields, of every record that is not deleted."""

    def calls(self) -> list[SeenCall]:
        """Every data call since the reset."""


def benches() -> dict[str, Callable[[], AbstractContextManager[AdapterBench]]]:
    """Slug -> bench, for every CRM in the registry.

    Raises:
        LookupError: A CRM has none.
    """
    from services.sandbox_bench import hubspot_bench, salesforce_bench  # noqa: PLC0415 - it imports this file

    found: dict[str, Any] = {"salesforce": salesforce_bench, "hubspot": hubspot_bench}
    found |= {point.name: point.load() for point in entry_points(group=BENCH_GROUP)}
    missing = [entry.slug for entry in listed_entries() if entry.slug not in found]
    if missing:
        raise LookupError(f"no bench in the entry-point group {BENCH_GROUP} for: {', '.join(missing)}")
    return {entry.slug: found[entry.slug] for entry in listed_entries()}
