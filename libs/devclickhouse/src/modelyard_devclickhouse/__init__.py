"""The ClickHouse engine with the ClickHouse HTTP interface, in one local process."""
