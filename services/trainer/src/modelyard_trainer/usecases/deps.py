"""Ports and values that the use cases are given."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from modelyard_contracts.policies import Window
from modelyard_runtime.clock import Clock
from modelyard_runtime.policy_time import ClockTime, PolicyTime
from modelyard_trainer.domain.data import DataSpec
from modelyard_trainer.domain.ports import Learners, Registry, Runs, Schedules
from modelyard_trainer.domain.recipes import Recipe


@dataclass(frozen=True)
class Deps:
    """Ports, clock, and the recipes of this installation by name."""

    runs: Runs
    registry: Registry
    recipes: Mapping[str, Recipe]
    clock: Clock
    log_lines: Callable[[UUID], Sequence[str]] = lambda run_id: ()
    """The newest log lines of a run."""
    learners: Learners | None = None
    """None: this installation has no online learners."""
    policy_time: PolicyTime = field(default_factory=ClockTime)
    """What cool-downs and budgets count in."""
    schedules: Schedules | None = None
    """None: this installation follows no schedules."""


@dataclass(frozen=True)
class RunRequest:
    """A request for a training run.

    recipe: None selects the recipe of the model's retraining policy, else the serving version's, else the built-in one
    for the data's task. data: how to read a given dataset. dataset_digest: None takes a snapshot of labelled
    predictions. windows: training windows to try; none: the policy's. change_at: time of the first row after a change.
    """

    model: str
    reason: str
    requested_by: str
    recipe: str | None = None
    dataset_digest: str | None = None
    parameters: Mapping[str, str] = field(default_factory=dict)
    data: DataSpec = field(default_factory=DataSpec)
    windows: tuple[Window, ...] = ()
    change_at: datetime | None = None
    correlation_id: UUID | None = None
    cause_id: UUID | None = None
