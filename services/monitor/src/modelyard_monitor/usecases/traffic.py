"""Traffic of all models, and of one model over time."""

from collections.abc import Collection
from datetime import UTC, datetime
from typing import Final

from modelyard_monitor.domain.ports import Row, TrafficRows
from modelyard_monitor.domain.traffic import ModelTraffic, TrafficBucket, TrafficOverTime, bucket_length_s
from modelyard_runtime.clock import Clock

UNLABELLED: Final = {"labelled": 0, "wrong": 0, "mean_absolute_error": None}


class Traffic:
    """Every method blocks; Retryable while the database is away."""

    def __init__(self, rows: TrafficRows, clock: Clock) -> None:
        self._rows = rows
        self._clock = clock

    def models(
        self, since: datetime, workspaces: Collection[str] | None, limit: int, names: Collection[str] = ()
    ) -> list[ModelTraffic]:
        """Return the models with traffic since a moment, busiest first. workspaces: None for all; names: () for all."""
        found = self._rows.models(since, workspaces, limit, names)
        served = [row["model"] for row in found]
        labels = {row["model"]: row for row in self._rows.labels(since, workspaces, served)} if served else {}
        return [ModelTraffic(**{**row, **UNLABELLED, **labels.get(row["model"], {})}) for row in found]

    def over_time(self, model: str, since: datetime, bucket_s: int, route: str) -> TrafficOverTime:
        """Return the traffic of a model by interval, version and variant; labels count at the prediction's time."""
        length_s = bucket_length_s(since, self._clock(), bucket_s)
        labels = {_served(row): row for row in self._rows.labelled_buckets(model, since, length_s, route)}
        rows = self._rows.buckets(model, since, length_s, route)
        items = tuple(_bucket({**row, **UNLABELLED, **labels.get(_served(row), {})}) for row in rows)
        return TrafficOverTime(model=model, bucket_s=length_s, items=items)


def _served(row: Row) -> tuple[int, int, str]:
    return row["at_s"], row["version"], row["variant"]


def _bucket(row: Row) -> TrafficBucket:
    at = datetime.fromtimestamp(row["at_s"], UTC)
    return TrafficBucket(at=at, **{name: value for name, value in row.items() if name != "at_s"})
