"""`crm-sync demo`: the whole product on one machine, as a person starts it."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

STARTS_WITHIN_S = 90.0


def _argv(home: Path, *options: str) -> list[str]:
    return [sys.executable, "-m", "cli.main", "demo", "--home", str(home), *options]


def _programs_of(home: Path) -> list[str]:
    """The command lines of living processes that belong to a demo's folder."""
    found = []
    for process in psutil.process_iter(["cmdline", "status"]):
        words = process.info["cmdline"] or []
        if process.info["status"] != psutil.STATUS_ZOMBIE and any(str(home) in word for word in words):
            found.append(" ".join(words))
    return found


def _wait_for_text(path: Path, text: str, process: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + STARTS_WITHIN_S
    while text not in path.read_text(encoding="utf-8"):
        assert process.poll() is None, path.read_text(encoding="utf-8")
        assert time.monotonic() < deadline, path.read_text(encoding="utf-8")
        time.sleep(0.1)


@pytest.mark.timeout(300)
def test_once_ends_by_itself_with_one_json_line(tmp_path: Path) -> None:
    """`demo --once --json` ends with 0; its last line has the numbers as read back, and nothing keeps running."""
    # Given / When
    done = subprocess.run(_argv(tmp_path, "--once", "--json"), capture_output=True, text=True, check=False)
    # Then
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout.splitlines()[-1])
    assert set(document) == {
        "salesforce",
        "hubspot",
        "history_rows",
        "result_events",
        "duplicate_result_events",
        "sandbox_matches_pushed",
    }
    for slug in ("salesforce", "hubspot"):
        push, pull = document[slug]["push"], document[slug]["pull"]
        assert push["records"] == 310
        assert push["records"] == sum(push[a] for a in ("created", "updated", "unchanged", "skipped", "failed"))
        assert push["failed"] > 0
        assert 0 < push["api_calls"] < 40
        assert 0 < pull["records"] <= push["created"]
    assert document["sandbox_matches_pushed"] is True
    assert document["duplicate_result_events"] == 0
    assert document["history_rows"] == document["result_events"] >= 12
    assert _programs_of(tmp_path) == []


@pytest.mark.timeout(300)
def test_stays_up_for_other_commands_and_stops_on_ctrl_c(tmp_path: Path) -> None:
    """It stays up; its settings file lets `crm-sync` reach it; Ctrl-C ends it with 0 and leaves nothing running."""
    # Given
    log = tmp_path / "demo.txt"
    with log.open("wb") as output:
        demo = subprocess.Popen(_argv(tmp_path), stdout=output, stderr=subprocess.STDOUT)
    try:
        _wait_for_text(log, "logs: ", demo)
        # When
        shell = f'. "{tmp_path}/demo/env" && "{sys.executable}" -m cli.main'
        doctor = subprocess.run(["sh", "-c", f"{shell} doctor --json"], capture_output=True, text=True, check=False)
        history = subprocess.run(["sh", "-c", f"{shell} history --json"], capture_output=True, text=True, check=False)
        demo.send_signal(signal.SIGINT)
        code = demo.wait(60)
    finally:
        demo.kill()
    # Then
    assert json.loads(doctor.stdout)["healthy"] is True, doctor.stdout
    assert len(json.loads(history.stdout)) >= 12
    assert code == 0, log.read_text(encoding="utf-8")
    assert _programs_of(tmp_path) == []


@pytest.mark.timeout(300)
def test_a_dead_worker_ends_the_demo_with_its_log(tmp_path: Path) -> None:
    """When a part dies the demo says which, shows the end of its log, stops the rest and ends with code 4."""
    # Given
    log = tmp_path / "demo.txt"
    with log.open("wb") as output:
        demo = subprocess.Popen(_argv(tmp_path), stdout=output, stderr=subprocess.STDOUT)
    try:
        _wait_for_text(log, "logs: ", demo)
        children = psutil.Process(demo.pid).children()
        worker = next(child for child in children if child.cmdline()[-1] == "worker")
        # When
        os.kill(worker.pid, signal.SIGKILL)
        code = demo.wait(60)
    finally:
        demo.kill()
    # Then
    told = log.read_text(encoding="utf-8")
    assert code == 4, told
    assert "Error: the worker ended with exit code -9; the end of " in told
    assert "Traceback" not in told
    assert _programs_of(tmp_path) == []


@pytest.mark.timeout(300)
def test_programs_end_when_the_demo_is_killed(tmp_path: Path) -> None:
    """After a SIGKILL of the demo its programs end by themselves; the next demo stops the servers that are left."""
    # Given
    log = tmp_path / "demo.txt"
    with log.open("wb") as output:
        demo = subprocess.Popen(_argv(tmp_path), stdout=output, stderr=subprocess.STDOUT)
    try:
        _wait_for_text(log, "logs: ", demo)
    finally:
        # When
        demo.kill()
        demo.wait()
    deadline = time.monotonic() + 60
    while any("cli.demo.child" in line for line in _programs_of(tmp_path)) and time.monotonic() < deadline:
        time.sleep(0.1)
    left = [line for line in _programs_of(tmp_path) if "cli.demo.child" in line]
    again = subprocess.run(_argv(tmp_path, "--once", "--json"), capture_output=True, text=True, check=False)
    # Then
    assert left == []
    assert again.returncode == 0, again.stderr
    assert _programs_of(tmp_path) == []
