"""Publishing commands and waiting for their results."""

import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import closing, contextmanager
from datetime import UTC, datetime

from cli.kafka import CommandProducer, TopicReader
from cli.problems import NoAnswer
from cli.settings import KafkaAccess
from schemas.command import PullCommand, PushCommand
from schemas.envelope import encode
from schemas.result import SyncResult
from schemas.topics import EventType, message_key

_POLL_S = 0.5


def publish_commands(access: KafkaAccess, commands: Sequence[PushCommand | PullCommand]) -> None:
    """Produce the commands, in order, with the contract's key and CloudEvents headers; return when the broker has them.

    Raises:
        Unreachable: The broker did not take them all.
    """
    producer = CommandProducer(access.kafka_bootstrap_servers)
    for command in commands:
        command_id = command.command_id
        if command_id is None:
            raise ValueError("a command that is published here has an id: its answer is found by it")
        headers, value = encode(EventType.COMMAND, command_id, command, subject=command_id, time=datetime.now(UTC))
        key = message_key(command.workspace_id, command.integration)
        producer.send(access.topics.commands, key, headers, value)
    producer.flush()


class ResultWaiter:
    """Sees every result that arrives after it was made; make it before publishing."""

    def __init__(self, reader: TopicReader) -> None:
        self._reader = reader

    def next_result(self, timeout_s: float) -> SyncResult | None:
        """The next result of any command, or None after `timeout_s`."""
        message = self._reader.poll(timeout_s)
        if message is None or message.value is None or message.headers.get("ce_type") != EventType.RESULT.value:
            return None
        return SyncResult.model_validate(message.value)

    def results_of(
        self, commands: Collection[str], *, timeout_s: float, on_result: Callable[[SyncResult], None]
    ) -> list[SyncResult]:
        """Wait until every command has its result.

        Args:
            commands: Command ids.
            timeout_s: Longest silence: each result starts it anew.
            on_result: Called with each result as it arrives.

        Raises:
            NoAnswer: A command got none in time.
        """
        found: dict[str, SyncResult] = {}
        deadline = time.monotonic() + timeout_s
        while len(found) < len(commands):
            result = self.next_result(_POLL_S)
            if result is not None and result.command_id in commands and result.command_id not in found:
                found[result.command_id] = result
                on_result(result)
                deadline = time.monotonic() + timeout_s
            elif time.monotonic() > deadline:
                missing = [command for command in commands if command not in found]
                raise NoAnswer(
                    f"no result for {len(missing)} of {len(commands)} command(s) within {timeout_s:g} s "
                    f"(first: {missing[0]}); do a worker and a relay run? Look later with: crm-sync watch {missing[0]}"
                )
        return [found[command] for command in commands]


@contextmanager
def waiting(access: KafkaAccess) -> Iterator[ResultWaiter]:
    """A waiter at the present end of the results topic."""
    with closing(TopicReader(access.kafka_bootstrap_servers, [access.topics.results])) as reader:
        yield ResultWaiter(reader)
