"""Compare versions that served before: when an earlier concept recurs, an earlier version may be the best again.

Widmer and Kubat (1996): a model trained on a concept performs better at the concept's return than a model that has seen
little of it. Only versions whose approval stands take part; a roll-back or a failed canary withdraws it.
"""

import logging
from dataclasses import dataclass

from modelyard_contracts import Verdict
from modelyard_evaluator.domain.errors import NotMeasurable
from modelyard_evaluator.domain.evaluation import Evaluation
from modelyard_evaluator.domain.ports import RegisteredVersion, Registry
from modelyard_evaluator.domain.standards import strict
from modelyard_evaluator.domain.verdict import Comparison, Judgement, better
from modelyard_evaluator.usecases.comparisons import Comparisons, side_of
from modelyard_evaluator.usecases.prepare import since_of

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class EarlierVersion:
    """An earlier version, compared with the champion."""

    version: int
    comparison: Comparison


def best_earlier_version(
    comparisons: Comparisons, evaluation: Evaluation, challenger: RegisteredVersion, judgement: Judgement
) -> EarlierVersion | None:
    """The best earlier version that significantly beats the champion, and the challenger if that would be deployed."""
    policy = strict(evaluation.policy)
    compared = _compare_with_champion(comparisons, evaluation, challenger)
    winners = [earlier for earlier in compared if better(earlier.comparison, policy)]
    if not winners:
        return None
    best = max(winners, key=lambda earlier: earlier.comparison.gain[1])
    if judgement.verdict is not Verdict.DEPLOY:
        return best
    versus_challenger, _ = comparisons.compare("challenger", side_of(best.version), f"version {challenger.version}")
    return best if better(versus_challenger, policy) else None


def comparable(version: RegisteredVersion, evaluation: Evaluation, challenger: RegisteredVersion) -> bool:
    """Whether a version has the challenger's signature and saw none of the rows in training."""
    return version.signature_id == challenger.signature_id and version.seen_until <= since_of(evaluation)


def _compare_with_champion(
    comparisons: Comparisons, evaluation: Evaluation, challenger: RegisteredVersion
) -> list[EarlierVersion]:
    """Compare every candidate with the champion; candidates that cannot be scored are skipped."""
    compared = []
    for candidate in _candidates(comparisons.registry, evaluation, challenger):
        side = side_of(candidate.version)
        try:
            comparisons.measure(side, candidate)
            comparison, _ = comparisons.compare("champion", side, evaluation.champion_name)
        except NotMeasurable as error:
            log.warning("version %s of %s is left out: %s", candidate.version, evaluation.model, error)
        else:
            compared.append(EarlierVersion(candidate.version, comparison))
    return compared


def _candidates(registry: Registry, evaluation: Evaluation, challenger: RegisteredVersion) -> list[RegisteredVersion]:
    """The newest approved versions that may be compared, without the one in a canary: that one is on its way."""
    champion = evaluation.champion.version if evaluation.champion else None
    left_out = {challenger.version, champion, registry.in_canary(evaluation.model)}
    others = [number for number in registry.approved(evaluation.model) if number not in left_out]
    newest = others[max(0, len(others) - evaluation.policy.earlier_versions) :]
    versions = [registry.version(evaluation.model, number) for number in newest]
    return [version for version in versions if comparable(version, evaluation, challenger)]
