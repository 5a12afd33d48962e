"""Measure each version once and compare any two of them on the same rows."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from pydantic import TypeAdapter

from modelyard_evaluator.domain.ports import RegisteredVersion, Registry, Scorer
from modelyard_evaluator.domain.verdict import Comparison

_COMPARISON: Final = TypeAdapter(Comparison)


def side_of(version: int) -> str:
    """Folder and name of a version other than challenger and champion."""
    return f"version-{version}"


@dataclass
class Comparisons:
    """All comparisons of one evaluation. job: see scoring/compare.py."""

    registry: Registry
    scorer: Scorer
    folder: Path
    job: dict[str, Any]
    _costs: dict[str, dict[str, Any]] = field(default_factory=dict)

    def measure(self, side: str, version: RegisteredVersion) -> None:
        """Download and score a version, once; raises NotMeasurable, or ChallengerBroken for the side `challenger`."""
        if side in self._costs:
            return
        self.registry.download(version, self.folder / side)
        self._costs[side] = self.scorer.measure(self.folder, side)

    def compare(self, old: str | None, new: str, old_name: str) -> tuple[Comparison, dict[str, Any]]:
        """Compare side `new` with side `old` (None: the baseline); also returns the details of the report."""
        result = self.scorer.compare(self.folder, {**self.job, "old": old, "new": new})
        details = {name: result.pop(name, {}) for name in ("by_class", "metrics")}
        details["disagreements"] = result.pop("disagreements", [])
        costs = {"champion_cost": self._costs.get(old or ""), "challenger_cost": self._costs[new]}
        return _COMPARISON.validate_python({**result, **costs, "champion_name": old_name}), details
