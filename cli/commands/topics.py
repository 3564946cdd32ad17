"""`crm-sync topics`: create the six topics, or check them."""

import click
from rich.table import Table

from cli.kafka import create_topics, partitions_of_topics
from cli.output import Output, takes_output
from cli.problems import ExitCode
from cli.settings import KafkaAccess
from cli.topic_plan import DEFAULT_PARTITIONS, TopicChoice, topic_findings, topic_specs
from crm.settings import load


@click.command()
@click.option(
    "--partitions",
    type=click.IntRange(1, 1000),
    default=DEFAULT_PARTITIONS,
    show_default=True,
    help="Of the commands, results and records topics: at most so many workers can share the work.",
)
@click.option(
    "--replication", type=click.IntRange(1, 9), default=1, show_default=True, help="Replicas; 3 in production."
)
@click.option("--check", is_flag=True, help="Change nothing; exit code 1 when a topic is missing or wrong.")
@takes_output
def topics(out: Output, *, partitions: int, replication: int, check: bool) -> int:
    """Create the Kafka topics that are not there yet (KAFKA_BOOTSTRAP_SERVERS)."""
    access = load(KafkaAccess)
    specs = topic_specs(access.topics, TopicChoice(partitions, replication))
    created = {} if check else create_topics(access.kafka_bootstrap_servers, specs)
    present = partitions_of_topics(access.kafka_bootstrap_servers)
    findings = topic_findings(specs, present, access.topics.relay_cursor)
    table = Table("topic", "partitions", "")
    for spec in specs:
        state = "created" if created.get(spec.name) else "there" if spec.name in present else "missing"
        table.add_row(spec.name, str(present.get(spec.name, "-")), state)
    out.show(table)
    for finding in findings:
        out.note(finding)
    out.document(
        {
            "topics": {spec.name: present.get(spec.name) for spec in specs},
            "created": [name for name, is_new in created.items() if is_new],
            "findings": findings,
        }
    )
    return ExitCode.ATTENTION if findings else ExitCode.DONE
