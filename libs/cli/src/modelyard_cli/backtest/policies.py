"""Policy files of a backtest."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

import yaml
from pydantic import ValidationError

from modelyard import RegistryClient
from modelyard_cli.stack.layout import StackError
from modelyard_contracts.policies import POLICIES, GatePolicy, Policy, RetrainPolicy, RolloutPolicy
from modelyard_contracts.sentences import explain

UPDATE_EVERY_S: Final = 0.1
"""The least that a policy may have: weights follow the labels of a block once, when the data move on."""
CURRENT_NAME: Final = "current"

TRAINING_FIELDS: Final = (
    *("recipe", "parameters", "holdout_rows"),
    *("windows", "window_rows", "history_rows", "half_life_rows"),
)
"""Fields of the retraining policy that decide what a training learns, not when."""


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
            raise StackError(f"policy {path}: cannot be read: {error}") from error
        if not isinstance(found, dict) or set(found) - {"gate", "retrain", "rollout"}:
            raise StackError(f"policy {path}: write the sections gate, retrain and rollout, and no others")
        return cls(
            _name(path.stem),
            _parsed(path, "gate", GatePolicy, found),
            _parsed(path, "retrain", RetrainPolicy, found),
            _parsed(path, "rollout", RolloutPolicy, found),
        )

    @classmethod
    def current(cls, registry: RegistryClient, model: str) -> Self:
        """The policies that a model has now."""
        return cls(
            CURRENT_NAME,
            registry.policy(model, "gate"),
            registry.policy(model, "retrain"),
            registry.policy(model, "rollout").model_copy(update={"route": None}),
        )

    def trains_first_like(self, other: "Policies") -> bool:
        """Whether the other one may take this version 1: trained from the same rows, and its run is not needed.

        Growth counts from the run of the other policy's own model.
        """
        same = all(getattr(self.retrain, name) == getattr(other.retrain, name) for name in TRAINING_FIELDS)
        return same and other.retrain.growth is None

    def in_backtest(self) -> "Policies":
        """The policies as the platform gets them. Durations stay: they count in the time of the data.

        A backtest has no approver. A replaced version is stopped at once, as keeping it warm changes no answer.
        """
        gate = self.gate.model_copy(update={"approval": "automatic"})
        adaptive = self.rollout.adaptive.model_copy(update={"update_every_s": UPDATE_EVERY_S})
        rollout = self.rollout.model_copy(update={"keep_warm_s": 0.0, "adaptive": adaptive})
        return Policies(self.name, gate, self.retrain, rollout)

    def by_kind(self) -> dict[str, Policy]:
        """All three by the name of their kind."""
        return dict(zip(POLICIES, self.documents(), strict=True))

    def stated(self) -> dict[str, dict[str, Any]]:
        """The documents by kind as production would have them, for reports; see `in_backtest` for what ran."""
        return {kind: policy.model_dump(mode="json") for kind, policy in self.by_kind().items()}

    def documents(self) -> tuple[GatePolicy, RetrainPolicy, RolloutPolicy]:
        """All three, in the order in which they are set."""
        return self.gate, self.retrain, self.rollout


def trained_before(policies: Sequence[Policies], place: int) -> str | None:
    """Name of the first earlier policy whose version 1 is that of the policy at a place; None if it trains its own."""
    own = policies[place]
    return next((one.name for one in policies[:place] if one.trains_first_like(own)), None)


def _parsed(path: Path, kind: str, of: Any, found: Mapping[str, Any]) -> Any:
    try:
        return of.model_validate(found.get(kind) or {})
    except ValidationError as error:
        explained = explain(error)
        raise StackError(f"policy {path}: {kind}.{explained.field or ''}: {explained.problem}") from error


def _name(text: str) -> str:
    """Part of a model's name."""
    return re.sub("[^a-z0-9]+", "-", text.lower()).strip("-")[:40] or "policy"
