"""Which topics there must be, and how: pure; `cli.kafka` makes them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from crm.store.outbox import SHARDS
from schemas.topics import Topics

#: Partitions bound how many workers can share the commands; more can be added later at the price of one reordering.
DEFAULT_PARTITIONS = 12
#: Dead letters are looked at by people; a few partitions carry them.
_FEW: Final = 3
_DAY_MS: Final = 86_400_000


@dataclass(frozen=True, slots=True)
class TopicSpec:
    """A topic as it should be; `partitions` of an existing topic are left as they are."""

    name: str
    partitions: int
    replication: int = 1
    config: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class TopicChoice:
    """What the operator chooses: partitions of the busy topics, replicas of all."""

    partitions: int = DEFAULT_PARTITIONS
    replication: int = 1


def topic_specs(topics: Topics, choice: TopicChoice) -> tuple[TopicSpec, ...]:
    """The six topics.

    Retention: commands and results a week; pulled records, which are personal data, a day; dead letters 60 days,
    because one that is too old to run keeps its own timestamp of more than 30 days ago.
    The relay's cursor has one partition for each outbox shard and is compacted: only its newest value counts.
    """

    def plain(name: str, partitions: int, days: int) -> TopicSpec:
        kept = {"cleanup.policy": "delete", "retention.ms": str(days * _DAY_MS)}
        return TopicSpec(name, partitions, choice.replication, kept)

    def compacted(name: str, partitions: int) -> TopicSpec:
        return TopicSpec(name, partitions, choice.replication, {"cleanup.policy": "compact"})

    return (
        plain(topics.commands, choice.partitions, 7),
        plain(topics.results, choice.partitions, 7),
        plain(topics.records, choice.partitions, 1),
        plain(topics.dead_letters, _FEW, 60),
        plain(topics.connections, _FEW, 28),
        compacted(topics.relay_cursor, SHARDS),
    )


def topic_findings(specs: tuple[TopicSpec, ...], present: dict[str, int], cursor: str) -> list[str]:
    """What is wrong with the topics that are there; empty when all is well.

    Args:
        specs: The topics as they should be.
        present: Topic -> partitions, as the broker has them.
        cursor: Name of the relay's cursor topic, whose number of partitions must be exact.
    """
    findings = [
        f"topic {spec.name} is not there; create it with: crm-sync topics" for spec in specs if spec.name not in present
    ]
    count = present.get(cursor)
    if count is not None and count != SHARDS:
        findings.append(
            f"topic {cursor} has {count} partition(s), the outbox has {SHARDS} shards; "
            "stop the relays, delete it and run: crm-sync topics"
        )
    return findings
