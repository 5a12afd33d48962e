"""Policies that have run, beside what a team would do without the platform, as a report."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from modelyard_cli.backtest.baselines import oracle
from modelyard_cli.backtest.beside import Beside
from modelyard_cli.backtest.learners import Outputs
from modelyard_cli.backtest.policies import Policies
from modelyard_cli.backtest.report import Report
from modelyard_cli.backtest.results import Result, curves_of, result, version_starts
from modelyard_cli.backtest.timing import Timing
from modelyard_cli.context import Platform
from modelyard_cli.demo.data import Stream
from modelyard_cli.demo.measure import frozen_outputs, row_scores
from modelyard_cli.output import complaints

EVERY_ROWS: Final = 1_000
NOTE: Final = (
    "The policies ran on the real platform in lockstep: the next rows waited while a run, an evaluation or a start of "
    "replicas was open. Durations of the policies are those of the data. The other lines are computed offline."
)


@dataclass(frozen=True)
class Done:
    """A policy that has run: what it answered, and what the platform did."""

    policies: Policies
    stream: Stream
    outputs: Outputs
    facts: Result


def compare(
    platform: Platform, stream: Stream, timing: Timing, first: int, runs: Sequence[Done], beside: Beside
) -> Report:
    """The report of policies on a stream whose first rows trained version 1. Baselines have the window of the first."""
    truth = stream.labels[first:]

    def scored(outputs: Outputs) -> NDArray[np.float64]:
        return row_scores(outputs, truth, stream)

    lead = runs[0]
    trainings = int(lead.facts["trainings"])
    frozen_outputs_ = frozen_outputs(platform, lead.stream, first)
    frozen = scored(frozen_outputs_)
    every = (stream.rows - first) // EVERY_ROWS

    @cache
    def scheduled(count: int, window_rows: int) -> NDArray[np.float64]:
        return scored(beside.scheduled(frozen_outputs_, count, window_rows))

    with complaints.status("computing the baselines"):
        as_often = [scheduled(int(one.facts["trainings"]), one.policies.retrain.window_rows) for one in runs]
        found = {
            "frozen": (frozen, 0),
            "scheduled": (as_often[0], trainings),
            "scheduled_every": (scheduled(every, lead.policies.retrain.window_rows), every),
            "online": (scored(beside.online()), 0),
            "oracle": (_best_versions(platform, lead.stream, first, scored), trainings),
        }
    own = {one.policies.name: scored(one.outputs) for one in runs}
    return {
        "name": stream.name,
        "rows": stream.rows - first,
        "label_delay_rows": timing.delay_rows,
        "row_interval_s": None if stream.times is None else timing.row_s,
        "task": str(stream.task),
        "metric": "accuracy" if stream.classes else "mean absolute error",
        "note": NOTE,
        "data_notes": list(stream.notes),
        "policies": [
            result(
                one.policies.name,
                own[one.policies.name],
                frozen,
                stream,
                timing,
                **{
                    **one.facts,
                    "scheduled_as_often": round(float(blind.mean()), 4),
                    "documents": one.policies.stated(),
                },
            )
            for one, blind in zip(runs, as_often, strict=True)
        ],
        "baselines": {
            name: result(name, scores, frozen, stream, timing, trainings=count)
            for name, (scores, count) in found.items()
        },
        "curve": curves_of(own, {name: scores for name, (scores, _) in found.items()}),
    }


def _best_versions(platform: Platform, stream: Stream, first: int, scored: Any) -> NDArray[np.float64]:
    starts = version_starts(platform, stream.name)
    scores = np.array([scored(frozen_outputs(platform, stream, first, version)) for version in starts])
    since = [row - first for row in starts.values()]
    return oracle(scores, since, lower_is_better=not stream.classes)
