"""What the trainer needs of the world."""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol
from uuid import UUID

from modelyard_contracts.manifest import FeatureSchema
from modelyard_contracts.policies import RetrainPolicy
from modelyard_trainer.domain.policy import Facts
from modelyard_trainer.domain.run import Run


@dataclass(frozen=True)
class Served:
    """What a retraining takes over from the version that serves."""

    feature_schema: FeatureSchema
    dataset_digest: str | None
    """Of the rows it learned from."""


class Session(Protocol):
    """Runs within one transaction."""

    def claim(self, event_id: UUID) -> bool:
        """True exactly once per event."""

    def get(self, run_id: UUID) -> Run | None: ...

    def add(self, run: Run, at: datetime) -> None:
        """A new run and its event. OpenRun when it is open and the model has one already."""

    def save(self, run: Run, at: datetime) -> None:
        """A run one revision on, and its event; Retryable when somebody else was faster."""

    def facts(self, model: str, now: datetime, window: timedelta) -> Facts: ...

    def last_refusal(self, model: str, code: str) -> datetime | None: ...


class Runs(Protocol):
    """The trainer's own database."""

    def session(self) -> AbstractContextManager[Session]: ...

    def get(self, run_id: UUID) -> Run: ...

    def list(self, model: str | None, limit: int) -> Sequence[Run]: ...

    def open_runs(self) -> Sequence[Run]: ...


class Registry(Protocol):
    """What is asked of the registry; RegistryAway when it does not answer."""

    def retrain_policy(self, model: str) -> RetrainPolicy | None:
        """None: there is no such model."""

    def serving_version(self, model: str) -> int | None: ...
