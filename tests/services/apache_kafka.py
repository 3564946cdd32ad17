"""Apache Kafka on this machine's JVM: one KRaft node on 127.0.0.1, its jars fetched by Maven."""

import os
import shutil
import subprocess
import uuid
from base64 import urlsafe_b64encode
from dataclasses import dataclass
from pathlib import Path

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from cli.embedded.errors import ServerMissingError, ServerStartError
from cli.embedded.ports import LOOPBACK, free_port
from cli.embedded.process import HomeLock, ServerProcess, ServerSpec
from cli.embedded.processes import end_leftovers, listening_addresses
from cli.embedded.running import RunningServer

NAME = "Apache Kafka"
NODE_ID = 1
HEAP = "512m"
JVM_FLAGS = (
    f"-Xmx{HEAP}",
    f"-Xms{HEAP}",
    "-XX:+UseG1GC",
    "-XX:TieredStopAtLevel=1",  # two cores and short runs: the second compiler costs more than it gives
    "-Djava.awt.headless=true",
    "-Djava.net.preferIPv4Stack=true",  # a plain 127.0.0.1 in the kernel's table, not an IPv6 form of it
    "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
    "-Dorg.slf4j.simpleLogger.showDateTime=true",
)


@dataclass(frozen=True, slots=True)
class KafkaConfig:
    """Where the broker keeps its files and finds its jars.

    Attributes:
        home: Its folder; made and formatted when absent, its data is used again when present.
        libs: Folder of the jars that ``tests/kafka/pom.xml`` names.
        port: TCP port of the clients' listener on 127.0.0.1; None takes a free one.
        ready_within_s: Longest wait until it answers a client, in seconds.
    """

    home: Path
    libs: Path
    port: int | None = None
    ready_within_s: float = 90.0


@dataclass(frozen=True, slots=True)
class RunningKafka(RunningServer):
    """A started Apache Kafka.

    Attributes:
        bootstrap_servers: ``host:port``, as Kafka clients take it.
    """

    bootstrap_servers: str


def node_properties(data: Path, port: int, controller_port: int) -> dict[str, str]:
    """Return the node's settings: broker and controller in one process, no waiting that a single test node needs not.

    Names as on https://kafka.apache.org/documentation/#brokerconfigs.
    """
    return {
        "process.roles": "broker,controller",
        "node.id": str(NODE_ID),
        "controller.quorum.voters": f"{NODE_ID}@{LOOPBACK}:{controller_port}",
        "listeners": f"PLAINTEXT://{LOOPBACK}:{port},CONTROLLER://{LOOPBACK}:{controller_port}",
        "advertised.listeners": f"PLAINTEXT://{LOOPBACK}:{port}",
        "controller.listener.names": "CONTROLLER",
        "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "log.dirs": str(data),
        # After a SIGKILL the node may register again only when its old session has ended (9 s unless said otherwise).
        "broker.session.timeout.ms": "3000",
        "broker.heartbeat.interval.ms": "500",
        "num.partitions": "1",
        "auto.create.topics.enable": "false",
        "group.initial.rebalance.delay.ms": "0",
        "group.min.session.timeout.ms": "1000",
        "group.consumer.min.session.timeout.ms": "1000",
        "group.consumer.min.heartbeat.interval.ms": "200",
        "offsets.topic.num.partitions": "2",
        "offsets.topic.replication.factor": "1",
        "transaction.state.log.num.partitions": "2",
        "transaction.state.log.replication.factor": "1",
        "transaction.state.log.min.isr": "1",
        "share.coordinator.state.topic.num.partitions": "1",
        "share.coordinator.state.topic.replication.factor": "1",
        "share.coordinator.state.topic.min.isr": "1",
        "transaction.abort.timed.out.transaction.cleanup.interval.ms": "1000",
        "num.network.threads": "2",
        "num.io.threads": "4",
        "log.cleaner.dedupe.buffer.size": str(16 * 1024 * 1024),
    }


def start(config: KafkaConfig) -> RunningKafka:
    """Start Apache Kafka on 127.0.0.1 and wait until it answers a client.

    Raises:
        ServerMissingError: No Java, or the jars were not fetched.
        ServerInUseError: Another living process uses the folder.
        ServerStartError: It did not come up; the text holds the end of its log.
    """
    java, class_path = _java(), _class_path(config.libs)
    home = config.home.resolve()
    lock = HomeLock(home, NAME)
    try:
        port = config.port or free_port()
        properties = home / "server.properties"
        spec = ServerSpec(
            name=NAME,
            home=home,
            argv=(java, *JVM_FLAGS, "-cp", class_path, "kafka.Kafka", str(properties)),
            ready_within_s=config.ready_within_s,
            stop_within_s=30.0,
        )
        end_leftovers(home, (spec.pid_path,), spec.stop_signal, spec.stop_within_s)
        settings = node_properties(home / "data", port, free_port())
        properties.write_text("".join(f"{name}={value}\n" for name, value in settings.items()), encoding="utf-8")
        if not (home / "data" / "meta.properties").exists():
            _format(java, class_path, properties)
        process = ServerProcess(spec, lambda pid: _answers(pid, port), lock)
        process.start()
    except BaseException:
        lock.release()
        raise
    return RunningKafka(process, f"{LOOPBACK}:{port}")


def _java() -> str:
    home = os.environ.get("JAVA_HOME")
    java = shutil.which("java", path=f"{home}/bin") if home else shutil.which("java")
    if java is None:
        raise ServerMissingError(f"{NAME} needs Java 17 or newer, and there is no `java` on this machine")
    return java


def _class_path(libs: Path) -> str:
    if not any(libs.glob("kafka_2.13-*.jar")):
        raise ServerMissingError(f"the jars of {NAME} are not in {libs}; `make test-kafka` fetches them")
    return f"{libs.resolve()}/*"


def _format(java: str, class_path: str, properties: Path) -> None:
    """Prepare the data folder for a new cluster, as KRaft demands before the first start."""
    cluster_id = urlsafe_b64encode(uuid.uuid4().bytes).decode("ascii").rstrip("=")
    tool = (java, *JVM_FLAGS, "-cp", class_path, "kafka.tools.StorageTool")
    done = subprocess.run(
        (*tool, "format", "--cluster-id", cluster_id, "--config", str(properties)),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    if done.returncode != 0:
        raise ServerStartError(f"{NAME}: formatting the storage failed:\n{done.stdout}{done.stderr}")


def _answers(pid: int, port: int) -> bool:
    """Tell whether the broker listens and knows itself: before that, metadata names no broker."""
    if (LOOPBACK, port) not in listening_addresses(pid):
        return False
    admin = AdminClient({"bootstrap.servers": f"{LOOPBACK}:{port}", "log_level": 0})
    try:
        return bool(admin.list_topics(timeout=1.0).brokers)
    except KafkaException:
        return False
