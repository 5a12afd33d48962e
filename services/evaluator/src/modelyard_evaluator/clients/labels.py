"""Labelled predictions in ClickHouse."""

from collections.abc import Mapping
from datetime import datetime

from modelyard_contracts.signature import Signature
from modelyard_contracts.usable.rows import labelled_rows
from modelyard_evaluator.domain.errors import Unreachable
from modelyard_evaluator.domain.ports import RowCount
from modelyard_runtime.clickhouse import ClickHouseConnection


class ClickHouseLabels:
    """Counts labelled rows. Connects at the first call, and again after an error."""

    def __init__(self, url: str, user: str, password: str, database: str) -> None:
        self._connection = ClickHouseConnection(url, user, password, database, connect_timeout=5)

    def count(self, model: str, since: datetime, signatures: Mapping[str, Signature]) -> RowCount:
        from clickhouse_connect.driver.exceptions import ClickHouseError

        rows = labelled_rows(signatures)
        sql = (
            f"SELECT countIf({rows.usable}), count() FROM v_labelled WHERE model = {{model:String}} "  # noqa: S608
            f"AND predicted_at > {{since:DateTime64(6, 'UTC')}} AND {rows.labelled}"
        )
        parameters = {"model": model, "since": since.strftime("%Y-%m-%d %H:%M:%S.%f"), **rows.parameters}
        try:
            usable, labelled = self._connection.client().query(sql, parameters=parameters).result_rows[0]
        except (ClickHouseError, OSError) as error:
            self._connection.forget()
            raise Unreachable(f"ClickHouse: {error}") from error
        return RowCount(int(usable), int(labelled) - int(usable))

    def close(self) -> None:
        self._connection.close()
