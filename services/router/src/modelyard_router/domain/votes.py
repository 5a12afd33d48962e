"""Combine the answers of an ensemble's members into one, and encode them for the record."""

from collections.abc import Sequence
from operator import mul
from typing import NamedTuple

from modelyard_contracts.inference import Answer
from modelyard_router.domain.avro import EMPTY, long
from modelyard_router.domain.leaves import Leaf


class Vote(NamedTuple):
    """A member's answers, one per row."""

    leaf: Leaf
    weight: float
    answers: Sequence[Answer]


def combine(combiner: str, votes: Sequence[Vote]) -> list[Answer]:
    """One answer per row; see `modelyard_contracts.routes.Ensemble` for the combiners.

    votes: at least one, with weights above 0 and the same classes in the same order. The weights are scaled to the
    members that voted. Of equal classes the first one of the signature wins.
    """
    total = sum([vote.weight for vote in votes])
    weights = [vote.weight / total for vote in votes]
    rows = zip(*[vote.answers for vote in votes], strict=True)
    if combiner == "mean":
        return [Answer(score=_mean(weights, [answer.score or 0.0 for answer in row])) for row in rows]
    contract = votes[0].leaf.contract
    scores_of = _soft if combiner == "soft" else _hard
    return [
        _classified(contract.classes, scores_of(contract.classes, weights, row), binary=contract.binary) for row in rows
    ]


def encode_votes(votes: Sequence[Vote], row: int) -> bytes:
    """The array of votes on one row."""
    if not votes:
        return EMPTY
    items = [vote.leaf.records.vote(vote.weight, *vote.answers[row][:2]) for vote in votes]
    return long(len(items)) + b"".join(items) + EMPTY


def _classified(classes: Sequence[str], scores: tuple[float, ...], *, binary: bool) -> Answer:
    largest = max(scores)
    return Answer(classes[scores.index(largest)], scores[-1] if binary else largest, scores)


def _soft(classes: Sequence[str], weights: Sequence[float], row: Sequence[Answer]) -> tuple[float, ...]:
    return tuple([_mean(weights, scores) for scores in zip(*[answer.scores for answer in row], strict=True)])


def _hard(classes: Sequence[str], weights: Sequence[float], row: Sequence[Answer]) -> tuple[float, ...]:
    voted = list(zip(weights, row, strict=True))
    return tuple(sum((weight for weight, answer in voted if answer.class_ == name), 0.0) for name in classes)


def _mean(weights: Sequence[float], values: Sequence[float]) -> float:
    return sum(map(mul, weights, values), 0.0)
