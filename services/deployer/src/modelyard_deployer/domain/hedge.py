"""Weights of the members of a vote, from the labels: exponential weights with a fixed share, on batches. Pure.

After a batch of labels, w_j <- w_j exp(-rate * loss_j), scaled to 1; then each label returns `share` of all weight to
the members in equal parts (Herbster and Warmuth, Tracking the best expert, 1998). A member that did not vote on the
rows of a batch is charged the weighted mean loss of those that did, which leaves its share as it was (Freund, Schapire,
Singer, Warmuth, Using and combining predictors that specialize, 1997).
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

STEPS: Final = 1_000
"""Weights are published in thousandths."""
LogWeights = Mapping[int, float]
"""Version to the logarithm of its share; the shares add up to 1."""


@dataclass(frozen=True)
class Batch:
    """Labels of rows on which the same members voted."""

    rows: int
    losses: Mapping[int, float]
    """Version to the sum of its losses, each in [0, 1]; after a draw, divided by the probability of the draw."""
    vote_loss: float
    """Sum of the losses of the answer that the callers got."""
    mean_loss: float | None = None
    """Sum of the members' mean losses by the weights that were published at that time; None if unknown."""
    drawn: bool = False
    """One member, drawn with the weights, answered these rows."""


@dataclass(frozen=True)
class Update:
    """Weights after a batch."""

    log_weights: dict[int, float]
    mean_loss: float = 0.0
    """Loss of the members on the batch, by their weights before it."""
    slack: float = 0.0
    """Rows by which the weighted mean may lose more on the batch than a member whose share stays the same."""


def update(log_weights: LogWeights, batch: Batch, rate: float, share: float) -> Update:
    """Return the weights after a batch; a batch without a vote of the present members changes nothing.

    rate: nats that a loss of 1 costs, > 0. share: in [0, 1), returned to all members with each label.
    """
    known = {version: loss for version, loss in batch.losses.items() if version in log_weights}
    if not known or batch.rows <= 0:
        return Update(dict(log_weights))
    asleep = 0.0 if batch.drawn else _mean(log_weights, known)  # the estimate of a draw is 0 for all others
    charged = {version: weight - rate * known.get(version, asleep) for version, weight in log_weights.items()}
    mean, mix = asleep, -_log_sum(charged.values()) / rate
    log_kept = batch.rows * math.log1p(-share)
    slack = max(mean - mix, 0.0) - log_kept / rate
    return Update(_shared(scaled(charged), log_kept), mean, slack)


def enter(log_weights: LogWeights, version: int, nats: float) -> dict[int, float]:
    """Add a member `nats` below the largest weight (above it if negative), or the first one with all the weight."""
    top = max(log_weights.values(), default=0.0)
    return scaled({**log_weights, version: top - nats})


def leave(log_weights: LogWeights, version: int) -> dict[int, float]:
    """Remove a member; the others keep their proportions."""
    return scaled({one: weight for one, weight in log_weights.items() if one != version})


def scaled(log_weights: LogWeights) -> dict[int, float]:
    """Scale the shares to a sum of 1."""
    if not log_weights:
        return {}
    total = _log_sum(log_weights.values())
    return {version: weight - total for version, weight in log_weights.items()}


def published(log_weights: LogWeights, floor: float = 1 / STEPS) -> dict[int, float]:
    """Shares in thousandths that add up to 1, none below `floor` (lowered if the members are too many for it)."""
    if not log_weights:
        return {}
    low = max(1, min(round(floor * STEPS), STEPS // len(log_weights)))
    parts = {one: max(low, round(STEPS * math.exp(weight))) for one, weight in scaled(log_weights).items()}
    while (excess := sum(parts.values()) - STEPS) != 0:  # taken from, or given to, the heaviest
        heaviest = max(parts, key=lambda one: (parts[one], -one))
        parts[heaviest] -= min(excess, parts[heaviest] - low) or excess
    return {version: part / STEPS for version, part in parts.items()}


def worst_case_rows(labels: int, members: int, rate: float, share: float, outstanding: int = 0) -> float:
    """Rows that the weighted mean may lose against the best member, on any sequence of labels.

    Fixed share against one member loses ln(N) / rate + T rate / 8 + T ln(1 / (1 - share)) / rate (Cesa-Bianchi and
    Lugosi, Prediction, learning, and games, 2006, theorems 2.2 and 5.2). A label that is still outstanding
    moves the weights by at most rate / 4 + share in total variation (Hoeffding, Pinsker), so that D of them cost at
    most min(1, D (rate / 4 + share)) per row.
    """
    late = min(1.0, outstanding * (rate / 4 + share))
    return math.log(members) / rate + labels * (rate / 8 - math.log1p(-share) / rate + late)


def _mean(log_weights: LogWeights, losses: Mapping[int, float]) -> float:
    """Mean loss of the members in `losses`, by their weights."""
    awake = scaled({version: log_weights[version] for version in losses})
    return sum(math.exp(weight) * losses[version] for version, weight in awake.items())


def _shared(log_weights: LogWeights, log_kept: float) -> dict[int, float]:
    """Keep the share exp(log_kept) of each weight and spread the rest over all members."""
    spread = -math.expm1(log_kept) / len(log_weights)
    if spread == 0.0:
        return dict(log_weights)
    return {one: _log_sum((weight + log_kept, math.log(spread))) for one, weight in log_weights.items()}


def _log_sum(values: Iterable[float]) -> float:
    """Logarithm of the sum of exponentials."""
    given = list(values)
    top = max(given)
    return top + math.log(math.fsum(math.exp(value - top) for value in given))
