"""Fixtures of the integration tests: a sandbox and a house of the test's own."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path

import pytest

from sandbox.server import SandboxServer
from services.broker import Broker
from services.house import House, open_house


@pytest.fixture
def sandbox_origin() -> Iterator[str]:
    """The origin of a Salesforce and a HubSpot of the test's own."""
    with SandboxServer() as server:
        yield server.origin


@pytest.fixture
def house(tmp_path: Path, database_url: str, broker: Broker, sandbox_origin: str) -> Iterator[House]:
    """A house with one worker and one relay running."""
    with open_house(tmp_path, database_url, broker.bootstrap_servers, sandbox_origin) as opened:
        opened.start("relay")
        opened.start("worker", CRM_SYNC_INSTANCE_ID="w1")
        yield opened


@pytest.fixture
def empty_house(
    tmp_path: Path, database_url: str, broker: Broker, sandbox_origin: str
) -> Iterator[Callable[..., House]]:
    """Opens a house with further settings; the test starts its processes."""
    with ExitStack() as stack:

        def opened(
            *, partitions: int = 4, topic_config: Mapping[str, Mapping[str, str]] | None = None, **settings: str
        ) -> House:
            context: AbstractContextManager[House] = open_house(
                tmp_path,
                database_url,
                broker.bootstrap_servers,
                sandbox_origin,
                partitions=partitions,
                topic_config=topic_config,
                **settings,
            )
            return stack.enter_context(context)

        yield opened
