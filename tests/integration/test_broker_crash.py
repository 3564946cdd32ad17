"""What the broker keeps when it dies: the ground on which the service's own promises are tested."""

import uuid

import pytest
from confluent_kafka import Consumer, Producer

from services.broker import BreakableBroker, TopicFactory

COUNT = 200


@pytest.mark.apache
def test_acknowledged_messages_outlive_a_sigkill_of_the_broker(breakable_broker: BreakableBroker) -> None:
    """Every message that Apache Kafka acknowledged is there after SIGKILL and restart, in order, none twice."""
    # Given messages that the broker has acknowledged this moment
    servers = breakable_broker.bootstrap_servers
    topic = TopicFactory(servers)("kept")
    producer = Producer({"bootstrap.servers": servers, "enable.idempotence": True, "log_level": 0})
    sent = [str(number).encode() for number in range(COUNT)]
    for value in sent:
        producer.produce(topic, value)
    assert producer.flush(20) == 0

    # When the broker is killed and comes back
    breakable_broker.kill()
    breakable_broker.restart()

    # Then all of them are read
    settings = {"bootstrap.servers": servers, "group.id": uuid.uuid4().hex, "auto.offset.reset": "earliest"}
    consumer = Consumer({**settings, "isolation.level": "read_committed"})
    consumer.subscribe([topic])
    read = [message.value() for message in consumer.consume(COUNT, timeout=30)]
    consumer.close()
    assert read == sent
