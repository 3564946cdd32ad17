"""`docs/sandbox.md` is the whole truth: every switch with its default and effect, and tests that exist."""

import re

import pytest

from sandbox import switches
from sandbox.switches import Switches
from services.workspace import REPOSITORY

DOCUMENT = (REPOSITORY / "docs" / "sandbox.md").read_text(encoding="utf-8")
ROW = re.compile(r"^([a-z][a-z0-9_]+) +(\S+) +(.*(?:\n {30,}.*)*)", re.MULTILINE)


def rows_of_the_module() -> dict[str, tuple[str, str]]:
    rows = {
        name: (default, " ".join(effect.split()).replace("``", "`"))
        for name, default, effect in ROW.findall(switches.__doc__ or "")
    }
    return {name: row for name, row in rows.items() if name != "switch"}


def test_every_switch_stands_in_the_document_as_in_the_module() -> None:
    """Defaults and effects are the same words."""
    # Given the tables of both
    listed = re.findall(r"^\| `([a-z0-9_]+)` \| (\S+|see effect) \| (.*) \|$", DOCUMENT, re.MULTILINE)

    # When they are compared
    documented = {name: (default.replace("see effect", "*"), effect) for name, default, effect in listed}

    # Then nothing is missing and nothing differs
    assert documented == rows_of_the_module()


@pytest.mark.parametrize("name", sorted(rows_of_the_module()))
def test_the_documented_default_is_the_default(name: str) -> None:
    """A `*` means that the effect says it, because the CRMs differ or the value is long."""
    # Given the default as documented
    written, effect = rows_of_the_module()[name]

    # When the models are asked
    dumped = Switches().model_dump()
    held = [dumped[crm][name] for crm in ("salesforce", "hubspot") if name in dumped[crm]]

    # Then they say the same
    words = {str(value).lower() if isinstance(value, bool) else str(value) or '""' for value in held}
    assert words == {written} or (written == "*" and effect)


def test_every_test_that_the_document_names_exists() -> None:
    """A reference that leads nowhere is worse than none."""
    # Given the references
    references = set(re.findall(r"`(test_\w+\.py)::(test_\w+)`", DOCUMENT))

    # When they are looked up
    folder = REPOSITORY / "tests" / "contract"
    missing = sorted(
        f"{file}::{name}"
        for file, name in references
        if not (folder / file).exists() or f"def {name}(" not in (folder / file).read_text(encoding="utf-8")
    )

    # Then all are there
    assert (missing, len(references) > 15) == ([], True)


def test_every_uncertain_fact_names_a_switch_that_exists() -> None:
    """One row, one switch at least."""
    # Given the rows of the table
    table = DOCUMENT.split("## Uncertain facts")[1].split("## ")[0]
    rows = [row.split(" | ") for row in table.splitlines() if row.startswith(("| Salesforce", "| HubSpot", "| Both"))]

    # When the second column is read
    named = [re.findall(r"`([a-z0-9_]+)`", row[1]) for row in rows]

    # Then each has one
    assert len(rows) >= 19
    assert all(names and set(names) <= set(rows_of_the_module()) for names in named)
