"""Queries of a scoring process; the connection comes from environment variables."""

import os
from datetime import datetime
from typing import Any

import pyarrow as pa

from modelyard_evaluator.scoring.errors import SourceUnreachable


def query(sql: str, parameters: dict[str, Any]) -> pa.Table:
    """The result as an Arrow table; SourceUnreachable if ClickHouse does not answer."""
    import clickhouse_connect
    from clickhouse_connect.driver.exceptions import ClickHouseError

    from modelyard_runtime.tls import clickhouse_tls

    try:
        client = clickhouse_connect.get_client(
            dsn=os.environ["CLICKHOUSE_URL"],
            **clickhouse_tls(os.environ["CLICKHOUSE_URL"]),
            username=os.environ["CLICKHOUSE_USER"],
            password=os.environ["CLICKHOUSE_PASSWORD"],
            database=os.environ["CLICKHOUSE_DATABASE"],
        )
        try:
            return client.query_arrow(sql, parameters=parameters, use_strings=True)
        finally:
            client.close()
    except (ClickHouseError, OSError) as error:
        raise SourceUnreachable(f"ClickHouse: {error}") from error


def as_parameter(moment: str) -> str:
    """An ISO 8601 moment as the parameter of type DateTime64(6, 'UTC')."""
    return datetime.fromisoformat(moment).strftime("%Y-%m-%d %H:%M:%S.%f")
