"""`crm-sync relay`."""

import click

from consumer.relay import run
from consumer.settings import RelaySettings
from crm.settings import load


@click.command()
def relay() -> int:
    """Run the relay until SIGTERM: the outbox to Kafka."""
    return run(load(RelaySettings))
