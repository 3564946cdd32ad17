"""The adapters' sections of `docs/errors.md` are what the adapters' tables say."""

from pathlib import Path

import pytest

from cli import errors_page
from crm.registry import ADAPTERS
from schemas import publish


def test_the_page_says_what_the_adapters_do() -> None:
    """Every code of every adapter's table stands on the page, and the page has not drifted."""
    # Given
    page = errors_page.PAGE.read_text(encoding="utf-8")

    # When / Then
    assert errors_page.main(["--check"]) == 0
    for entry in ADAPTERS:
        assert entry.errors, entry.slug
        assert [code for code in entry.errors if f"| `{code}` |" not in page] == []


def test_a_page_that_drifted_is_told_and_written_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`--check` writes nothing and ends with 1; `--write` mends it."""
    # Given a page with one line less
    page = tmp_path / "errors.md"
    whole = errors_page.PAGE.read_text(encoding="utf-8")
    page.write_text(whole.replace("| `UNABLE_TO_LOCK_ROW` |", "| `ANOTHER` |"), encoding="utf-8")

    # When
    told = errors_page.main(["--check"], page)
    still = page.read_text(encoding="utf-8")
    wrote = errors_page.main(["--write"], page)

    # Then
    assert (told, wrote) == (1, 0)
    assert still != whole
    assert page.read_text(encoding="utf-8") == whole
    assert "python -m cli.errors_page --write" in capsys.readouterr().out


def test_a_missing_place_is_an_error(tmp_path: Path) -> None:
    """A section that nobody would see is not left out silently."""
    # Given
    page = tmp_path / "errors.md"
    page.write_text("# Errors\n", encoding="utf-8")

    # When / Then
    with pytest.raises(errors_page.PlacesDiffer, match="hubspot, own, salesforce"):
        errors_page.main(["--write"], page)


def test_both_generators_leave_each_others_sections_alone() -> None:
    """The wire contracts' generator and the adapters' one write into one page."""
    # Given
    page = errors_page.PAGE.read_text(encoding="utf-8")

    # When / Then
    assert publish.published()[errors_page.PAGE] == page
    assert errors_page.filled(page) == page
