"""A whole house for the tests of the road of a command: worker and relay as processes, real broker, database and CRMs.

Commands are published as an upstream service would; results are read by a separate `read_committed` consumer.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

from confluent_kafka import Consumer, KafkaError, Producer, TopicPartition
from sqlalchemy import text

from consumer.settings import RelaySettings, WorkerSettings
from crm import bootstrap
from crm.model import OAuthTokens
from crm.settings import load
from crm.store import connections, workspaces
from crm.store.outbox import SHARDS
from crm.vault import token_purpose
from sandbox.config import Crm
from sandbox.remote import RemoteSandbox
from services.broker import TopicFactory

MASTER_KEY = "k1:dmlzaWJseSBmYWtlIG1hc3RlciBrZXkgMzIgYnl0ZXM="
PARTS = {
    "worker": "from consumer.settings import WorkerSettings as S; from consumer.worker import run",
    "relay": "from consumer.settings import RelaySettings as S; from consumer.relay import run",
}


@dataclass
class Part:
    """A worker or relay process."""

    name: str
    process: subprocess.Popen[bytes]
    log: Path

    def kill(self) -> None:
        """SIGKILL: no chance to clean up."""
        self.process.kill()
        self.process.wait(10)

    def stop(self, timeout_s: float = 40) -> int:
        """SIGTERM, and the exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout_s)

    def tail(self) -> str:
        """The end of what it logged."""
        return self.log.read_text(errors="replace")[-4000:]


@dataclass
class House:
    """Everything that the road of a command needs, with names of the test's own."""

    environment: Mapping[str, str]
    prefix: str
    bootstrap_servers: str
    sandbox: RemoteSandbox
    folder: Path
    parts: list[Part] = field(default_factory=list)

    def __post_init__(self) -> None:
        with self.environ():
            self.inside = bootstrap.build(load(WorkerSettings), application_name="test", pool_size=4)
            self.relay_settings = load(RelaySettings)
        self.producer = Producer(
            {
                "bootstrap.servers": self.bootstrap_servers,
                "partitioner": "murmur2_random",
                # A publisher may send more than this service takes.
                "message.max.bytes": 5_000_000,
            }
        )

    @contextmanager
    def environ(self) -> Iterator[None]:
        """The house's variables as this process's own, for as long as the block lasts."""
        before = dict(os.environ)
        os.environ.update(self.environment)
        try:
            yield
        finally:
            os.environ.clear()
            os.environ.update(before)

    def start(self, name: str, **settings: str) -> Part:
        """Start a worker or a relay with further environment variables."""
        log = self.folder / f"{name}-{len(self.parts)}.log"
        with log.open("wb") as output:
            code = f"import sys; from crm.settings import load; {PARTS[name]}; sys.exit(run(load(S)))"
            process = subprocess.Popen(  # the program's own start, without the command line around it
                [sys.executable, "-c", code], env={**os.environ, **self.environment, **settings}, stderr=output
            )
        part = Part(name, process, log)
        self.parts.append(part)
        return part

    def close(self) -> None:
        """End every process that still runs."""
        for part in self.parts:
            if part.process.poll() is None:
                part.process.send_signal(signal.SIGCONT)
                part.kill()
        self.inside.engine.dispose()

    def workspace(self) -> UUID:
        """A new workspace."""
        with self.inside.engine.begin() as connection:
            return workspaces.create(connection, "Test").id

    def connect(self, workspace_id: UUID, slug: Crm, account_id: str | None = None) -> str:
        """Connect a CRM with tokens that the sandbox grants; returns the CRM account's id."""
        account_id = account_id or self.sandbox.account_ids(slug)[0]
        grant = self.sandbox.tokens(slug, account_id)
        tokens = OAuthTokens(
            access_token=grant["access_token"],
            refresh_token=grant["refresh_token"],
            account_id=account_id,
            instance_url=grant.get("instance_url"),
        )
        sealed = self.inside.vault.seal(tokens.to_json(), workspace_id=workspace_id, purpose=token_purpose(slug))
        with self.inside.engine.begin() as connection:
            connections.save_connected(
                connection, workspace_id, slug, tokens=tokens, sealed=sealed, connected_by="test"
            )
        return account_id

    def publish(self, command: Mapping[str, Any], **message: Any) -> None:
        """Publish a command as an upstream service would; `key`, `headers`, `value` may be put in its place."""
        key = f"{command.get('workspace_id')}:{command.get('integration')}"
        content = {"key": key, "value": json.dumps(command), **message}
        self.producer.produce(self.inside.topics.commands, **content)
        self.producer.poll(0)

    def publish_raw(self, value: bytes | None, **message: Any) -> None:
        """Publish bytes."""
        self.producer.produce(self.inside.topics.commands, value=value, **message)
        self.producer.flush(10)

    def rows(self, statement: str, **values: Any) -> list[Any]:
        """Rows of the database."""
        with self.inside.engine.begin() as connection:
            return list(connection.execute(text(statement), values))

    def messages(self, topic: str) -> list[Any]:
        """Every committed message of a topic, from the beginning."""
        self.producer.flush(10)
        return read_all(self.bootstrap_servers, topic)

    def results(self) -> list[dict[str, Any]]:
        """Every committed result."""
        return [json.loads(message.value()) for message in self.messages(self.inside.topics.results)]

    def wait_for_results(self, count: int, within_s: float = 40) -> list[dict[str, Any]]:
        """At least so many results, or a failure that shows the processes' logs."""
        found: list[dict[str, Any]] = []

        def enough() -> bool:
            found[:] = self.results()
            return len(found) >= count

        wait_until(enough, within_s, lambda: f"{len(found)} of {count} results\n{self.logs()}")
        return found

    def result_of(self, command_id: str, within_s: float = 40) -> dict[str, Any]:
        """The one result of a command."""
        found: list[dict[str, Any]] = []

        def there() -> bool:
            found[:] = [result for result in self.results() if result["command_id"] == command_id]
            return bool(found)

        wait_until(there, within_s, lambda: f"no result for {command_id}\n{self.logs()}")
        assert len(found) == 1
        return found[0]

    def logs(self) -> str:
        """The ends of the logs of all processes."""
        return "\n".join(f"--- {part.name} (exit {part.process.poll()})\n{part.tail()}" for part in self.parts)


def push(workspace_id: UUID, slug: str, records: Sequence[Mapping[str, Any]], **more: Any) -> dict[str, Any]:
    """A push command with an id of its own; each of `records` is a mapping of Morket fields."""
    return {
        "command_id": str(uuid4()),
        "workspace_id": str(workspace_id),
        "integration": slug,
        "direction": "push",
        "entity": "person",
        "records": [{"ref": f"r{index}", "fields": dict(record)} for index, record in enumerate(records)],
        **more,
    }


def person(number: int | str, **fields: Any) -> dict[str, Any]:
    """The fields of a person."""
    return {"email": f"p{number}@example.com", "last_name": f"Person {number}", "company_name": "Example", **fields}


def wait_until(condition: Callable[[], bool], within_s: float, explain: Callable[[], str]) -> None:
    """Poll until `condition` holds; fail with `explain()` after `within_s` seconds."""
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline, explain()
        time.sleep(0.1)


def read_all(bootstrap_servers: str, topic: str) -> list[Any]:
    """Every message of a topic that a `read_committed` reader sees now."""
    reader = Consumer(
        {
            "bootstrap.servers": bootstrap_servers,
            "group.id": f"reader-{uuid4()}",
            "isolation.level": "read_committed",
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "fetch.wait.max.ms": 20,
        }
    )
    try:
        partitions = reader.list_topics(topic, timeout=10).topics[topic].partitions
        reader.assign([TopicPartition(topic, partition, 0) for partition in partitions])
        found, ended = [], 0
        while ended < len(partitions):
            message = reader.poll(10)
            assert message is not None, "the broker does not answer the reader"
            error = message.error()
            if error is None:
                found.append(message)
            elif error.code() == KafkaError._PARTITION_EOF:
                ended += 1
        return found
    finally:
        reader.close()


@contextmanager
def open_house(
    folder: Path,
    database_url: str,
    bootstrap_servers: str,
    sandbox_origin: str,
    *,
    partitions: int = 4,
    topic_config: Mapping[str, Mapping[str, str]] | None = None,
    **settings: str,
) -> Iterator[House]:
    """A house with topics of its own; workers and relays are started by the test.

    Args:
        folder: For the logs of its processes.
        database_url: A migrated database.
        bootstrap_servers: The broker.
        sandbox_origin: The simulated CRMs.
        partitions: Of every topic but the relay's cursor.
        topic_config: Settings of single topics: `{"results": {"max.message.bytes": "5000"}}`.
        settings: Further environment variables of all its processes.
    """
    factory = TopicFactory(bootstrap_servers)
    for name in ("commands", "results", "records", "dead_letters", "connections"):
        factory(f"crm.sync.{name}", partitions=partitions, config=(topic_config or {}).get(name))
    factory("crm.sync.relay_cursor", partitions=SHARDS, config={"cleanup.policy": "compact"})
    environment = {
        "DATABASE_URL": database_url,
        "KAFKA_BOOTSTRAP_SERVERS": bootstrap_servers,
        "CRM_SYNC_MASTER_KEYS": MASTER_KEY,
        "CRM_SYNC_TOPIC_PREFIX": f"{factory.prefix}.",
        "CRM_SYNC_GROUP_ID": f"{factory.prefix}-workers",
        "CRM_SYNC_RELAY_PREFIX": factory.prefix,
        "INTEGRATION_OAUTH_REDIRECT_BASE": "http://127.0.0.1:8000/api/v1/integrations/callback",
        "CRM_SANDBOX_ORIGIN": sandbox_origin,
        "SALESFORCE_CLIENT_ID": "sandbox-salesforce-client",
        "SALESFORCE_CLIENT_SECRET": "sandbox-salesforce-secret-not-real",
        "HUBSPOT_CLIENT_ID": "sandbox-hubspot-client",
        "HUBSPOT_CLIENT_SECRET": "sandbox-hubspot-secret-not-real",
        # Short, so that a takeover after a SIGKILL takes seconds.
        "CRM_SYNC_CALL_TIMEOUT_S": "3",
        "CRM_SYNC_LEASE_S": "5",
        "CRM_SYNC_LEASE_RENEWAL_S": "0.5",
        "CRM_SYNC_SESSION_TIMEOUT_S": "6",
        **settings,
    }
    house = House(environment, factory.prefix, bootstrap_servers, RemoteSandbox(sandbox_origin), folder)
    try:
        yield house
    finally:
        house.close()
