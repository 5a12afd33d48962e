"""Queries to ClickHouse, repeated while it is unavailable."""

import os
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, Final
from urllib.parse import urlsplit

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
    connection = _Connection(settings, password)

    def query(sql: str, parameters: dict[str, Any]) -> Any:
        from clickhouse_connect.driver.exceptions import OperationalError

        try:
            return connection.client().query_arrow(sql, parameters=parameters, use_strings=True)
        except (OperationalError, OSError) as error:
            connection.forget()
            raise ClickHouseUnavailable(f"{settings['url']}: {error}") from error

    return query


class _Connection:
    """One client for all queries: making one takes three queries, of all settings among them. Safe to share."""

    def __init__(self, settings: Mapping[str, Any], password: str | None) -> None:
        self._settings, self._password = settings, password
        self._client: Any = None
        self._lock = threading.Lock()

    def client(self) -> Any:
        """The client; connects if there is none."""
        with self._lock:
            if self._client is None:
                self._client = self._connect()
            return self._client

    def forget(self) -> None:
        """After an error the next query connects again: the server may have moved or changed."""
        with self._lock:
            self._client = None

    def _connect(self) -> Any:
        import clickhouse_connect

        from modelyard_runtime.tls import clickhouse_tls

        url = urlsplit(self._settings["url"])
        return clickhouse_connect.get_client(
            host=url.hostname or "127.0.0.1",
            port=url.port or (8443 if url.scheme == "https" else 8123),
            username=self._settings["user"],
            password=os.environ.get("CLICKHOUSE_PASSWORD", "") if self._password is None else self._password,
            database=self._settings["database"],
            autogenerate_session_id=False,  # so that threads may share it
            send_receive_timeout=TIMEOUT_S,
            **clickhouse_tls(self._settings["url"]),
        )
