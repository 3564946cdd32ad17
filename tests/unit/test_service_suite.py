"""How the suite deals with tests that count only on Apache Kafka: left out aloud on another broker, run on that one."""

import subprocess
import sys
from pathlib import Path

import pytest

from services.workspace import REPOSITORY

INNER_TESTS = """
import pytest

@pytest.mark.apache
def test_on_apache_kafka_only():
    assert True

def test_everywhere():
    assert True
"""


def run_inner_suite(folder: Path, environment: dict[str, str]) -> "subprocess.CompletedProcess[str]":
    test_file = folder / "test_inner.py"
    test_file.write_text(INNER_TESTS)
    plugin = ("-p", "no:cacheprovider", "-c", str(REPOSITORY / "pyproject.toml"), "--rootdir", str(REPOSITORY))
    return subprocess.run(
        (sys.executable, "-m", "pytest", *plugin, "--confcutdir", str(REPOSITORY), "-p", "conftest", str(test_file)),
        cwd=folder,
        env={"PATH": "/usr/bin:/bin", "PYTHONPATH": f"{REPOSITORY}:{REPOSITORY / 'tests'}", **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


@pytest.mark.parametrize(
    ("environment", "closing", "notes"),
    [
        ({"KAFKA_BOOTSTRAP_SERVERS": "k:9092"}, "1 passed, 1 deselected", 1),
        ({"KAFKA_BOOTSTRAP_SERVERS": "k:9092", "CRM_SYNC_TEST_BROKER": "apache"}, "2 passed", 0),
    ],
)
def test_apache_tests_are_left_out_aloud(environment: dict[str, str], closing: str, notes: int, tmp_path: Path) -> None:
    """On another broker they are deselected, counted, and the command that runs them is printed; on Kafka they run."""
    # Given a suite with one such test, on a broker that is or is not known to be Apache Kafka
    done = run_inner_suite(tmp_path, {"DATABASE_URL": "postgresql://127.0.0.1/none", **environment})

    # When it has run / Then its closing line and its notes tell the same story
    assert closing in done.stdout.splitlines()[-1], done.stdout + done.stderr
    note = "left out: 1 test counts only on Apache Kafka; run with `make test-kafka`"
    assert done.stdout.count(note) == notes
    assert "broker: the broker at k:9092" in done.stdout
