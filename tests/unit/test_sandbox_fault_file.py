"""The file of `--faults`: what it may say, and how a mistake in it is told."""

from pathlib import Path

import pytest

from sandbox.fault_file import REALISTIC, FaultFileError, read_fault_file, served_config


def written(folder: Path, text: str) -> Path:
    path = folder / "faults.json"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_file_gives_switches_and_a_seed(tmp_path: Path) -> None:
    """Only what is named changes; a sandbox run as a program keeps its search lag unless the file says otherwise."""
    # Given a file
    path = written(tmp_path, '{"seed": 7, "salesforce": {"row_lock_every": 50}, "hubspot": {"locked_423_next": 2}}')

    # When the configuration is made of it
    config = served_config(faults=path)

    # Then both hold
    assert config.seed == 7
    assert config.switches == {
        "salesforce": {"row_lock_every": 50},
        "hubspot": {**REALISTIC["hubspot"], "locked_423_next": 2},
    }


def test_the_command_line_goes_before_the_file_and_the_file_before_the_program(tmp_path: Path) -> None:
    """`--seed` wins over the file's seed; the file's search lag wins over the realistic one."""
    # Given a file with both
    path = written(tmp_path, '{"seed": 7, "hubspot": {"search_delay_ms": 0}}')

    # When a seed is given too
    config = served_config(faults=path, seed=8)

    # Then
    assert (config.seed, config.switches["hubspot"]["search_delay_ms"]) == (8, 0)
    assert served_config().seed is None


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('{"seed": 1,}', "is not JSON: "),
        ("[]", "a JSON object was expected"),
        ('{"hubspot": {"latency_ms": 1, "latency_ms": 2}}', '"latency_ms" is there twice'),
        ('{"sed": 1}', 'unknown member "sed"; did you mean seed?'),
        ('{"seed": "x"}', "seed: a whole number of 0 or more was expected"),
        ('{"seed": true}', "seed: a whole number of 0 or more was expected"),
        ('{"salesforce": 3}', "salesforce: an object of switches was expected"),
        ('{"hubspot": {"search_dely_ms": 1}}', "hubspot.search_dely_ms: there is no such switch; did you mean search_"),
        ('{"salesforce": {"daily_quota": "many"}}', "salesforce.daily_quota: Input should be a valid integer"),
        ('{"hubspot": {"random_fault_percent": 101}}', "hubspot.random_fault_percent: Input should be less than or"),
        ('{"hubspot": {"random_faults": ["row_lock_next"]}}', "hubspot: random_faults: row_lock_next is none of "),
        ('{"hubspot": {"api_versions": ["v1"]}}', "hubspot.api_versions.0: Input should be 'v3', '2026-03'"),
    ],
)
def test_a_mistake_is_told_by_its_place(tmp_path: Path, text: str, told: str) -> None:
    """Nothing is guessed and nothing is skipped."""
    # Given a file with a mistake
    path = written(tmp_path, text)

    # When it is read
    with pytest.raises(FaultFileError) as refused:
        read_fault_file(path)

    # Then the file and the place are named
    assert str(refused.value).startswith(f"{path}: ")
    assert refused.value.problems[0].startswith(told)


def test_all_mistakes_are_told_at_once(tmp_path: Path) -> None:
    """Who mends a file mends it once."""
    # Given three mistakes
    path = written(tmp_path, '{"zoho": {}, "salesforce": {"latency_ms": -1}, "hubspot": {"nope": 1}}')

    # When it is read
    with pytest.raises(FaultFileError) as refused:
        read_fault_file(path)

    # Then all three are there
    assert [problem.split(":")[0] for problem in refused.value.problems] == [
        'unknown member "zoho"; it takes seed, salesforce, hubspot',
        "salesforce.latency_ms",
        "hubspot.nope",
    ]


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    """Missing, or not text."""
    # Given no file, and one that is not UTF-8
    binary = tmp_path / "binary.json"
    binary.write_bytes(b"\xff\xfe")

    # When they are read
    # Then each is told
    with pytest.raises(FaultFileError, match=r"none\.json: cannot be read: No such file"):
        read_fault_file(tmp_path / "none.json")
    with pytest.raises(FaultFileError, match="is not UTF-8 text"):
        read_fault_file(binary)
