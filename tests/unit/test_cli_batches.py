"""Cutting records into commands."""

from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from cli.batches import PushOrder, batches, push_commands
from schemas.command import MAX_RECORDS, PushRecord

WORKSPACE = UUID(int=1)


def _record(number: int, size: int = 1) -> PushRecord:
    return PushRecord(ref=str(number), fields={"description": "x" * size})


def test_450_records_are_three_commands() -> None:
    """A file is cut into commands of at most 200 records, in its order, each with an id of its own."""
    # Given
    records = [_record(number) for number in range(450)]
    # When
    commands = push_commands(PushOrder(WORKSPACE, "hubspot", "person", match_on="email"), records)
    # Then
    assert [len(command.records) for command in commands] == [200, 200, 50]
    assert [record for command in commands for record in command.records] == records
    assert len({command.command_id for command in commands}) == 3
    assert commands[0].match_on == ["email"]


@given(st.lists(st.integers(min_value=0, max_value=400), max_size=300))
def test_batches_keep_every_record_and_the_bounds(sizes: list[int]) -> None:
    """Whatever the sizes: nothing is lost or moved, and no batch is empty, over 200 records, or needlessly too big."""
    # Given
    records = [_record(number, size) for number, size in enumerate(sizes)]
    # When
    found = list(batches(records, max_bytes=1000))
    # Then
    assert [record for batch in found for record in batch] == records
    for batch in found:
        assert 1 <= len(batch) <= MAX_RECORDS
        assert len(batch) == 1 or sum(len(record.model_dump_json()) for record in batch) <= 1000
