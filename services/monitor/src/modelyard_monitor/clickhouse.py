"""ClickHouse as the monitor uses it: migrations, inserts under a token, queries; errors sorted into retry or not."""

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.resources import files
from typing import Any, Final, Protocol, cast

import pyarrow as pa
from clickhouse_connect.driver.exceptions import DatabaseError, OperationalError

from modelyard_runtime.errors import Retryable

RETRY_CODES: Final = frozenset(
    {159, 160, 164, 201, 202, 203, 209, 210, 225, 236, 241, 242, 243, 252, 279, 285, 286, 289, 319, 394, 425, 439}
    | {473, 499, 574, 735, 745, 999}
)
"""Time-outs, quotas, too many queries or parts, memory, network, read-only, no space, replicas, shutdown, a query that
was cancelled, the store below, overload, Keeper: the same may pass later."""

INSERT_SETTINGS: Final[Mapping[str, Any]] = {
    "async_insert": 0,
    "deduplicate_blocks_in_dependent_materialized_views": 1,
    "max_partitions_per_insert_block": 0,
}
INSERT_TIMEOUT_S: Final = 60
STREAM_FRAME_BYTES: Final = 1024
"""More than an Arrow stream has around its schema and its batch: lengths, and the mark of its end."""


class ClickHouseAway(Retryable):
    """ClickHouse did not do it for now; the same batch under the same token may be tried again."""

    code = "clickhouse_away"


class Client(Protocol):
    """What we use of clickhouse-connect's client; blocking, safe to share between threads without a session."""

    database: str | None

    def command(self, cmd: str, **more: Any) -> Any: ...

    def query(self, query: str, **more: Any) -> Any: ...

    def query_arrow(self, query: str, **more: Any) -> pa.Table: ...

    def raw_insert(self, table: str, **more: Any) -> Any: ...

    def close(self) -> None: ...


def connect(url: str, user: str, password: str) -> Client:
    """A client over HTTP without a session, so that threads may share it; ClickHouseAway when nobody answers."""
    import clickhouse_connect

    with _sorted_errors():
        client: Any = clickhouse_connect.get_client(
            dsn=url,
            username=user,
            password=password,
            autogenerate_session_id=False,
            connect_timeout=5,
            send_receive_timeout=INSERT_TIMEOUT_S,
        )
    return cast(Client, client)


class LazyClient:
    """A Client that connects when it is first used, as clickhouse-connect asks the server when it is made."""

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


class ClickHouse:
    """One database of ours; every call blocks and belongs off the event loop."""

    def __init__(self, client: Client, database: str) -> None:
        self._client = client
        self.database = database

    def migrate(self) -> None:
        """Bring the tables up to date; repeatable, and safe when two processes start together."""
        with _sorted_errors():
            self._client.database = None
            self._client.command(f"CREATE DATABASE IF NOT EXISTS {self.database}")
            self._client.database = self.database
            for statement in statements():
                self._client.command(statement)

    def insert(self, table: str, rows: pa.Table, token: str) -> None:
        """Insert `rows` as one block; a repeat under the same token changes nothing."""
        if not rows.num_rows:
            return
        with _sorted_errors():
            self._client.raw_insert(
                f"{self.database}.{table}",
                column_names=rows.column_names,
                insert_block=arrow_stream(rows),
                fmt="ArrowStream",
                settings={**INSERT_SETTINGS, "insert_deduplication_token": f"{token}:{table}"},
            )

    def table(self, sql: str, parameters: Mapping[str, Any] | None = None) -> pa.Table:
        """The result as Arrow; `{db}` in `sql` is our database."""
        with _sorted_errors():
            found = sql.replace("{db}", self.database)
            return self._client.query_arrow(found, parameters=dict(parameters or {}), use_strings=True)

    def rows(self, sql: str, parameters: Mapping[str, Any] | None = None) -> list[dict[str, Any]]:
        """The result as dictionaries."""
        with _sorted_errors():
            result = self._client.query(sql.replace("{db}", self.database), parameters=dict(parameters or {}))
        return [dict(zip(result.column_names, row, strict=True)) for row in result.result_rows]

    def close(self) -> None:
        self._client.close()


def statements() -> Iterator[str]:
    """Every statement of every migration, in order."""
    folder = files("modelyard_monitor.migrations")
    for file in sorted((entry for entry in folder.iterdir() if entry.name.endswith(".sql")), key=lambda e: e.name):
        lines = [line for line in file.read_text().splitlines() if not line.startswith("--")]
        for statement in "\n".join(lines).split(";\n"):
            if statement.strip():
                yield statement.strip().rstrip(";")


def arrow_stream(rows: pa.Table) -> memoryview:
    """Arrow IPC stream of one record batch, written once into memory of the right size."""
    [batch] = rows.combine_chunks().to_batches()
    room = pa.allocate_buffer(pa.ipc.get_record_batch_size(batch) + len(batch.schema.serialize()) + STREAM_FRAME_BYTES)
    sink = pa.FixedSizeBufferWriter(room)
    with pa.ipc.new_stream(sink, batch.schema) as writer:
        writer.write_batch(batch)
    return memoryview(room)[: sink.tell()]


@contextmanager
def _sorted_errors() -> Iterator[None]:
    """Time-outs, overload and absence become ClickHouseAway; what is our fault goes through as it is."""
    try:
        yield
    except OperationalError as error:
        raise ClickHouseAway(f"ClickHouse is away: {_short(error)}") from error
    except DatabaseError as error:
        of_a_proxy = type(error) is DatabaseError and error.code is None  # ClickHouse's own have a code
        if of_a_proxy or error.code in RETRY_CODES:
            raise ClickHouseAway(f"ClickHouse cannot do it now: {_short(error)}") from error
        raise
    except (ConnectionError, TimeoutError) as error:
        raise ClickHouseAway(f"ClickHouse is away: {_short(error)}") from error


def _short(error: BaseException) -> str:
    text = str(error).splitlines()
    return text[0][:300] if text else type(error).__name__
