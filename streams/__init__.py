"""Kafka: topics, the door, contract agents, relay, replay."""
