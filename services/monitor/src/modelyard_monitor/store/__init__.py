"""ClickHouse: the connection, the migrations, the queries."""
