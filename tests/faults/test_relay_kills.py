"""The relay under fire: killed again and again, and given a row that the broker refuses."""

import random
import signal
import time
from collections.abc import Callable
from typing import Any

import pytest
import requests

from cli.embedded.ports import free_port
from crm.store import outbox, outbox_batches
from crm.store.outbox import OutboxMessage
from services.house import House, wait_until

ROWS, KEYS, KILLS = 3000, 40, 10


def _fill(house: House, numbers: range, size: int = 200) -> None:
    """Rows for the results topic; each key's values rise."""
    messages = [
        OutboxMessage(
            house.inside.topics.results, f"d{number}", f"key-{number % KEYS}".encode(), str(number).encode().ljust(size)
        )
        for number in numbers
    ]
    with house.inside.engine.begin() as connection:
        outbox.add(connection, messages)


def _check_each_once_and_in_order(house: House, count: int) -> None:
    read = [(message.key(), int(message.value())) for message in house.messages(house.inside.topics.results)]
    assert sorted(number for _, number in read) == list(range(count))
    by_key: dict[bytes, list[int]] = {}
    for key, number in read:
        by_key.setdefault(key, []).append(number)
    assert len(by_key) == KEYS
    assert all(numbers == sorted(numbers) for numbers in by_key.values())


def _states(house: House) -> dict[str, int]:
    return {row.state: row.count for row in house.rows("SELECT state, count(*) AS count FROM outbox GROUP BY state")}


@pytest.mark.broker
@pytest.mark.timeout(240)
def test_a_relay_that_is_killed_again_and_again_sends_each_row_once(empty_house: Callable[..., House]) -> None:
    """Ten SIGKILLs while 3,000 rows flow: a `read_committed` reader sees each once, in order within its key."""
    # Given small batches, so that there are many moments to die in
    house = empty_house()
    small = {"CRM_SYNC_RELAY_BATCH": "25"}
    _fill(house, range(500))
    plan, relay = random.Random(20261122), house.start("relay", **small)  # noqa: S311 - moments, no secret
    killed_at_work, seen = 0, 0
    # When rows come in while the relay dies at any moment of its work
    for kill in range(KILLS):
        seen = _states(house).get("sent", 0)
        wait_until(lambda seen=seen: _states(house).get("sent", 0) > seen, 60, house.logs)
        time.sleep(plan.uniform(0, 0.15))
        killed_at_work += bool({"new", "prepared"} & set(_states(house)))
        relay.kill()
        first = 500 + kill * (ROWS - 500) // KILLS
        _fill(house, range(first, first + (ROWS - 500) // KILLS))
        relay = house.start("relay", **small)
    wait_until(lambda: _states(house) == {"sent": ROWS}, 90, lambda: f"{_states(house)}\n{house.logs()}")
    # Then
    assert killed_at_work >= KILLS // 2
    _check_each_once_and_in_order(house, ROWS)


@pytest.mark.broker
def test_what_kafka_has_and_the_database_does_not_know_is_not_sent_again(empty_house: Callable[..., House]) -> None:
    """Dead between the Kafka commit and the mark: the cursor in Kafka says so, the rows are only marked."""
    # Given rows that were sent in many batches, of which the last of each shard was never marked
    house = empty_house()
    _fill(house, range(400))
    relay = house.start("relay", CRM_SYNC_RELAY_BATCH="10")
    wait_until(lambda: _states(house) == {"sent": 400}, 60, house.logs)
    assert relay.stop() == 0
    undone = house.rows("""
UPDATE outbox SET state = 'prepared', sent_at = NULL
 WHERE batch_id IN (SELECT max(batch_id) FROM outbox GROUP BY shard) RETURNING id""")
    # When a relay starts, and more rows come
    house.start("relay")
    _fill(house, range(400, 480))
    wait_until(lambda: _states(house) == {"sent": 480}, 60, house.logs)
    # Then
    assert len(undone) > 8
    _check_each_once_and_in_order(house, 480)


@pytest.mark.broker
def test_what_was_prepared_and_never_reached_kafka_is_sent(empty_house: Callable[..., House]) -> None:
    """Dead between preparing and the Kafka commit: the same batch goes out first, then what came later."""
    # Given a batch of every shard that was prepared by a relay that is no more, and later rows
    house = empty_house()
    _fill(house, range(200))
    with house.inside.engine.connect() as session:
        prepared = [outbox_batches.next_batch(session, shard, limit=3, above=0) for shard in range(outbox.SHARDS)]
    assert all(batch and len(batch.rows) == 3 for batch in prepared)
    # When
    house.start("relay")
    wait_until(lambda: _states(house) == {"sent": 200}, 60, house.logs)
    # Then
    _check_each_once_and_in_order(house, 200)


@pytest.mark.broker
def test_a_relay_that_stood_still_sends_nothing_when_it_wakes(empty_house: Callable[..., House]) -> None:
    """Its lock is gone with its session and its producer is fenced: the next relay's work stands."""
    # Given a relay that is stopped at its work
    house = empty_house()
    settings = {"CRM_SYNC_RELAY_BATCH": "25", "CRM_SYNC_RELAY_IDLE_S": "2"}
    _fill(house, range(1500))
    frozen = house.start("relay", **settings)
    wait_until(lambda: _states(house).get("sent", 0) > 0, 60, house.logs)
    frozen.process.send_signal(signal.SIGSTOP)
    assert _states(house) != {"sent": 1500}
    # When another has sent everything, and the first goes on while more comes
    house.start("relay", **settings)
    wait_until(lambda: _states(house) == {"sent": 1500}, 60, lambda: f"{_states(house)}\n{house.logs()}")
    frozen.process.send_signal(signal.SIGCONT)
    for first in range(1500, 2000, 100):
        _fill(house, range(first, first + 100))
        time.sleep(0.3)
    wait_until(lambda: _states(house) == {"sent": 2000}, 60, house.logs)
    # Then
    _check_each_once_and_in_order(house, 2000)


@pytest.mark.broker
def test_two_relays_share_the_shards(empty_house: Callable[..., House]) -> None:
    """Two relays at once send each row once; when one is killed, the other takes its shards."""
    # Given
    house = empty_house()
    first, _ = house.start("relay"), house.start("relay")
    _fill(house, range(1000))
    wait_until(lambda: _states(house) == {"sent": 1000}, 60, house.logs)
    # When
    _fill(house, range(1000, 2000))
    first.kill()
    wait_until(lambda: _states(house) == {"sent": 2000}, 60, lambda: f"{_states(house)}\n{house.logs()}")
    # Then
    _check_each_once_and_in_order(house, 2000)


@pytest.mark.broker
def test_a_commit_to_the_outbox_wakes_the_relay(empty_house: Callable[..., House]) -> None:
    """A row is sent at once, not at the next scan."""
    # Given a relay that by itself looks once in a minute, and is idle
    house = empty_house()
    house.start("relay", CRM_SYNC_RELAY_SCAN_S="60", CRM_SYNC_RELAY_IDLE_S="120")
    _fill(house, range(KEYS))
    wait_until(lambda: _states(house) == {"sent": KEYS}, 30, house.logs)
    # When
    started = time.monotonic()
    _fill(house, range(KEYS, 2 * KEYS))
    wait_until(lambda: _states(house) == {"sent": 2 * KEYS}, 20, house.logs)
    # Then
    assert time.monotonic() - started < 10


@pytest.mark.apache
def test_a_row_that_the_broker_refuses_is_set_aside_and_the_others_flow(empty_house: Callable[..., House]) -> None:
    """Too large for its topic: that row goes to quarantine with the broker's words, and readiness tells an operator."""
    # Given a results topic that takes 20 kB, and one row of 50 kB amid 200 of its shard
    house = empty_house(topic_config={"results": {"max.message.bytes": "20000"}})
    page = f"http://127.0.0.1:{free_port()}"
    _fill(house, range(100))
    _large(house)
    _fill(house, range(100, 200))
    # When
    house.start("relay", CRM_SYNC_HEALTH_PORT=page.rpartition(":")[2])
    wait_until(
        lambda: _states(house) == {"sent": 200, "quarantined": 1}, 90, lambda: f"{_states(house)}\n{house.logs()}"
    )
    # Then
    (row,) = house.rows("SELECT dedupe_key, error FROM outbox WHERE state = 'quarantined'")
    assert row.dedupe_key == "too-large"
    assert "large" in row.error.lower()
    _check_each_once_and_in_order(house, 200)
    reply = requests.get(f"{page}/readyz", timeout=5)
    content: dict[str, Any] = reply.json()
    assert (reply.status_code, len(content["problems"])) == (503, 1)
    assert "1 outbox rows are quarantined" in content["problems"][0]
    assert requests.get(f"{page}/healthz", timeout=5).status_code == 200
    # Then what comes later goes on
    _fill(house, range(200, 240))
    wait_until(lambda: _states(house) == {"sent": 240, "quarantined": 1}, 30, house.logs)
    _check_each_once_and_in_order(house, 240)


def _large(house: House) -> None:
    # Bytes that do not compress, or a batch would fit all the same.
    value = random.Random(1).randbytes(50_000)  # noqa: S311 - any bytes
    with house.inside.engine.begin() as connection:
        outbox.add(connection, [OutboxMessage(house.inside.topics.results, "too-large", b"key-3", value)])
