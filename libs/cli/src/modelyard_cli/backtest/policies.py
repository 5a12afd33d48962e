"""Policy files of a backtest, and their durations in the time of the data."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

import yaml
from pydantic import ValidationError

from modelyard_cli.stack.layout import StackError
from modelyard_contracts.policies import GatePolicy, RetrainPolicy, RolloutPolicy
from modelyard_contracts.sentences import explain

UNITS_S: Final = {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800}
DAY_S: Final = 86_400
MOST_RUNS: Final = 86_400
LONGEST_HOLD_S: Final = 600.0
DEFAULT_NAME: Final = "adaptive"
COOL_DOWN_ROWS: Final = 500
"""Of the policy without a file."""


@dataclass(frozen=True)
class Policies:
    """The three policies of one model, under the name of their file."""

    name: str
    gate: GatePolicy
    retrain: RetrainPolicy
    rollout: RolloutPolicy

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read a YAML file with the sections gate, retrain and rollout; StackError names the field at fault."""
        try:
            found = yaml.safe_load(path.read_text()) or {}
        except (OSError, UnicodeError, yaml.YAMLError) as error:
            raise StackError(f"--policy {path}: cannot be read: {error}") from error
        if not isinstance(found, dict) or set(found) - {"gate", "retrain", "rollout"}:
            raise StackError(f"--policy {path}: write the sections gate, retrain and rollout, and no others")
        return cls(
            _name(path.stem),
            _parsed(path, "gate", GatePolicy, found),
            _parsed(path, "retrain", RetrainPolicy, found),
            _parsed(path, "rollout", RolloutPolicy, found),
        )

    @classmethod
    def usual(cls, row_s: float) -> Self:
        """Versions vote, with a cool-down of COOL_DOWN_ROWS; everything else by default."""
        return cls(
            DEFAULT_NAME,
            GatePolicy(),
            RetrainPolicy(cool_down_s=COOL_DOWN_ROWS * row_s),
            RolloutPolicy.model_validate({"strategy": "adaptive"}),
        )

    def at_pace(self, wall_s_per_data_s: float, data_s: float) -> "Policies":
        """The policies as the platform gets them: durations of the data as seconds on the clock of the backtest.

        data_s: how long the data are. A budget of runs per day becomes one for all days, as the backtest takes less.
        """

        def wall(seconds: float) -> float:
            return seconds * wall_s_per_data_s

        retrain = self.retrain.model_copy(
            update={
                "cool_down_s": wall(self.retrain.cool_down_s),
                "max_runs_per_day": min(round(self.retrain.max_runs_per_day * max(data_s / DAY_S, 1.0)), MOST_RUNS),
            }
        )
        adaptive = self.rollout.adaptive
        rollout = self.rollout.model_copy(
            update={
                "min_step_s": wall(self.rollout.min_step_s),
                "max_hold_s": max(wall(self.rollout.max_hold_s), LONGEST_HOLD_S),
                "keep_warm_s": wall(self.rollout.keep_warm_s),
                "adaptive": adaptive.model_copy(update={"update_every_s": max(wall(adaptive.update_every_s), 0.1)}),
            }
        )
        return Policies(self.name, self.gate, retrain, rollout)

    def documents(self) -> tuple[GatePolicy, RetrainPolicy, RolloutPolicy]:
        """All three, in the order in which they are set."""
        return self.gate, self.retrain, self.rollout


def _parsed(path: Path, kind: str, of: Any, found: Mapping[str, Any]) -> Any:
    try:
        return of.model_validate(found.get(kind) or {})
    except ValidationError as error:
        explained = explain(error)
        raise StackError(f"--policy {path}: {kind}.{explained.field or ''}: {explained.problem}") from error


def _name(text: str) -> str:
    """Part of a model's name."""
    return re.sub("[^a-z0-9]+", "-", text.lower()).strip("-")[:40] or "policy"


def duration_s(text: str) -> float:
    """Seconds of a duration such as 30d, 12h, 90m or 45s; ValueError otherwise."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([smhdw])", text.strip())
    if found is None:
        raise ValueError(f"{text!r} is no duration; write a number and s, m, h, d or w, such as 30d")
    return float(found[1]) * UNITS_S[found[2]]
