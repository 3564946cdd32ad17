"""Write the adapters' sections of `docs/errors.md`: `python -m cli.errors_page --check | --write`.

Beside the CRMs of this repository, an installed package's CRM is left out: the page is this repository's.
"""

import argparse
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from crm.adapters.outcome import OWN_FAILURES, VendorError
from crm.registry import ADAPTERS

PAGE: Final = Path(__file__).resolve().parent.parent / "docs/errors.md"

_SECTION: Final = re.compile(r"(<!-- adapter errors: (\S+) -->\n).*?(<!-- end of adapter errors -->)", re.DOTALL)


class PlacesDiffer(ValueError):
    """The page has no place for an adapter's errors, or a place for one that does not exist."""


def sections() -> dict[str, str]:
    """Name -> table: what the adapters find by themselves (`own`), and each CRM's codes by its slug."""
    own = {failure.code: failure for failure in OWN_FAILURES.values()}
    return {"own": _own_table(own), **{entry.slug: _vendor_table(entry.name, entry.errors) for entry in ADAPTERS}}


def filled(page: str) -> str:
    """`page` with each section in its place.

    Raises:
        PlacesDiffer: a section without a place, or a place without a section.
    """
    tables = sections()
    places = [match[2] for match in _SECTION.finditer(page)]
    if sorted(places) != sorted(tables):
        odd = ", ".join(sorted(set(places) ^ set(tables))) or "one stands twice"
        raise PlacesDiffer(f"the adapters' sections and their places do not fit: {odd}")
    return _SECTION.sub(lambda match: f"{match[1]}{tables[match[2]]}\n{match[3]}", page)


def main(arguments: Sequence[str] | None = None, page: Path = PAGE) -> int:
    """Write the page, or only tell whether it differs; the exit code."""
    parser = argparse.ArgumentParser(prog="python -m cli.errors_page", description="The adapters' error tables.")
    how = parser.add_mutually_exclusive_group(required=True)
    how.add_argument("--check", action="store_true", help="write nothing; exit with 1 when the page differs")
    how.add_argument("--write", action="store_true", help="write the sections")
    options = parser.parse_args(arguments)
    before = page.read_text(encoding="utf-8")
    after = filled(before)
    if before == after:
        return 0
    if options.write:
        page.write_text(after, encoding="utf-8")
        sys.stdout.write(f"wrote: {page.name}\n")
        return 0
    sys.stdout.write(f"differs: {page.name}; run `python -m cli.errors_page --write` and check the file in\n")
    return 1


def _own_table(failures: Mapping[str, VendorError]) -> str:
    lines = ["| code | category | retryable | what to do |", "| --- | --- | --- | --- |"]
    return "\n".join([*lines, *(_row(f"`{code}`", failure) for code, failure in sorted(failures.items()))])


def _vendor_table(name: str, errors: Mapping[str, VendorError]) -> str:
    lines = [f"| {name} says | code | category | retryable | what to do |", "| --- | --- | --- | --- | --- |"]
    rows = (_row(f"`{crm_code}` | `{known.code}`", known) for crm_code, known in sorted(errors.items()))
    return "\n".join([*lines, *rows])


def _row(first: str, known: VendorError) -> str:
    retryable = "yes" if known.retryable else "no"
    hint = known.hint.replace("|", "\\|").replace("<", "\\<")
    return f"| {first} | `{known.category.value}` | {retryable} | {hint} |"


if __name__ == "__main__":
    sys.exit(main())
