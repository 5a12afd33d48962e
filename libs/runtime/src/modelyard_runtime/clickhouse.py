"""A connection to ClickHouse for queries, made when it is needed."""

from threading import Lock
from typing import Any

from modelyard_runtime.tls import clickhouse_tls


class ClickHouseConnection:
    """Connects at the first query, and again after `forget`. Threads may share it.

    Each client asks the server for all its settings when it is made, so one serves all queries.
    """

    def __init__(self, url: str, user: str, password: str, database: str, **options: Any) -> None:
        """options: of clickhouse_connect.get_client, such as `send_receive_timeout` in seconds."""
        account = {"dsn": url, "username": user, "password": password, "database": database}
        # Without a session, so that threads may share the client.
        self._options = {**account, **clickhouse_tls(url), "autogenerate_session_id": False, **options}
        self._client: Any = None
        self._lock = Lock()

    def client(self) -> Any:
        """Return the client of clickhouse-connect; its errors when it cannot connect."""
        with self._lock:
            if self._client is None:
                import clickhouse_connect

                self._client = clickhouse_connect.get_client(**self._options)
            return self._client

    def forget(self) -> None:
        """Connect again at the next query: after an error the server may have moved or changed."""
        with self._lock:
            self._client = None

    def close(self) -> None:
        with self._lock:
            if self._client is not None:
                self._client.close()
