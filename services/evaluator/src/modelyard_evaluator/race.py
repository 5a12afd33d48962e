"""Versions on the same rows, two by two. Those that served before compete, too: what was right may be right again.

Concepts recur (Widmer and Kubat 1996): a version that learned from the world as it was is better at its return than one
that has seen little of it. Only a version whose approval stands is asked; a roll-back or a failed canary took it away.
"""

import logging
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from pydantic import TypeAdapter

from modelyard_contracts import Verdict
from modelyard_evaluator.domain.model import Evaluation
from modelyard_evaluator.domain.ports import Known, Refused, Registry, Scorer
from modelyard_evaluator.domain.verdict import Comparison, Judgement, better

log = logging.getLogger(__name__)
_COMPARISON: Final = TypeAdapter(Comparison)


@dataclass
class Race:
    """Measures each side once and compares any two. `job`: metric, confidence, seed, baseline_class."""

    registry: Registry
    scorer: Scorer
    folder: Path
    job: dict[str, Any]
    _costs: dict[str, dict[str, Any]] = field(default_factory=dict)

    def enter(self, side: str, version: Known) -> None:
        """Fetch and measure; Refused, or ChallengerBroken for the challenger, when that cannot be."""
        self.registry.download(version.manifest, self.folder / side)
        self._costs[side] = self.scorer.measure(self.folder, side)

    def run(self, old: str | None, new: str, old_name: str) -> tuple[Comparison, dict[str, Any]]:
        """`new` against `old`, None for the commonest class; and the counts by class."""
        measured = self.scorer.compare(self.folder, {**self.job, "old": old, "new": new})
        by_class = measured.pop("by_class", {})
        costs = {"champion_cost": self._costs.get(old or ""), "challenger_cost": self._costs[new]}
        return _COMPARISON.validate_python({**measured, **costs, "champion_name": old_name}), by_class


@dataclass(frozen=True)
class Return:
    """An earlier version that beats the champion."""

    version: int
    found: Comparison
    """Against the champion."""


def best_earlier(race: Race, evaluation: Evaluation, challenger: Known, own: Judgement) -> Return | None:
    """The best of the earlier versions that beat the champion beyond doubt, and a challenger that would serve, too."""
    policy = evaluation.policy
    beaten = [back for back in _against_champion(race, evaluation, challenger) if better(back.found, policy)]
    if not beaten:
        return None
    best = max(beaten, key=lambda back: back.found.gain[1])
    if own.verdict is Verdict.DEPLOY:
        versus, _ = race.run("challenger", _side(best.version), f"version {challenger.version}")
        return best if better(versus, policy) else None
    return best


def _against_champion(race: Race, evaluation: Evaluation, challenger: Known) -> list[Return]:
    """The newest of this contract that saw none of the rows; one that cannot be scored is left out."""
    found = []
    for version in _candidates(race.registry, evaluation, challenger):
        try:
            race.enter(_side(version.version), version)
            compared, _ = race.run("champion", _side(version.version), evaluation.champion_name)
        except Refused as error:
            log.warning("version %s of %s cannot compete: %s", version.version, evaluation.model, error)
        else:
            found.append(Return(version.version, compared))
    return found


def _candidates(registry: Registry, evaluation: Evaluation, challenger: Known) -> list[Known]:
    champion = evaluation.champion.version if evaluation.champion else None
    others = [it for it in registry.approved(evaluation.model) if it not in (challenger.version, champion)]
    newest = others[max(0, len(others) - evaluation.policy.earlier_versions) :]
    contract, since = challenger.manifest.feature_schema.id, evaluation.since or evaluation.created_at
    known = [registry.version(evaluation.model, version) for version in newest]
    return [it for it in known if it.manifest.feature_schema.id == contract and it.seen_until <= since]


def _side(version: int) -> str:
    return f"version-{version}"
