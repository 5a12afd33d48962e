"""Runs of experiments as tables and charts: columns of values, runs side by side, metrics by step."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from modelyard.records import ArtifactInfo, ExperimentRun, MetricValue
from modelyard_console.domain.charts import Chart, Line
from modelyard_console.domain.comparison import Group, Row
from modelyard_console.domain.formats import number, plain_value, seconds

MAX_COLUMNS: Final = 6
"""Most metrics, and most parameters, of a list of runs."""
TRAINER: Final = "trainer"
HIDDEN: Final = ("mlflow.",)
"""Beginnings of tags that the client of MLflow sets for itself."""


def columns(runs: Sequence[ExperimentRun]) -> tuple[list[str], list[str]]:
    """Names of metrics and of parameters that most runs have."""
    return _frequent([run.metrics for run in runs]), _frequent([run.params for run in runs])


def _frequent(found: Sequence[Mapping[str, Any]]) -> list[str]:
    counts: dict[str, int] = {}
    for values in found:
        for name in values:
            counts[name] = counts.get(name, 0) + 1
    ordered = sorted(counts, key=lambda name: (-counts[name], name))
    return sorted(ordered[:MAX_COLUMNS])


def shown(metric: MetricValue | None) -> str:
    """A value of a metric; NaN and infinity by their names."""
    return number(None) if metric is None else metric.text if metric.value is None else number(metric.value, 4)


def duration_s(run: ExperimentRun, now: datetime) -> float:
    """Seconds from the start to the end, or until now."""
    return max(((run.ended_at or now) - run.started_at).total_seconds(), 0.0)


def training_id(run: ExperimentRun) -> str | None:
    """Id of the training run of the platform that this run mirrors."""
    return str(UUID(run.id)) if run.model is not None and run.created_by == TRAINER else None


def own_tags(run: ExperimentRun) -> dict[str, str]:
    """Tags that a person or a program set on purpose."""
    return {name: value for name, value in sorted(run.tags.items()) if not name.startswith(HIDDEN)}


def compare(runs: Sequence[ExperimentRun], now: datetime) -> list[Group]:
    """Runs side by side; what differs comes first."""
    groups = (
        ("Run", [_head(run, now) for run in runs]),
        ("Metrics", [{name: shown(one) for name, one in sorted(run.metrics.items())} for run in runs]),
        ("Parameters", [dict(sorted(run.params.items())) for run in runs]),
        ("Tags", [own_tags(run) for run in runs]),
    )
    found = [Group(title, _rows(sides)) for title, sides in groups]
    return [group for group in found if group.rows]


def metric_chart(name: str, runs: Sequence[tuple[str, Sequence[MetricValue]]]) -> Chart:
    """Values of a metric by step, one line for each run; the last value of a step counts."""
    steps = sorted({one.step for _, points in runs for one in points})
    lines = []
    for label, points in runs:
        values = {one.step: one.value for one in points}
        lines.append(Line(label, [values.get(step) for step in steps]))
    return Chart(name, steps, lines, x_label="step")


def parents(folder: str) -> list[tuple[str, str]]:
    """(name, path) of a folder and of those above it, from the root on."""
    parts = folder.split("/") if folder else []
    return [(name, "/".join(parts[: place + 1])) for place, name in enumerate(parts)]


def file_name(artifact: ArtifactInfo) -> str:
    """Name of a file or folder without the folders above it."""
    return artifact.path.rpartition("/")[2]


def _head(run: ExperimentRun, now: datetime) -> dict[str, Any]:
    return {
        "name": run.name,
        "status": run.status.lower(),
        "user": run.user,
        "started": f"{run.started_at:%Y-%m-%d %H:%M:%S} UTC",
        "duration": seconds(duration_s(run, now)),
    }


def _rows(sides: Sequence[Mapping[str, Any]]) -> tuple[Row, ...]:
    names = dict.fromkeys(name for side in sides for name in side)
    rows = [Row(name, tuple(plain_value(side.get(name)) for side in sides)) for name in names]
    return tuple(sorted(rows, key=lambda row: not row.changed))
