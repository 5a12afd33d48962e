"""Labelled predictions in ClickHouse."""

from datetime import datetime
from threading import Lock
from typing import Any, Final

from modelyard_evaluator.domain.errors import Unreachable

COUNT: Final = """
SELECT count() FROM v_labelled
WHERE model = {model:String} AND predicted_at > {since:DateTime64(6, 'UTC')} AND label IS NOT NULL AND label != ''
  AND feature_schema_id IN {schema_ids:Array(String)}
""".strip()


class ClickHouseLabels:
    """Counts labelled rows. Connects at the first call, and again after an error."""

    def __init__(self, url: str, user: str, password: str, database: str) -> None:
        self._options: dict[str, Any] = {"dsn": url, "username": user, "password": password, "database": database}
        self._client: Any = None
        self._lock = Lock()

    def count(self, model: str, since: datetime, schema_ids: tuple[str, ...]) -> int:
        from clickhouse_connect.driver.exceptions import ClickHouseError

        parameters = {
            "model": model,
            "since": since.strftime("%Y-%m-%d %H:%M:%S.%f"),
            "schema_ids": list(schema_ids),
        }
        with self._lock:
            try:
                return int(self._connected().query(COUNT, parameters=parameters).result_rows[0][0])
            except (ClickHouseError, OSError) as error:
                self._client = None
                raise Unreachable(f"ClickHouse: {error}") from error

    def close(self) -> None:
        with self._lock:
            if self._client is not None:
                self._client.close()

    def _connected(self) -> Any:
        if self._client is None:
            import clickhouse_connect

            self._client = clickhouse_connect.get_client(**self._options, interface="http", connect_timeout=5)
        return self._client
