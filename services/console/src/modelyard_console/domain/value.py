"""What the loop is worth: what callers got beside version 1 alone, and what it cost."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, TypeVar

from modelyard import (
    MemberQuality,
    MembersOverTime,
    ModelTraffic,
    RolloutRun,
    TrafficBucket,
    TrafficOverTime,
    TrainingRun,
)
from modelyard_console.domain import links
from modelyard_console.domain.charts import Chart, Line, Mark
from modelyard_console.domain.formats import ratio
from modelyard_contracts import RolloutState, RunState

FIRST: Final = 1
"""The version that a team would have without the loop."""
ENDED_WELL: Final = (RolloutState.PROMOTED, RolloutState.ROLLED_BACK)
OneT = TypeVar("OneT", TrainingRun, RolloutRun)


@dataclass(frozen=True)
class ModelValue:
    """One model over a window. Costs are in US dollars."""

    model: str
    traffic: ModelTraffic | None
    trainings: int
    promotions: int
    rollbacks: int
    training_usd: float

    @property
    def accuracy(self) -> float | None:
        """Share of labelled predictions that were right; None without labels."""
        wrong = self.traffic.wrong_share if self.traffic else None
        return None if wrong is None else 1 - wrong

    @property
    def predictions_usd(self) -> float:
        return self.traffic.cost_usd if self.traffic else 0.0


@dataclass(frozen=True)
class Beside:
    """The answers of a window beside those of version 1 on the same labelled rows.

    answers, first: accuracy, or the mean absolute error of a regression. gain: positive when the answers were better.
    """

    rows: int
    answers: float
    first: float
    is_error: bool

    @property
    def gain(self) -> float:
        return self.first - self.answers if self.is_error else self.answers - self.first


def values_of(
    traffic: Sequence[ModelTraffic], runs: Iterable[TrainingRun], rollouts: Iterable[RolloutRun], since: datetime | None
) -> list[ModelValue]:
    """One row per model that had traffic, a training or a rollout since `since`; busiest first."""
    trained = _by_model(run for run in runs if run.state is RunState.SUCCEEDED and _in(run.created_at, since))
    moved = _by_model(one for one in rollouts if _in(one.created_at, since))
    served = {one.model: one for one in traffic}
    names = [*served, *sorted((trained.keys() | moved.keys()) - served.keys())]
    return [_value(name, served.get(name), trained.get(name, ()), moved.get(name, ())) for name in names]


def quality_beside_first(traffic: TrafficOverTime, members: MembersOverTime, rollouts: Iterable[RolloutRun]) -> Chart:
    """What callers got over time, and what version 1 got alone: by its votes, or else on the rows that it answered."""
    answers = _answers(traffic)
    first = _first(traffic, members)
    moments = sorted(answers.keys() | first.keys())
    is_error = any(row.mean_absolute_error is not None for row in traffic.items)
    lines = [Line("answers", [answers.get(at) for at in moments])]
    if first:
        lines.append(Line("version 1 alone", [first.get(at) for at in moments], dashed=True))
    title = "Mean absolute error" if is_error else "Accuracy"
    return Chart(title, moments, lines, _promotions(moments, rollouts))


def beside_first(members: MembersOverTime) -> Beside | None:
    """The answers and version 1 over the whole window; None where version 1 has no votes on labelled rows.

    Errors of a regression are averaged over intervals, each with equal weight.
    """
    rows = [one for one in members.items if one.version == FIRST]
    labelled = sum(one.labelled for one in rows)
    if labelled:
        wrong, answers = sum(one.wrong for one in rows), sum(one.answers_wrong for one in rows)
        return Beside(labelled, 1 - answers / labelled, 1 - wrong / labelled, is_error=False)
    errors = [
        (one.answers_mean_absolute_error, one.mean_absolute_error)
        for one in rows
        if one.answers_mean_absolute_error is not None and one.mean_absolute_error is not None
    ]
    if not errors:
        return None
    return Beside(
        len(errors),
        sum(pair[0] for pair in errors) / len(errors),
        sum(pair[1] for pair in errors) / len(errors),
        is_error=True,
    )


def _answers(traffic: TrafficOverTime) -> dict[datetime, float]:
    """What callers got, by interval; weighted by labels for classes."""
    found: dict[datetime, list[tuple[int, int, float | None, int]]] = {}
    for row in traffic.items:
        if row.variant != "shadow" and (row.labelled or row.mean_absolute_error is not None):
            found.setdefault(row.at, []).append((row.labelled, row.wrong, row.mean_absolute_error, row.predictions))
    return {at: value for at, rows in found.items() if (value := _mean(rows)) is not None}


def _mean(rows: Sequence[tuple[int, int, float | None, int]]) -> float | None:
    labelled = sum(row[0] for row in rows)
    if labelled:
        return 1 - sum(row[1] for row in rows) / labelled
    errors = [(row[2], row[3]) for row in rows if row[2] is not None]
    return ratio(sum(error * weight for error, weight in errors), sum(weight for _, weight in errors))


def _first(traffic: TrafficOverTime, members: MembersOverTime) -> dict[datetime, float]:
    votes = [one for one in members.items if one.version == FIRST]
    own = [one for one in traffic.items if one.version == FIRST and one.variant != "shadow"]
    return {one.at: value for one in votes or own if (value := _quality(one)) is not None}


def _quality(one: MemberQuality | TrafficBucket) -> float | None:
    if one.mean_absolute_error is not None:
        return one.mean_absolute_error
    return 1 - one.wrong / one.labelled if one.labelled else None


def _promotions(moments: Sequence[datetime], rollouts: Iterable[RolloutRun]) -> list[Mark]:
    found = []
    for one in rollouts:
        at = one.changed_at or one.created_at
        if at and moments and at >= moments[0] and one.state in ENDED_WELL:
            back = "back to " if one.state is RolloutState.ROLLED_BACK else ""
            found.append(Mark(at, f"{back}v{one.to_version}", links.rollout(one.rollout_id)))
    return found


def _value(
    model: str, traffic: ModelTraffic | None, runs: Sequence[TrainingRun], rollouts: Sequence[RolloutRun]
) -> ModelValue:
    states = [one.state for one in rollouts]
    return ModelValue(
        model,
        traffic,
        trainings=len(runs),
        promotions=states.count(RolloutState.PROMOTED),
        rollbacks=states.count(RolloutState.ROLLED_BACK),
        training_usd=sum(run.cost_usd for run in runs),
    )


def _by_model(items: Iterable[OneT]) -> dict[str, list[OneT]]:
    found: dict[str, list[OneT]] = {}
    for one in items:
        found.setdefault(one.model, []).append(one)
    return found


def _in(moment: datetime | None, since: datetime | None) -> bool:
    return since is None or (moment is not None and moment >= since)
