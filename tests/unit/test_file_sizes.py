"""Files stay small enough to be read in one sitting."""

from pathlib import Path

import pytest

from services.workspace import REPOSITORY

HARD_LIMIT = 320  # lines; 250 is the aim
PACKAGES = ("schemas", "crm", "consumer", "producer_api", "cli", "sandbox", "migrations", "benchmarks")


@pytest.mark.parametrize("package", PACKAGES)
def test_no_file_is_longer_than_the_limit(package: str) -> None:
    """No Python file of ours has more than 320 lines."""
    # Given every Python file of the package
    files = sorted((REPOSITORY / package).rglob("*.py"))

    # When their lines are counted
    too_long = {str(path.relative_to(REPOSITORY)): count for path in files if (count := lines_of(path)) > HARD_LIMIT}

    # Then none is too long
    assert too_long == {}


def lines_of(path: Path) -> int:
    with path.open(encoding="utf-8") as file:
        return sum(1 for _line in file)
