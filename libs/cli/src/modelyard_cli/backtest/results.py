"""What one way to work gave on the stream: the same figures for policies and baselines."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from modelyard_cli.backtest.timing import Timing
from modelyard_cli.context import Platform
from modelyard_cli.demo.data import Stream
from modelyard_cli.demo.measure import mean_by_part, rolling
from modelyard_cli.demo.traffic import row_of

WINDOW_ROWS = 500
"""Means over this many rows are compared for the time below the frozen version."""
DRAWN = ("online", "scheduled", "frozen", "oracle")
"""Baselines whose curves are in the report."""
VERSIONS_SQL = """
SELECT version, min(prediction_id) AS since FROM (
    SELECT model_version AS version, prediction_id FROM predictions WHERE model = {model:String}
    UNION ALL
    SELECT toUInt32(tupleElement(vote, 'version')), prediction_id FROM predictions ARRAY JOIN votes AS vote
    WHERE model = {model:String}
) GROUP BY version ORDER BY version"""

Result = dict[str, Any]


def result(
    name: str, scores: NDArray[np.float64], frozen: NDArray[np.float64], stream: Stream, timing: Timing, **facts: Any
) -> Result:
    """Figures of one way to work. scores, frozen: per row, right or wrong for classes, absolute errors for values."""
    return {
        "name": name,
        "metric_overall": round(float(scores.mean()), 4),
        "metric": mean_by_part(scores),
        "trainings": 0,
        "scheduled_as_often": None,
        "train_cost_usd": 0.0,
        "alarms": 0,
        "rollbacks": 0,
        "seconds_below_frozen": round(rows_below(scores, frozen, lower_is_better=not stream.classes) * timing.row_s, 1),
        **facts,
    }


def curves_of(
    policies: Mapping[str, NDArray[np.float64]], baselines: Mapping[str, NDArray[np.float64]]
) -> dict[str, list[tuple[int, float]]]:
    """Return the rolling metric of each policy, then of the baselines to draw, under the names in the report.

    policies, baselines: scores by name, shape (rows,). A point is (rows so far, mean over the WINDOW_ROWS before).
    """
    shown = {f"policy {name}": scores for name, scores in policies.items()}
    shown |= {name: baselines[name] for name in DRAWN}
    return {name: rolling(scores, WINDOW_ROWS) for name, scores in shown.items()}


def rows_below(scores: NDArray[np.float64], frozen: NDArray[np.float64], *, lower_is_better: bool) -> int:
    """Rows at which the mean over the WINDOW_ROWS before is worse than the frozen version's."""
    difference = (frozen - scores) if lower_is_better else (scores - frozen)
    if len(difference) < WINDOW_ROWS:
        return int(len(difference) if difference.sum() < 0 else 0)
    sums = np.cumsum(np.concatenate([[0.0], difference]))
    return int((sums[WINDOW_ROWS:] - sums[:-WINDOW_ROWS] < -1e-9).sum())


def platform_facts(platform: Platform, model: str) -> Mapping[str, Any]:
    """Trainings, their cost, alarms and roll-backs of a model; that of version 1 is not counted."""
    found = platform.trainer.runs(model, limit=1_000)
    runs = [run for run in found if run.state == "succeeded" and run.version != 1]
    rollouts = platform.deployer.rollouts(model, limit=1_000)
    drift = platform.monitor.drift(model, limit=1_000)
    return {
        "trainings": len(runs),
        "train_cost_usd": round(sum(run.cost_usd for run in runs), 6),
        "alarms": sum(event.payload.get("severity") != "info" for event in drift),
        "rollbacks": sum(one.action == "roll_back" or one.evidence.get("against_version") == 1.0 for one in rollouts),
    }


def version_starts(platform: Platform, model: str) -> dict[int, int]:
    """First row of the stream that each version answered, alone or by a vote."""
    found: Sequence[dict[str, Any]] = platform.query(VERSIONS_SQL, {"model": model})
    return {row["version"]: row_of(f"backtest-{model}", row["since"]) for row in found}
