"""The sandbox as a program: `crm-sync sandbox` and `python -m sandbox` with a file of faults and a seed."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from signal import SIGTERM
from subprocess import PIPE, Popen, run
from sys import executable

import pytest

from sandbox.remote import RemoteSandbox
from sandbox.server import SandboxServer
from services.workspace import REPOSITORY

PROGRAMS = {
    "crm-sync": [executable, "-m", "cli.main", "sandbox"],
    "module": [executable, "-m", "sandbox"],
}


@contextmanager
def running(program: str, *arguments: str) -> Iterator[RemoteSandbox]:
    with Popen([*PROGRAMS[program], *arguments], stdout=PIPE, stderr=PIPE, text=True, cwd=REPOSITORY) as process:
        assert process.stdout is not None
        try:
            origin = process.stdout.readline().strip().removeprefix("CRM_SANDBOX_ORIGIN=")
            yield RemoteSandbox(origin)
        finally:
            process.send_signal(SIGTERM)
            process.communicate(timeout=10)
    assert process.returncode == 0


@pytest.mark.parametrize("program", PROGRAMS)
def test_the_program_starts_with_the_files_switches_and_seed(tmp_path: Path, program: str) -> None:
    """They hold from the first call on, and after a reset; `--seed` goes before the file's."""
    # Given a file
    faults = tmp_path / "faults.json"
    faults.write_text('{"seed": 7, "salesforce": {"row_lock_every": 50}}', encoding="utf-8")

    # When the program runs with it
    with running(program, "--faults", str(faults), "--seed", "9") as remote:
        remote.switch("salesforce", row_lock_every=0)
        remote.reset()

        # Then the switches are the file's and the seed the command line's
        assert remote.switches()["salesforce"]["row_lock_every"] == 50
        assert remote.stats()["seed"] == 9


def test_the_program_lags_in_search_as_the_real_one_and_a_test_server_does_not() -> None:
    """3 s for whoever tries the product; 0 for tests, which ask for a lag by name."""
    # Given both, and each program told otherwise
    told = ("--search-delay-ms", "25")
    with (
        running("crm-sync") as program,
        SandboxServer() as server,
        running("crm-sync", *told) as told_program,
        running("module", *told) as told_module,
    ):
        # When the switch is read
        sandboxes = (program, RemoteSandbox(server.origin), told_program, told_module)
        lags = [sandbox.switches()["hubspot"]["search_delay_ms"] for sandbox in sandboxes]

    # Then
    assert lags == [3000, 0, 25, 25]


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_wrong_file_ends_the_program_with_its_mistake(tmp_path: Path, program: str) -> None:
    """Exit code 2, the usage error of both; nothing listens."""
    # Given a misspelt switch
    faults = tmp_path / "faults.json"
    faults.write_text('{"hubspot": {"latncy_ms": 1}}', encoding="utf-8")

    # When the program is started with it
    ended = run(
        [*PROGRAMS[program], "--faults", str(faults)],
        capture_output=True,
        text=True,
        cwd=REPOSITORY,
        timeout=30,
        check=False,
    )

    # Then it says what to mend
    assert (ended.returncode, ended.stdout) == (2, "")
    assert "hubspot.latncy_ms: there is no such switch; did you mean latency_ms?" in ended.stderr
