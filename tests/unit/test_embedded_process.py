"""One server process and its folder: readiness, failures that say why, leftovers of a crash, kill and restart."""

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from cli.embedded.errors import ServerInUseError, ServerStartError
from cli.embedded.process import HomeLock, ServerProcess, ServerSpec
from cli.embedded.processes import end_leftovers, is_server_of

# A server small enough for these rules: it writes "up" into its folder, starts a child, and waits.
PROGRAM = """
import pathlib, subprocess, sys, time
home = pathlib.Path(sys.argv[1])
print("starting", flush=True)
subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)", str(home)])
(home / "up").write_text("up")
time.sleep(60)
"""


def spec_of(home: Path, program: str = PROGRAM, ready_within_s: float = 20.0) -> ServerSpec:
    return ServerSpec(
        "the test server", home, (sys.executable, "-c", program, str(home)), ready_within_s=ready_within_s
    )


def server_in(home: Path, spec: ServerSpec | None = None) -> ServerProcess:
    return ServerProcess(spec or spec_of(home), lambda _pid: (home / "up").exists(), HomeLock(home, "the test server"))


@pytest.fixture
def running(tmp_path: Path) -> Iterator[ServerProcess]:
    server = server_in(tmp_path)
    server.start()
    yield server
    server.kill()
    server.stop()


def test_server_that_ends_early_is_reported_with_the_end_of_its_log(tmp_path: Path) -> None:
    """A server that ends before it is ready fails the start at once, and the error quotes what it printed."""
    # Given a program that complains and ends
    spec = spec_of(tmp_path, "import sys; print('no room on the disk'); sys.exit(3)")
    server = server_in(tmp_path, spec)

    # When it is started
    with pytest.raises(ServerStartError) as caught:
        server.start()

    # Then the error has the exit code and the complaint
    assert "exit code 3" in str(caught.value)
    assert "no room on the disk" in str(caught.value)
    server.stop()


def test_server_that_is_never_ready_is_ended_after_its_time(tmp_path: Path) -> None:
    """The wait for readiness is bounded, and a server that missed it does not run on."""
    # Given a program that runs and never says "up"
    spec = spec_of(tmp_path, "import time; print('still thinking', flush=True); time.sleep(60)", ready_within_s=0.6)
    server = server_in(tmp_path, spec)

    # When it is started
    began = time.monotonic()
    with pytest.raises(ServerStartError, match=r"not ready within 0\.6 s") as caught:
        server.start()

    # Then the start gave up in time, quoted the log, and left nothing running
    assert time.monotonic() - began < 10
    assert "still thinking" in str(caught.value)
    assert not server.is_running
    server.stop()


def test_folder_in_use_is_refused_while_its_owner_lives(tmp_path: Path) -> None:
    """A second start in the same folder is refused, and works once the first has let go."""
    # Given a held folder
    first = HomeLock(tmp_path, "the test server")

    # When a second wants it
    with pytest.raises(ServerInUseError, match="in use by another running process"):
        HomeLock(tmp_path, "the test server")

    # Then it gets it after the first let go
    first.release()
    second = HomeLock(tmp_path, "the test server")
    second.release()


def test_kill_takes_the_children_along_and_restart_works(running: ServerProcess, tmp_path: Path) -> None:
    """After ``kill`` nothing of the server runs; ``restart`` starts it again in the same folder."""
    # Given a server with a child
    first = running.pid
    children = psutil.Process(first).children()
    assert len(children) == 1

    # When it is killed
    running.kill()

    # Then neither runs (a zombie that nobody has counted yet does not run)
    assert not is_server_of(first, tmp_path)
    assert not [child for child in children if child.is_running() and child.status() != psutil.STATUS_ZOMBIE]

    # And it can be brought back
    (tmp_path / "up").unlink()
    running.restart()
    assert is_server_of(running.pid, tmp_path)
    assert running.pid != first


def test_stopping_twice_is_harmless(running: ServerProcess) -> None:
    """``stop`` ends the server and removes its pid file; a second ``stop`` changes nothing."""
    # Given a running server / When it is stopped twice
    running.stop()
    running.stop()

    # Then it is down and its pid file is gone
    assert not running.is_running
    assert not running.spec.pid_path.exists()
    with pytest.raises(ServerStartError, match="is not running"):
        _ = running.pid


def test_leftover_server_is_ended_and_its_pid_file_removed(tmp_path: Path) -> None:
    """A server that outlived its starter is stopped by the next start in the folder."""
    # Given a server whose starter is gone: it runs, its pid file lies there, nobody holds the folder
    spec = spec_of(tmp_path)
    with subprocess.Popen(spec.argv, stdout=subprocess.PIPE) as leftover:
        assert leftover.stdout is not None
        leftover.stdout.readline()
        spec.pid_path.write_text(f"{leftover.pid}\n")

        # When the next start clears the folder
        end_leftovers(tmp_path, [spec.pid_path], spec.stop_signal, within_s=10)

        # Then it has ended by the signal and the pid file is gone
        assert leftover.wait(10) == -spec.stop_signal
    assert not spec.pid_path.exists()


@pytest.mark.parametrize("content", ["{pid}\n", "not a number\n", "", "99999999\n"])
def test_stale_pid_file_never_ends_a_stranger(content: str, tmp_path: Path) -> None:
    """A pid file whose number now belongs to another program, or to none, is removed and nobody is signalled."""
    # Given a pid file that names this very test process, or nothing that runs
    path = tmp_path / "server.pid"
    path.write_text(content.format(pid=psutil.Process().pid))

    # When it is cleared
    end_leftovers(tmp_path / "home", [path], spec_of(tmp_path).stop_signal, within_s=1)

    # Then the file is gone (and this test is still here to say so)
    assert not path.exists()


def test_process_of_another_folder_is_not_ours(tmp_path: Path) -> None:
    """Only a process whose command line names the folder counts as the folder's server."""
    # Given a process that names one folder
    program = "import time; print('up', flush=True); time.sleep(60)"
    argv = (sys.executable, "-c", program, str(tmp_path / "a"))
    with subprocess.Popen(argv, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()

        # When both folders ask / Then only the named one knows it
        assert is_server_of(process.pid, tmp_path / "a")
        assert not is_server_of(process.pid, tmp_path / "b")
        process.kill()
