"""Kafka in, Kafka out: the worker that runs commands, and the relay that empties the outbox."""
