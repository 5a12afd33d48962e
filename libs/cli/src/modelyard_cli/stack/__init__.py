"""The local stack: one supervisor over a broker, a ClickHouse and the six services."""
