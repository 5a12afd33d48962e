"""Traffic of one model as charts and figures."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from modelyard import Alert, RolloutRun, TrafficBucket, TrafficOverTime
from modelyard_console.domain import links
from modelyard_console.domain.charts import Chart, Line, Mark
from modelyard_console.domain.formats import ratio

PERFORMANCE: Final = frozenset({"performance", "error_rate", "absolute_error", "quality"})
"""Kinds of alarms that are about quality, which a chart of quality marks."""


@dataclass(frozen=True)
class Served:
    """What one version did over a window."""

    predictions: int = 0
    errors: int = 0
    labelled: int = 0
    wrong: int = 0
    last_at: datetime | None = None
    share: float | None = None
    """Of the requests of the whole model."""

    @property
    def accuracy(self) -> float | None:
        wrong = ratio(self.wrong, self.labelled)
        return None if wrong is None else 1 - wrong

    @property
    def error_rate(self) -> float | None:
        return ratio(self.errors, self.predictions)


def versions_now(traffic: TrafficOverTime) -> dict[int, Served]:
    """What each version did over the window, copies of requests left out."""
    answered = [one for one in traffic.items if one.variant != "shadow"]
    total = sum(one.predictions for one in answered)
    return {version: _served(rows, total) for version, rows in _by_version(answered).items()}


def _served(rows: Sequence[TrafficBucket], total: int) -> Served:
    predictions = sum(row.predictions for row in rows)
    return Served(
        predictions=predictions,
        errors=sum(row.errors for row in rows),
        labelled=sum(row.labelled for row in rows),
        wrong=sum(row.wrong for row in rows),
        last_at=max((row.at for row in rows), default=None),
        share=ratio(predictions, total),
    )


def requests_chart(traffic: TrafficOverTime) -> Chart:
    """Requests per minute of each version."""
    moments = sorted({row.at for row in traffic.items})
    lines = [
        Line(f"v{version}", _along(moments, rows, lambda row: 60 * row.predictions / traffic.bucket_s))
        for version, rows in sorted(_by_version(traffic.items).items())
    ]
    return Chart("Requests per minute", moments, lines)


def quality_chart(traffic: TrafficOverTime, rollouts: Iterable[RolloutRun], alerts: Iterable[Alert]) -> Chart:
    """Accuracy of each version where labels came, or the mean absolute error; with promotions and alarms as marks."""
    regression = any(row.mean_absolute_error is not None for row in traffic.items)
    labelled = [row for row in traffic.items if row.labelled or row.mean_absolute_error is not None]
    moments = sorted({row.at for row in labelled})
    lines = [
        Line(f"v{version}", _along(moments, rows, _error if regression else _accuracy))
        for version, rows in sorted(_by_version(labelled).items())
    ]
    return Chart("Mean absolute error" if regression else "Accuracy", moments, lines, _marks(moments, rollouts, alerts))


def _accuracy(row: TrafficBucket) -> float | None:
    wrong = ratio(row.wrong, row.labelled)
    return None if wrong is None else 1 - wrong


def _error(row: TrafficBucket) -> float | None:
    return row.mean_absolute_error


def _by_version(rows: Iterable[TrafficBucket]) -> dict[int, list[TrafficBucket]]:
    found: dict[int, list[TrafficBucket]] = {}
    for row in rows:
        found.setdefault(row.version, []).append(row)
    return found


def _along(
    moments: Sequence[datetime], rows: Sequence[TrafficBucket], value: Callable[[TrafficBucket], float | None]
) -> list[float | None]:
    """The values of one version at all moments; of several variants in one interval, that with most requests."""
    busiest: dict[datetime, TrafficBucket] = {}
    for row in sorted(rows, key=lambda row: row.predictions):
        busiest[row.at] = row
    return [value(busiest[moment]) if moment in busiest else None for moment in moments]


def _marks(moments: Sequence[datetime], rollouts: Iterable[RolloutRun], alerts: Iterable[Alert]) -> list[Mark]:
    if not moments:
        return []
    promoted = [
        Mark(one.created_at, f"v{one.to_version} {one.state.value.replace('_', ' ')}", links.rollout(one.rollout_id))
        for one in rollouts
        if one.created_at and one.ended and one.created_at >= moments[0]
    ]
    raised = [
        Mark(one.occurred_at, f"{one.kind} alarm", links.alarm(one.event_id))
        for one in alerts
        if one.occurred_at >= moments[0] and one.kind in PERFORMANCE
    ]
    return sorted(promoted + raised, key=lambda mark: _epoch(mark.at))


def _epoch(at: datetime | float) -> float:
    return at.timestamp() if isinstance(at, datetime) else at
