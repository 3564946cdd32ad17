"""Which topics there must be."""

from cli.topic_plan import TopicChoice, topic_findings, topic_specs
from crm.store.outbox import SHARDS
from schemas.topics import Topics

TOPICS = Topics()
SPECS = topic_specs(TOPICS, TopicChoice(partitions=4, replication=3))


def test_six_topics_and_a_compacted_cursor_with_one_partition_for_each_shard() -> None:
    """All six topics are planned; the relay's cursor is compacted and has exactly the outbox's shards."""
    # Given
    by_name = {spec.name: spec for spec in SPECS}
    # When
    cursor = by_name.pop(TOPICS.relay_cursor)
    # Then
    assert set(by_name) == {TOPICS.commands, TOPICS.results, TOPICS.records, TOPICS.dead_letters, TOPICS.connections}
    assert (cursor.partitions, cursor.config["cleanup.policy"]) == (SHARDS, "compact")
    assert {spec.replication for spec in SPECS} == {3}
    assert by_name[TOPICS.commands].partitions == 4


def test_missing_topics_and_a_wrong_cursor_are_found() -> None:
    """A topic that is not there and a cursor with other than the shards' number are findings that say what to do."""
    # Given
    present = {spec.name: spec.partitions for spec in SPECS}
    del present[TOPICS.results]
    present[TOPICS.relay_cursor] = 1
    # When
    findings = topic_findings(SPECS, present, TOPICS.relay_cursor)
    # Then
    assert len(findings) == 2
    assert findings[0] == "topic crm.sync.results is not there; create it with: crm-sync topics"
    assert findings[1].startswith("topic crm.sync.relay_cursor has 1 partition(s), the outbox has 8 shards; stop")


def test_more_partitions_than_planned_are_no_finding() -> None:
    """How many partitions the busy topics have is the operator's choice."""
    # Given
    present = {spec.name: spec.partitions for spec in SPECS} | {TOPICS.commands: 48}
    # When / Then
    assert topic_findings(SPECS, present, TOPICS.relay_cursor) == []
