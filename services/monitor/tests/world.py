"""All ingests of the monitor over one ClickHouse and in-memory ports."""

from dataclasses import dataclass

from modelyard_monitor.domain.watching import Unwatched
from modelyard_monitor.ingest.labels import LabelIngest
from modelyard_monitor.ingest.late_labels import LateJoiner
from modelyard_monitor.ingest.predictions import PredictionIngest
from modelyard_monitor.store.clickhouse import ClickHouse
from modelyard_monitor.testing.fakes import Letters, Manifests, Sent
from modelyard_runtime.changes import MemoryChanges
from modelyard_runtime.clock import FakeClock


@dataclass
class World:
    """The parts under test, and shortcuts to look at the tables."""

    clickhouse: ClickHouse
    manifests: Manifests
    sent: Sent
    letters: Letters
    clock: FakeClock
    predictions: PredictionIngest
    labels: LabelIngest
    late: LateJoiner
    unwatched: Unwatched
    changes: MemoryChanges

    def count(self, table: str) -> int:
        """Return the rows of a table or view."""
        [row] = self.clickhouse.rows(f"SELECT count() AS n FROM {{db}}.{table}")
        return int(row["n"])

    def is_exact(self, table: str) -> bool:
        """Return whether every stored row has its own place in Kafka."""
        sql = f"SELECT count() AS n, uniqExact(_topic, _partition, _offset) AS u FROM {{db}}.{table}"
        [row] = self.clickhouse.rows(sql)
        return bool(row["n"] == row["u"])
