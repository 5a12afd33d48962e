"""Accuracy of the vote on Elec2 with delayed labels, by the deployer's own code, for several settings of its policy.

    python services/deployer/benchmarks/weights.py [--cache DIR] [--label-delay 240] [--every 300]
    python services/deployer/benchmarks/weights.py --version-every 2500 --late 1200   # as in the live demo

A version every 1,000 rows, trained on the newest 2,000 labelled ones (the best of logistic regression, boosting, and
boosting on the newer half, by the newest sixth); version 1 is trained on the first tenth. Settings are chosen on the
first half of the remaining rows and reported on the second (decision 0063). The third figure is the accuracy beside
version 1 in the eighth of the stream where that is least. About two minutes on one core.
"""

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from modelyard_cli.demo.data import load
from modelyard_contracts.policies import AdaptivePolicy
from modelyard_deployer.domain.hedge import Batch
from modelyard_deployer.domain.votes import Vote, follow, join, leave, regret

AT: Final = datetime(2026, 1, 1, tzinfo=UTC)
WINDOW: Final = 2_000
EIGHTHS: Final = 8
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Answers:
    """Probabilities of the positive class, shape (versions, rows), the true classes, and the row each one joins at."""

    scores: Floats
    truth: NDArray[np.bool_]
    born: tuple[int, ...]


def versions(numbers: Floats, truth: NDArray[np.bool_], delay: int, every: int, late: int) -> Answers:
    """A version every `every` rows; it joins `late` rows after its training began."""
    first = len(truth) // 10
    born = (0, *range(every, len(truth) - first - late, every))
    ends = [first if not row else first + row - delay for row in born]
    models = [_best(numbers, truth, 0 if not row else end - WINDOW, end) for row, end in zip(born, ends, strict=True)]
    scores = np.stack([model.predict_proba(numbers[first:])[:, 1] for model in models])
    return Answers(scores, truth[first:], (0, *(row + late for row in born[1:])))


def _best(numbers: Floats, truth: NDArray[np.bool_], low: int, high: int) -> Any:
    """The best of three recipes on the newest sixth of the rows, fitted on all of its rows."""
    cut, newer = high - (high - low) // 6, (low + high) // 2
    recipes = ((_linear, low), (_boosting, low), (_boosting, newer))
    rates = [make(numbers[a:cut], truth[a:cut]).score(numbers[cut:high], truth[cut:high]) for make, a in recipes]
    make, start = recipes[int(np.argmax(rates))]
    return make(numbers[start:high], truth[start:high])


def _linear(numbers: Floats, truth: NDArray[np.bool_]) -> Any:
    return make_pipeline(StandardScaler(), LogisticRegression(max_iter=200)).fit(numbers, truth)


def _boosting(numbers: Floats, truth: NDArray[np.bool_]) -> Any:
    return HistGradientBoostingClassifier(max_iter=60).fit(numbers, truth)


def answer(given: Answers, policy: AdaptivePolicy, delay: int, every: int) -> tuple[NDArray[np.bool_], Vote]:
    """Whether the soft vote is right on each row, and the state at the end. Labels are applied every `every` rows."""
    rows, vote, done = len(given.truth), join(Vote("m"), 1, AT, policy), 0
    right, used = np.empty(rows, bool), np.zeros_like(given.scores)
    wrong = (given.scores > 0.5) != given.truth
    edges = sorted({*range(0, rows, every), *given.born, rows})
    for start, end in pairwise(edges):
        if start % every == 0 and start - delay > done:
            vote = follow(vote, _batches(given, wrong, used, right, done, start - delay), policy, AT)
            done = start - delay
        if start in given.born[1:]:
            vote = _with_newcomer(vote, given.born.index(start) + 1, policy)
        for member in vote.members:
            used[member.version - 1, start:end] = member.weight
        right[start:end] = ((used[:, start:end] * given.scores[:, start:end]).sum(0) > 0.5) == given.truth[start:end]
    return right, vote


def _batches(
    given: Answers, wrong: NDArray[np.bool_], used: Floats, right: NDArray[np.bool_], low: int, high: int
) -> Iterator[Batch]:
    """Labels in groups of rows on which the same members voted."""
    for start, end in _same(used[:, low:high] > 0):
        rows = slice(low + start, low + end)
        asked = np.flatnonzero(used[:, rows.start] > 0)
        losses = {int(one) + 1: float(wrong[one, rows].sum()) for one in asked}
        mean = float((used[:, rows] * wrong[:, rows]).sum())
        yield Batch(end - start, losses, float((~right[rows]).sum()), mean)


def _same(asked: NDArray[np.bool_]) -> Iterator[tuple[int, int]]:
    changes = np.flatnonzero((asked[:, 1:] != asked[:, :-1]).any(0)) + 1
    edges = [0, *changes.tolist(), asked.shape[1]]
    yield from pairwise(edges)


def _with_newcomer(vote: Vote, version: int, policy: AdaptivePolicy) -> Vote:
    vote = join(vote, version, AT, policy)
    stay = {version, 1 if policy.keep_first else 0}
    while len(vote.members) > policy.members:
        least = min((one for one in vote.members if one.version not in stay), key=lambda one: one.log_weight)
        vote = leave(vote, least.version, AT, "least weight")
    return vote


SETTINGS: Final[tuple[dict[str, Any], ...]] = (
    {},
    *({"learning_rate": rate} for rate in (0.05, 0.1, 0.2, 0.3, 0.5)),
    *({"share": share} for share in (0.0, 0.0003, 0.003, 0.01)),
    *({"entry_nats": nats} for nats in (0.0, 2.0, 3.0)),
    *({"members": members} for members in (2, 3, 4, 7, 9)),
    {"members": 4, "learning_rate": 0.05},
    {"keep_first": False},
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cache", type=Path, default=Path(".modelyard/cache"))
    parser.add_argument("--label-delay", type=int, default=240)
    parser.add_argument("--every", type=int, default=300, help="Rows between two updates of the weights.")
    parser.add_argument("--version-every", type=int, default=1_000, help="Rows between two versions.")
    parser.add_argument("--late", type=int, default=0, help="Rows between a training and its version in the vote.")
    given = parser.parse_args()
    stream = load(None, given.cache)
    truth = np.asarray(stream.labels == stream.classes[-1])
    numbers = np.asarray(stream.numbers, float)
    found = versions(numbers, truth, given.label_delay, given.version_every, given.late)
    half = len(found.truth) // 2
    frozen = (found.scores[0] > 0.5) == found.truth
    print(f"{'version 1 alone':32} {frozen[:half].mean():.4f} {frozen[half:].mean():.4f}")
    for setting in SETTINGS:
        right, vote = answer(found, AdaptivePolicy(**setting), given.label_delay, given.every)
        name = ", ".join(f"{key} {value:g}" for key, value in setting.items()) or "defaults"
        worst = min(float(part.mean()) for part in np.array_split(right.astype(float) - frozen, EIGHTHS))
        print(f"{name:32} {right[:half].mean():.4f} {right[half:].mean():.4f} {worst:+.4f}  {regret(vote)}", flush=True)


if __name__ == "__main__":
    main()
