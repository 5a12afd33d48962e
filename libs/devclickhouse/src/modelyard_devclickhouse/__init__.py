"""The ClickHouse engine behind the ClickHouse HTTP interface in one local process."""
