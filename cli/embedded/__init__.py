"""PostgreSQL and a Kafka-compatible broker out of wheels, for the demo and the tests on a machine without Docker.

Not for production: both run with settings that trade durability against a power failure for speed, and the broker is a
small re-implementation of Kafka's protocol. Each server listens on 127.0.0.1 only and keeps its files in one folder.
"""
