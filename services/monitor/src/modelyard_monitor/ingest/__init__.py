"""Kafka to ClickHouse, columnar and exactly once."""
