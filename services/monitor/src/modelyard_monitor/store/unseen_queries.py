"""Values of stored predictions."""

from modelyard_monitor.domain.ports import Row
from modelyard_monitor.store.clickhouse import ClickHouse


class UnseenQueries:
    """The UnseenRows port on ClickHouse."""

    def __init__(self, clickhouse: ClickHouse) -> None:
        self._clickhouse = clickhouse

    def values(self, sql: str) -> list[Row]:
        """Return `value` and `rows` of a query from UnseenScope."""
        return self._clickhouse.rows(sql)
