"""Training runs as tables: candidates, metrics by group, and what differs between runs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from modelyard import TrainingRun
from modelyard_console.domain.comparison import Group, Row
from modelyard_console.domain.formats import flat, main_metrics, number, plain_value, seconds, short_digest, words
from modelyard_contracts import RunState

VIEWS: Final[Mapping[str, tuple[RunState, ...]]] = {
    "runs": tuple(state for state in RunState if state is not RunState.REFUSED),
    "running": (RunState.REQUESTED, RunState.SNAPSHOTTING, RunState.TRAINING, RunState.REGISTERING),
    "succeeded": (RunState.SUCCEEDED,),
    "failed": (RunState.FAILED, RunState.CANCELLED),
    "refused": (RunState.REFUSED,),
}
"""Tabs of the list to the states that they show."""
CANCELLABLE: Final = (RunState.REQUESTED, RunState.SNAPSHOTTING, RunState.TRAINING)
CANDIDATE: Final = "candidate_"
_GROUPS: Final = {"validation_": "On validation rows", "baseline_": "Of the baseline"}
_LOSSES: Final = ("mae", "rmse", "log_loss")
"""Metrics of which less is better."""


@dataclass(frozen=True)
class Candidate:
    """A model that the recipe tried. won: whether it became the version."""

    name: str
    score: float
    won: bool


def candidates(run: TrainingRun) -> list[Candidate]:
    """Candidates of a run, the best first."""
    found = {name.removeprefix(CANDIDATE): score for name, score in run.metrics.items() if name.startswith(CANDIDATE)}
    ordered = sorted(found.items(), key=lambda item: item[1], reverse=not _less_is_better(run.metrics))
    return [Candidate(name, score, place == 0) for place, (name, score) in enumerate(ordered)]


def _less_is_better(metrics: Mapping[str, float]) -> bool:
    """Candidates are judged by the metric whose validation value is the winner's score."""
    scores = {score for name, score in metrics.items() if name.startswith(CANDIDATE)}
    chosen = [name.removeprefix("validation_") for name in metrics if name.startswith("validation_")]
    judged = [name for name in chosen if metrics[f"validation_{name}"] in scores]
    return bool(judged) and judged[0] in _LOSSES


def metric_groups(run: TrainingRun) -> list[tuple[str, list[tuple[str, float]]]]:
    """Metrics by group: of the version on held-out rows first, then by prefix, then the rest."""
    own = main_metrics(run.metrics)
    groups: dict[str, list[tuple[str, float]]] = {"On held-out rows": list(own.items())}
    for name, value in run.metrics.items():
        if name in own or name.startswith(CANDIDATE):
            continue
        prefix = next((prefix for prefix in _GROUPS if name.startswith(prefix)), "")
        groups.setdefault(_GROUPS.get(prefix, "Other"), []).append((name.removeprefix(prefix), value))
    return [(title, rows) for title, rows in groups.items() if rows]


def duration_s(run: TrainingRun, now: datetime) -> float | None:
    """Seconds from the start to the end, or until now."""
    if run.started_at is None:
        return None
    return ((run.ended_at or now) - run.started_at).total_seconds()


def compare_runs(runs: Sequence[TrainingRun], now: datetime) -> list[Group]:
    """Runs side by side: properties, data, parameters, policy and metrics; those that differ first."""
    groups = (
        ("Run", [_head(run, now) for run in runs]),
        ("Metrics", [dict(run.metrics) for run in runs]),
        ("Data", [_data(run) for run in runs]),
        ("Parameters", [dict(run.parameters) for run in runs]),
        ("Retraining policy", [flat(run.policy) for run in runs]),
    )
    found = [Group(title, _rows(sides)) for title, sides in groups]
    return [group for group in found if group.rows]


def _rows(sides: Sequence[Mapping[str, Any]]) -> tuple[Row, ...]:
    names = dict.fromkeys(name for side in sides for name in side)
    rows = [Row(words(name), tuple(plain_value(side.get(name)) for side in sides)) for name in names]
    return tuple(sorted(rows, key=lambda row: not row.changed))


def _head(run: TrainingRun, now: datetime) -> dict[str, Any]:
    return {
        "model": run.model,
        "state": words(run.state),
        "recipe": run.recipe,
        "version": f"v{run.version}" if run.version else None,
        "trigger": words(run.trigger),
        "why": run.why,
        "requested by": run.requested_by,
        "duration": seconds(duration_s(run, now)),
        "cost": f"${number(run.cost_usd, 4)}",
    }


def _data(run: TrainingRun) -> dict[str, Any]:
    return {
        "dataset": short_digest(run.dataset_digest),
        "source": "given dataset" if run.given_dataset else "snapshot of labelled rows",
        "rows until": f"{run.as_of:%Y-%m-%d %H:%M:%S} UTC" if run.as_of else None,
        **flat(run.data),
    }
