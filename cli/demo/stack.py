"""Everything that the demo runs on, under one folder: PostgreSQL, a broker, the sandbox CRMs, API, worker and relay."""

import os
import secrets
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from uuid import UUID

import cli
from cli.database import migrate, opened
from cli.demo.children import Child, ChildSpec, stop_all
from cli.embedded import broker, postgres
from cli.embedded.errors import EmbeddedServerError
from cli.embedded.ports import LOOPBACK, free_port
from cli.embedded.process import HomeLock
from cli.kafka import create_topics
from cli.problems import Unreachable
from cli.sandbox_settings import settings_lines
from cli.settings import KafkaAccess
from cli.topic_plan import TopicChoice, topic_specs
from cli.web import is_answering
from crm.settings import load
from crm.store import workspaces
from crm.vault import new_master_key
from producer_api.development_tokens import issue
from sandbox.config import SandboxConfig

_PARTITIONS: Final = 6
_TOKEN_TTL_S: Final = 12 * 3600
#: Settings of a person's own installation must not leak into the demo.
_FOREIGN: Final = ("CRM_SYNC_", "CRM_SANDBOX_", "KAFKA_", "SALESFORCE_", "HUBSPOT_", "INTEGRATION_", "DATABASE_URL")

Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Stack:
    """The running demo.

    Attributes:
        settings: The environment variables with which `crm-sync` commands reach it.
        children: The programs of this service.
    """

    home: Path
    logs: Path
    api_url: str
    sandbox_url: str
    database_url: str
    kafka: KafkaAccess
    workspace_id: UUID
    settings: Mapping[str, str]
    children: tuple[Child, ...]

    def check(self) -> None:
        """Raise Unreachable when one of the programs has ended."""
        for child in self.children:
            child.check()


@contextmanager
def running_stack(base: Path, tell: Tell) -> Iterator[Stack]:
    """Start everything; stop everything at the end, also after an error or Ctrl-C.

    Args:
        base: The folder `.devstack`; made when absent. The demo's earlier data in it is thrown away.
        tell: Told what is being started.

    Raises:
        Unreachable: A part is missing or did not start; the text says which and what to do.
    """
    home, logs = base / "demo", base / "logs"
    with ExitStack() as cleanup:
        try:
            yield _start(home.resolve(), logs.resolve(), tell, cleanup)
        except EmbeddedServerError as problem:
            raise Unreachable(str(problem)) from None


def _start(home: Path, logs: Path, tell: Tell, cleanup: ExitStack) -> Stack:
    lock = HomeLock(home, "a demo")
    cleanup.callback(lock.release)
    logs.mkdir(parents=True, exist_ok=True)
    tell("PostgreSQL")
    database = cleanup.enter_context(postgres.start(postgres.PostgresConfig(_fresh(home / "postgres"))))
    tell("Kafka-compatible broker")
    kafka_broker = cleanup.enter_context(broker.start(broker.BrokerConfig(_fresh(home / "broker"))))
    kafka = load(KafkaAccess, KAFKA_BOOTSTRAP_SERVERS=kafka_broker.bootstrap_servers, CRM_SYNC_TOPIC_PREFIX="")
    tell("tables and topics")
    migrate(database.url)
    create_topics(kafka.kafka_bootstrap_servers, topic_specs(kafka.topics, TopicChoice(_PARTITIONS)))
    with opened(database.url) as engine, engine.begin() as connection:
        workspace_id = workspaces.create(connection, "Demo workspace").id
    ports = {name: free_port() for name in ("api", "sandbox", "worker", "relay")}
    settings = _settings(database.url, kafka.kafka_bootstrap_servers, workspace_id, ports)
    tell("sandbox CRMs, API, worker, relay")
    children = _start_children(home, logs, settings, ports, cleanup)
    return Stack(
        home,
        logs,
        settings["CRM_SYNC_API_URL"],
        settings["CRM_SANDBOX_ORIGIN"],
        database.url,
        kafka,
        workspace_id,
        settings,
        children,
    )


def _fresh(home: Path) -> Path:
    """Throw away what an earlier demo left: its CRMs were in memory, so its data has lost its other half.

    Moved aside first, since a server that a crash left running may still write into it; its pid file stays, by which it
    is found and stopped.
    """
    if (home / "data").exists():
        (home / "data").rename(home / f"old.{secrets.token_hex(4)}")
    for old in home.glob("old.*"):
        shutil.rmtree(old, ignore_errors=True)
    return home


def _settings(database_url: str, servers: str, workspace_id: UUID, ports: Mapping[str, int]) -> dict[str, str]:
    secret = secrets.token_urlsafe(32)
    api_url = f"http://{LOOPBACK}:{ports['api']}"
    sandbox = settings_lines(f"http://{LOOPBACK}:{ports['sandbox']}", SandboxConfig())
    token = issue(
        secret, workspace_id=workspace_id, scopes=["admin"], subject="the person at the demo", ttl_s=_TOKEN_TTL_S
    )
    return {
        "DATABASE_URL": database_url,
        "KAFKA_BOOTSTRAP_SERVERS": servers,
        "CRM_SYNC_MASTER_KEYS": new_master_key("demo"),
        "INTEGRATION_OAUTH_REDIRECT_BASE": f"{api_url}/api/v1/integrations/callback",
        "CRM_SYNC_JWT_SECRET": secret,
        "CRM_SYNC_API_HOST": LOOPBACK,
        "CRM_SYNC_API_PORT": str(ports["api"]),
        "CRM_SYNC_API_URL": api_url,
        "CRM_SYNC_API_TOKEN": token,
        "CRM_SYNC_WORKSPACE": str(workspace_id),
        **dict(line.split("=", 1) for line in sandbox),
    }


def _start_children(
    home: Path, logs: Path, settings: Mapping[str, str], ports: Mapping[str, int], cleanup: ExitStack
) -> tuple[Child, ...]:
    def at(name: str, path: str) -> Callable[[], bool]:
        return lambda: is_answering(f"http://{LOOPBACK}:{ports[name]}{path}")

    specs = (
        ChildSpec(
            "sandbox",
            ("sandbox", "--port", str(ports["sandbox"]), "--search-delay-ms", "0"),
            at("sandbox", "/_sandbox/stats"),
        ),
        ChildSpec("api", ("api",), at("api", "/readyz")),
        ChildSpec("worker", ("worker",), at("worker", "/readyz")),
        ChildSpec("relay", ("relay",), at("relay", "/readyz")),
    )
    children: list[Child] = []
    cleanup.callback(lambda: stop_all(children))
    for spec in specs:
        health = {"CRM_SYNC_HEALTH_PORT": str(ports[spec.name])} if spec.name in {"worker", "relay"} else {}
        children.append(Child(spec, home, logs, child_environment({**settings, **health})))
    for child in children:
        child.wait_until_ready()
    return tuple(children)


def child_environment(settings: Mapping[str, str]) -> dict[str, str]:
    """Our own environment without a person's settings of this service, with the demo's; and the way to our packages."""
    own = {name: value for name, value in os.environ.items() if not name.startswith(_FOREIGN)}
    packages = str(Path(str(cli.__file__)).resolve().parent.parent)
    path = os.pathsep.join(filter(None, (packages, own.get("PYTHONPATH"))))
    return {**own, **settings, "PYTHONPATH": path, "PYTHONUNBUFFERED": "1"}


def write_settings(stack: Stack) -> Path:
    """A file for `source`, with which `crm-sync` in another terminal reaches the demo; readable by its owner only."""
    path = stack.home / "env"
    path.touch(mode=0o600)
    lines = [f"export {name}='{value}'" for name, value in stack.settings.items()]
    lines.append(f"export PATH='{Path(sys.executable).parent}':\"$PATH\"")  # where `crm-sync` is installed
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path
