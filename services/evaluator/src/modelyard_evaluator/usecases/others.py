"""Compare a challenger that would be deployed with the versions that may serve before it does.

While a rollout runs, nobody knows whether the version in its canary becomes the champion or is aborted. With these
numbers the deployer gives the canary's place to a better challenger, and drops one that is worse than what then serves.
"""

import logging
from collections.abc import Iterator

from modelyard_contracts import Verdict
from modelyard_evaluator.domain.errors import NotMeasurable
from modelyard_evaluator.domain.evaluation import Evaluation
from modelyard_evaluator.domain.ports import RegisteredVersion, Registry
from modelyard_evaluator.domain.standards import strict
from modelyard_evaluator.domain.verdict import Compared, Judgement, compared
from modelyard_evaluator.usecases.comparisons import Comparisons, side_of
from modelyard_evaluator.usecases.earlier_versions import comparable

log = logging.getLogger(__name__)


def compare_with_others(
    comparisons: Comparisons, evaluation: Evaluation, challenger: RegisteredVersion, judgement: Judgement
) -> tuple[Compared, ...]:
    """Compare the challenger with each version on its way to serve; versions that cannot be scored are left out."""
    if judgement.verdict is not Verdict.DEPLOY:
        return ()
    return tuple(_compared(comparisons, evaluation, challenger))


def _compared(comparisons: Comparisons, evaluation: Evaluation, challenger: RegisteredVersion) -> Iterator[Compared]:
    for number in _on_their_way(comparisons.registry, evaluation, challenger):
        version = comparisons.registry.version(evaluation.model, number)
        if not comparable(version, evaluation, challenger):
            log.info("version %s of %s cannot be compared on these rows", number, evaluation.model)
            continue
        try:
            comparisons.measure(side_of(number), version)
            comparison, _ = comparisons.compare(side_of(number), "challenger", f"version {number}")
        except NotMeasurable as error:
            log.warning("version %s of %s is left out: %s", number, evaluation.model, error)
        else:
            yield compared(number, comparison, strict(evaluation.policy))


def _on_their_way(registry: Registry, evaluation: Evaluation, challenger: RegisteredVersion) -> list[int]:
    """The version in a canary, and the newest approved one after the champion: its canary may begin any moment."""
    champion = evaluation.champion.version if evaluation.champion else 0
    waiting = [number for number in registry.approved(evaluation.model) if champion < number != challenger.version]
    found = {registry.in_canary(evaluation.model), *waiting[-1:]}
    return sorted(number for number in found if number not in (None, challenger.version, champion))
