"""The relay process: one thread a shard, a listener that wakes them, a watchdog, signals, exit code."""

import os
import threading
import time
from collections.abc import Sequence

import structlog

from consumer.health import HealthServer
from consumer.housekeeping import Housekeeping
from consumer.kafka_client import cursor_reader, wait_for_broker
from consumer.process import STOPPED, not_started, stop_on_signals
from consumer.relay_shard import ShardRelay
from consumer.settings import RelaySettings
from crm import logs
from crm.store import outbox_batches
from crm.store.engine import DatabaseUnavailable, Engine, create_engine, wait_for_database
from crm.store.outbox import SHARDS

log = structlog.get_logger()

#: The watchdog's exit code: a supervisor starts the relay anew, and the cursor says where to go on.
STUCK = 4
WATCH_EVERY_S = 1.0


def run(settings: RelaySettings) -> int:
    """Relay until SIGTERM or SIGINT; batches under way are finished first.

    Several relays share the shards. Returns 0 after a stop that was asked for, 3 when database or broker did not answer
    in time; exits with 4 when a shard makes no progress for `watchdog_s`.
    """
    logs.configure(settings.log_level)
    url = settings.database_url.get_secret_value()
    engine = create_engine(url, pool_size=SHARDS + 2, application_name="crm-sync-relay")
    if reason := wait_for_database(engine, settings.start_timeout_s):
        return not_started("PostgreSQL", "DATABASE_URL", reason)
    reader = cursor_reader(settings)
    reason = wait_for_broker(reader, settings.start_timeout_s)
    reader.close()
    if reason:
        return not_started(f"Kafka at {settings.kafka_bootstrap_servers}", "KAFKA_BOOTSTRAP_SERVERS", reason)
    stopping = threading.Event()
    stop_on_signals(stopping)
    shards = [ShardRelay(shard, engine, settings, stopping) for shard in range(SHARDS)]
    health = HealthServer(settings.health_host, settings.health_port, lambda: _problems(engine, shards, settings))
    health.start()
    housekeeping = Housekeeping(engine, lambda rows: outbox_batches.forget_sent(rows, settings.keep_sent_s))
    housekeeping.start()
    log.info("relay_started", shards=len(shards))
    _serve(shards, engine, settings, stopping)
    housekeeping.stop()
    health.stop()
    engine.dispose()
    return STOPPED


def _serve(shards: Sequence[ShardRelay], engine: Engine, settings: RelaySettings, stopping: threading.Event) -> None:
    threads = [threading.Thread(target=shard.run, name=f"shard-{n}", daemon=True) for n, shard in enumerate(shards)]
    listener = threading.Thread(target=_listen, args=(engine, shards, stopping), name="outbox-listener", daemon=True)
    for thread in (*threads, listener):
        thread.start()
    while not stopping.wait(WATCH_EVERY_S):
        _exit_when_stuck(shards, settings.watchdog_s)
    for shard in shards:
        shard.wake.set()
    for thread in threads:
        thread.join(timeout=settings.watchdog_s)


def _exit_when_stuck(shards: Sequence[ShardRelay], watchdog_s: float) -> None:
    """A client call that never comes back cannot be interrupted: only a new process helps."""
    for number, shard in enumerate(shards):
        busy_since = shard.busy_since
        if busy_since is not None and time.monotonic() - busy_since > watchdog_s:
            log.error("relay_stuck", shard=number, seconds=watchdog_s)
            os._exit(STUCK)


def _listen(engine: Engine, shards: Sequence[ShardRelay], stopping: threading.Event) -> None:
    """Wake the shards when something was committed to the outbox; without it they look once a second anyway."""
    while not stopping.is_set():
        try:
            listener = outbox_batches.OutboxListener(engine)
            while not stopping.is_set():
                if listener.wait(WATCH_EVERY_S):
                    for shard in shards:
                        shard.wake.set()
        except Exception:
            # Whatever it is: the shards look once a second, and this thread tries again.
            log.exception("outbox_listener_lost")
            stopping.wait(WATCH_EVERY_S)


def _problems(engine: Engine, shards: Sequence[ShardRelay], settings: RelaySettings) -> list[str]:
    try:
        with engine.connect() as connection:
            count = outbox_batches.count_quarantined(connection)
    except DatabaseUnavailable:
        return ["PostgreSQL does not answer"]
    found = [
        f"shard {number} could send nothing: see the log"
        for number, shard in enumerate(shards)
        if shard.stalled_since is not None and time.monotonic() - shard.stalled_since > settings.transaction_timeout_s
    ]
    if count:
        found.append(f"{count} outbox rows are quarantined: the broker refuses them; see their error column")
    return found
