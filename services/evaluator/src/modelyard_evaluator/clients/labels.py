"""Labelled predictions in ClickHouse."""

from collections.abc import Mapping
from datetime import datetime
from threading import Lock
from typing import Any

from modelyard_contracts.signature import Signature
from modelyard_contracts.usable.rows import labelled_rows
from modelyard_evaluator.domain.errors import Unreachable
from modelyard_evaluator.domain.ports import RowCount
from modelyard_runtime.tls import clickhouse_tls


class ClickHouseLabels:
    """Counts labelled rows. Connects at the first call, and again after an error."""

    def __init__(self, url: str, user: str, password: str, database: str) -> None:
        self._options: dict[str, Any] = {"dsn": url, "username": user, "password": password, "database": database}
        self._options |= clickhouse_tls(url)
        self._client: Any = None
        self._lock = Lock()

    def count(self, model: str, since: datetime, signatures: Mapping[str, Signature]) -> RowCount:
        from clickhouse_connect.driver.exceptions import ClickHouseError

        rows = labelled_rows(signatures)
        sql = (
            f"SELECT countIf({rows.usable}), count() FROM v_labelled WHERE model = {{model:String}} "  # noqa: S608
            f"AND predicted_at > {{since:DateTime64(6, 'UTC')}} AND {rows.labelled}"
        )
        parameters = {"model": model, "since": since.strftime("%Y-%m-%d %H:%M:%S.%f"), **rows.parameters}
        with self._lock:
            try:
                usable, labelled = self._connected().query(sql, parameters=parameters).result_rows[0]
            except (ClickHouseError, OSError) as error:
                self._client = None
                raise Unreachable(f"ClickHouse: {error}") from error
        return RowCount(int(usable), int(labelled) - int(usable))

    def close(self) -> None:
        with self._lock:
            if self._client is not None:
                self._client.close()

    def _connected(self) -> Any:
        if self._client is None:
            import clickhouse_connect

            self._client = clickhouse_connect.get_client(**self._options, connect_timeout=5)
        return self._client
