"""`crm-sync worker`."""

import click

from consumer.settings import WorkerSettings
from consumer.worker import run
from crm.settings import load


@click.command()
def worker() -> int:
    """Run a worker until SIGTERM: commands from Kafka to the CRMs."""
    return run(load(WorkerSettings))
