"""The worker process: wiring, start, signals, stop, exit code.

poll loop ──Arrived──▶ dispatcher ──claim, fly──▶ pool ──Finished──▶ group commit ──▶ offsets back to the loop
"""

import os
import socket
import threading
from collections.abc import Sequence
from dataclasses import dataclass

import structlog
from confluent_kafka import Consumer

from consumer.assignment import Assignment, AssignmentSettings
from consumer.committer import Committer, Finished
from consumer.decode import Limits
from consumer.dispatcher import Dispatcher, Outlets, Settled
from consumer.flights import Flights
from consumer.health import HealthServer
from consumer.housekeeping import Housekeeping
from consumer.kafka_client import commands_consumer, wait_for_broker
from consumer.loop import Loop, LoopSettings
from consumer.ownership import Ownership
from consumer.process import FAULT, STOPPED, not_started, stop_on_signals
from consumer.settings import WorkerSettings
from consumer.work import Work
from crm import logs
from crm.bootstrap import Parts, build, utc_now
from crm.store import claims
from crm.store.engine import wait_for_database
from crm.store.ownership import Tenure

log = structlog.get_logger()


@dataclass(slots=True)
class Worker:
    """A worker's parts, put together by `assemble`."""

    loop: Loop
    assignment: Assignment
    dispatcher: Dispatcher
    committer: Committer
    ownership: Ownership
    faults: list[str]

    def run(self) -> int:
        """Work until the loop is told to stop; returns the exit code."""
        self.ownership.start()
        self.committer.start()
        threading.Thread(target=self._dispatch, name="dispatcher", daemon=True).start()
        try:
            self.loop.run()
        except Exception as problem:
            log.exception("worker_failed")
            self.faults.append(repr(problem))
        self.dispatcher.close()
        self.committer.stop(timeout_s=10)
        self.ownership.stop()
        return FAULT if self.faults else STOPPED

    def fault(self, what: str) -> None:
        """A thread died of a bug: stop loudly; the group's other members take over."""
        self.faults.append(what)
        self.loop.stopping.set()

    def _dispatch(self) -> None:
        try:
            self.dispatcher.run()
        except Exception:
            log.exception("dispatcher_crashed")
            self.fault("dispatcher")


def assemble(settings: WorkerSettings, parts: Parts, consumer: Consumer) -> Worker:
    """Put a worker together; nothing runs yet."""
    member = f"{settings.instance_id or socket.gethostname()}:{os.getpid()}"
    ownership = Ownership(parts.engine, member=member, lease_s=settings.lease_s, renewal_s=settings.lease_renewal_s)
    flights = Flights(parts.runner, ownership, parts.topics, settings.retry_for_s, utc_now)

    # Knots of the ring: each part is given the next by name, so the two callbacks look their targets up when called.
    def settled(work: Work) -> None:
        worker.assignment.finished(work.partition, work.epoch, work.offset)

    def committed(group: Sequence[Finished], owned: frozenset[Tenure]) -> None:
        for finished in group:
            # What was dropped with its partition is not finished: its offset must never be committed by us.
            if finished.leaves.tenure in owned:
                worker.assignment.finished(*finished.leaves.tenure, finished.offset)
            if finished.work:
                worker.dispatcher.post(Settled(finished.work))

    committer = Committer(
        parts.engine, ownership, parts.topics, utc_now, done=committed, crashed=lambda: worker.fault("group commit")
    )
    dispatcher = Dispatcher(
        parts.engine,
        flights,
        ownership,
        concurrency=settings.concurrency,
        lane_backlog=settings.lane_backlog,
        clock=utc_now,
        outlets=Outlets(commit=committer.put, settled=settled, crashed=lambda: worker.fault("flight")),
    )
    assignment = Assignment(
        consumer,
        ownership,
        dispatcher,
        AssignmentSettings(settings.max_queued, settings.max_queued_bytes, settings.revoke_grace_s),
    )
    limits = Limits(settings.max_message_bytes, settings.claim_retention_s, settings.expire_after_s)
    loop = Loop(
        consumer,
        parts.topics,
        LoopSettings(settings.group_id, settings.stop_grace_s, limits),
        assignment,
        dispatcher,
        committer.put,
        utc_now,
    )
    worker = Worker(loop, assignment, dispatcher, committer, ownership, faults=[])
    return worker


def run(settings: WorkerSettings) -> int:
    """Run a worker until SIGTERM or SIGINT; a second signal exits at once.

    Returns:
        0 after a stop that was asked for, 1 after a fault, 3 when database or broker did not answer in time.
    """
    logs.configure(settings.log_level)
    parts = build(settings, application_name="crm-sync-worker", pool_size=min(20, 4 + settings.concurrency // 8))
    if reason := wait_for_database(parts.engine, settings.start_timeout_s):
        return not_started("PostgreSQL", "DATABASE_URL", reason)
    consumer = commands_consumer(settings)
    if reason := wait_for_broker(consumer, settings.start_timeout_s):
        return not_started(f"Kafka at {settings.kafka_bootstrap_servers}", "KAFKA_BOOTSTRAP_SERVERS", reason)
    worker = assemble(settings, parts, consumer)
    stop_on_signals(worker.loop.stopping)
    housekeeping = Housekeeping(
        parts.engine, lambda connection: claims.forget_older_than(connection, settings.claim_retention_s)
    )
    housekeeping.start()
    health = HealthServer(
        settings.health_host, settings.health_port, lambda: worker.assignment.problems + worker.ownership.problems
    )
    health.start()
    log.info("worker_started", group=settings.group_id, concurrency=settings.concurrency)
    try:
        return worker.run()
    finally:
        health.stop()
        housekeeping.stop()
        parts.engine.dispose()
