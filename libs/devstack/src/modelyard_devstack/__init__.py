"""Local servers for development (Kafka, ClickHouse, PostgreSQL) and the helpers that tests share."""
