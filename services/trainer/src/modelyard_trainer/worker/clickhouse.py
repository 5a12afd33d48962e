"""Queries to ClickHouse, repeated while it is unavailable."""

import os
import time
from collections.abc import Callable, Mapping
from typing import Any, Final

from modelyard_runtime.clickhouse import ClickHouseConnection

TIMEOUT_S: Final = 120
PATIENCE_S: Final = 600.0
"""How long an unavailable ClickHouse is retried; a worker that gives up has used one of its attempts."""
PAUSE_S: Final = 2.0

Query = Callable[[str, dict[str, Any]], Any]
"""SQL and its parameters to an Arrow table; ClickHouseUnavailable if there was no complete answer."""


class ClickHouseUnavailable(Exception):
    """There was no complete answer; the same query may succeed later."""


def retrying(query: Query, report: Callable[[str], None], pause: Callable[[float], None] = time.sleep) -> Query:
    """Repeat `query` while ClickHouse is unavailable: a restart of it takes longer than three workers live."""

    def repeated(sql: str, parameters: dict[str, Any]) -> Any:
        paused_s = 0.0
        while True:
            try:
                return query(sql, parameters)
            except ClickHouseUnavailable as error:
                if paused_s >= PATIENCE_S:
                    raise
                report(f"waiting for ClickHouse: {error}"[:300])
                pause(PAUSE_S)
                paused_s += PAUSE_S

    return repeated


def clickhouse(settings: Mapping[str, Any], password: str | None = None) -> Query:
    """Query the server of the request. password: None takes that of the environment; it is never in a file."""
    secret = os.environ.get("CLICKHOUSE_PASSWORD", "") if password is None else password
    connection = ClickHouseConnection(
        settings["url"], settings["user"], secret, settings["database"], send_receive_timeout=TIMEOUT_S
    )

    def query(sql: str, parameters: dict[str, Any]) -> Any:
        from clickhouse_connect.driver.exceptions import OperationalError

        try:
            return connection.client().query_arrow(sql, parameters=parameters, use_strings=True)
        except (OperationalError, OSError) as error:
            connection.forget()
            raise ClickHouseUnavailable(f"{settings['url']}: {error}") from error

    return query
