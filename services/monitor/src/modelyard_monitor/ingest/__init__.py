"""Topics to ClickHouse, exactly once: decode, count, insert, summarise."""
