"""The ClickHouse client: connects on first use, and sorts errors into retryable and permanent."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final, Protocol, cast

import pyarrow as pa
from clickhouse_connect.driver.exceptions import DatabaseError, OperationalError

from modelyard_runtime.errors import Retryable
from modelyard_runtime.tls import clickhouse_tls

RETRY_CODES: Final = frozenset(
    {159, 160, 164, 201, 202, 203, 209, 210, 225, 236, 241, 242, 243, 252, 279, 285, 286, 289, 319, 394, 425, 439}
    | {473, 499, 574, 735, 745, 999}
)
"""Error codes of ClickHouse after which the same statement may succeed: timeouts, quotas, too many queries or parts,
memory, network, read-only, disk full, replicas, shutdown, cancelled queries, object storage, overload, Keeper."""
CONNECT_TIMEOUT_S: Final = 5
QUERY_TIMEOUT_S: Final = 60


class ClickHouseAway(Retryable):
    """ClickHouse is unreachable or overloaded; the same batch under the same token may be tried again."""

    code = "clickhouse_away"


class Client(Protocol):
    """The part of clickhouse-connect's client in use; blocking, safe to share between threads without a session."""

    database: str | None

    def command(self, cmd: str, **more: Any) -> Any: ...

    def query(self, query: str, **more: Any) -> Any: ...

    def query_arrow(self, query: str, **more: Any) -> pa.Table: ...

    def raw_insert(self, table: str, **more: Any) -> Any: ...

    def close(self) -> None: ...


def connect(url: str, user: str, password: str) -> Client:
    """Return an HTTP client without a session, so that threads may share it; ClickHouseAway when unreachable."""
    import clickhouse_connect

    with sorted_errors():
        client: Any = clickhouse_connect.get_client(
            dsn=url,
            username=user,
            password=password,
            autogenerate_session_id=False,
            connect_timeout=CONNECT_TIMEOUT_S,
            send_receive_timeout=QUERY_TIMEOUT_S,
            **clickhouse_tls(url),
        )
    return cast(Client, client)


class LazyClient:
    """A Client that connects on first use; clickhouse-connect queries the server as soon as it is constructed."""

    def __init__(self, url: str, user: str, password: str) -> None:
        self._address = (url, user, password)
        self._client: Client | None = None
        self._lock = threading.Lock()
        self.database: str | None = None

    def _connected(self) -> Client:
        with self._lock:
            if self._client is None:
                self._client = connect(*self._address)
            self._client.database = self.database
            return self._client

    def command(self, cmd: str, **more: Any) -> Any:
        return self._connected().command(cmd, **more)

    def query(self, query: str, **more: Any) -> Any:
        return self._connected().query(query, **more)

    def query_arrow(self, query: str, **more: Any) -> pa.Table:
        return self._connected().query_arrow(query, **more)

    def raw_insert(self, table: str, **more: Any) -> Any:
        return self._connected().raw_insert(table, **more)

    def close(self) -> None:
        if self._client is not None:
            self._client.close()


@contextmanager
def sorted_errors() -> Iterator[None]:
    """Raise timeouts, overload and lost connections as ClickHouseAway; let permanent errors through unchanged."""
    try:
        yield
    except OperationalError as error:
        raise ClickHouseAway(f"ClickHouse is away: {_first_line(error)}") from error
    except DatabaseError as error:
        from_proxy = type(error) is DatabaseError and error.code is None  # ClickHouse's own errors have a code
        if from_proxy or error.code in RETRY_CODES:
            raise ClickHouseAway(f"ClickHouse cannot do it now: {_first_line(error)}") from error
        raise
    except (ConnectionError, TimeoutError) as error:
        raise ClickHouseAway(f"ClickHouse is away: {_first_line(error)}") from error


def _first_line(error: BaseException) -> str:
    text = str(error).splitlines()
    return text[0][:300] if text else type(error).__name__
