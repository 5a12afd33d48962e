"""The monitor's ClickHouse database: migrations, inserts with a deduplication token, queries."""

from collections.abc import Mapping
from typing import Any, Final

import pyarrow as pa

from modelyard_monitor.store.connection import Client, sorted_errors
from modelyard_monitor.store.migrations import statements

INSERT_SETTINGS: Final[Mapping[str, Any]] = {
    "async_insert": 0,
    "deduplicate_blocks_in_dependent_materialized_views": 1,
    "max_partitions_per_insert_block": 0,
}
STREAM_FRAME_BYTES: Final = 1024
"""Upper bound of an Arrow stream's framing around schema and batch: length prefixes and the end marker."""


class ClickHouse:
    """One ClickHouse database; every call blocks and belongs off the event loop."""

    def __init__(self, client: Client, database: str) -> None:
        self._client = client
        self.database = database

    def migrate(self) -> None:
        """Apply all migrations; repeatable, and safe when two processes start together."""
        with sorted_errors():
            self._client.database = None
            self._client.command(f"CREATE DATABASE IF NOT EXISTS {self.database}")
            self._client.database = self.database
            for statement in statements():
                self._client.command(statement)

    def insert(self, table: str, rows: pa.Table, token: str) -> None:
        """Insert `rows` as one block; a repeat under the same token changes nothing."""
        if not rows.num_rows:
            return
        with sorted_errors():
            self._client.raw_insert(
                f"{self.database}.{table}",
                column_names=rows.column_names,
                insert_block=arrow_stream(rows),
                fmt="ArrowStream",
                settings={**INSERT_SETTINGS, "insert_deduplication_token": f"{token}:{table}"},
            )

    def table(self, sql: str, parameters: Mapping[str, Any] | None = None) -> pa.Table:
        """Return the result as Arrow; `{db}` in `sql` stands for the database."""
        with sorted_errors():
            statement = sql.replace("{db}", self.database)
            return self._client.query_arrow(statement, parameters=dict(parameters or {}), use_strings=True)

    def rows(self, sql: str, parameters: Mapping[str, Any] | None = None) -> list[dict[str, Any]]:
        """Return the result as dictionaries; `{db}` in `sql` stands for the database."""
        with sorted_errors():
            result = self._client.query(sql.replace("{db}", self.database), parameters=dict(parameters or {}))
        return [dict(zip(result.column_names, row, strict=True)) for row in result.result_rows]

    def close(self) -> None:
        self._client.close()


def arrow_stream(rows: pa.Table) -> memoryview:
    """Return `rows` as an Arrow IPC stream of one record batch, written once into a buffer of the right size."""
    [batch] = rows.combine_chunks().to_batches()
    size = pa.ipc.get_record_batch_size(batch) + len(batch.schema.serialize()) + STREAM_FRAME_BYTES
    buffer = pa.allocate_buffer(size)
    sink = pa.FixedSizeBufferWriter(buffer)
    with pa.ipc.new_stream(sink, batch.schema) as writer:
        writer.write_batch(batch)
    return memoryview(buffer)[: sink.tell()]
