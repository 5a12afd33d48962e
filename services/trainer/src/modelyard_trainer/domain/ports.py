"""Interfaces that the trainer depends on; the adapters are in store, clients and jobs."""

from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol
from uuid import UUID

from modelyard_contracts import RunState
from modelyard_contracts.policies import RetrainPolicy
from modelyard_contracts.signature import Signature
from modelyard_trainer.domain.data import TIME
from modelyard_trainer.domain.learners import Learner
from modelyard_trainer.domain.policy import Facts
from modelyard_trainer.domain.run import Run
from modelyard_trainer.domain.schedule import Schedule


@dataclass(frozen=True)
class Served:
    """Facts of the serving version that a retraining takes over."""

    signature: Signature
    signature_id: str
    recipe: str
    """Recipe it was trained with."""
    dataset_digest: str | None
    """Digest of the rows it was trained on."""
    dataset_time: str | None = TIME
    """Time column of that dataset; None if its rows are in order of time."""
    train_until: datetime | None = None
    dataset_target: str | None = None
    """Target column of that dataset; None if it has the signature's name."""
    version: int | None = None


class Session(Protocol):
    """Runs within one transaction."""

    def claim(self, event_id: UUID) -> bool:
        """True exactly once per event."""

    def get(self, run_id: UUID) -> Run | None: ...

    def add(self, run: Run, at: datetime) -> None:
        """Store a new run and queue its event. OpenRun if the model has an open run already."""

    def save(self, run: Run, at: datetime) -> None:
        """Store the next revision of a run and queue its event; Retryable if another writer came first."""

    def facts(self, model: str, now: datetime, window: timedelta) -> Facts: ...

    def last_refusal(self, model: str, code: str) -> datetime | None: ...


class Runs(Protocol):
    """The trainer's own database."""

    def session(self) -> AbstractContextManager[Session]: ...

    def get(self, run_id: UUID) -> Run: ...

    def list(
        self,
        model: str | None,
        limit: int,
        readable: Callable[[str], bool] = ...,
        *,
        states: Collection[RunState] = (),
        versions: Collection[tuple[str, int]] = (),
        after: UUID | None = None,
    ) -> Sequence[Run]:
        """At most `limit` runs of models that are `readable`, newest first; those older than the run `after`.

        states: only runs in one of them; in any without one. versions: only runs that registered one of these
        (model, version); of all without one.
        """

    def open_runs(self) -> Sequence[Run]: ...

    def newest(self, model: str) -> Run | None:
        """The newest run that was not refused."""


class Learners(Protocol):
    """Online learners in the trainer's database."""

    def of(self, model: str | None = None, readable: Callable[[str], bool] = ...) -> Sequence[Learner]:
        """Learners of a model, or of all that are `readable`, by name."""

    def change(self, learner: Learner, change: Callable[[Learner], Learner]) -> Learner:
        """Read, change and store in one transaction; `learner` is what `change` gets if none is stored."""


class Schedules(Protocol):
    """Schedules in the trainer's database."""

    def all(self) -> Sequence[Schedule]: ...

    def get(self, model: str) -> Schedule | None: ...

    def put(self, schedule: Schedule) -> None:
        """Store the schedule in the place of the model's earlier one."""

    def remove(self, model: str) -> None: ...


class LabelCounts(Protocol):
    """Counts of stored labels; Retryable while the database is away."""

    def since(self, moments: Mapping[str, datetime]) -> Mapping[str, int]:
        """Labels per model that arrived after its moment; each labelled prediction counts once."""


class Registry(Protocol):
    """Reads from the registry; RegistryAway if it does not answer."""

    def retrain_policy(self, model: str) -> RetrainPolicy | None:
        """None if there is no such model."""

    def serving_version(self, model: str) -> int | None: ...

    def served(self, model: str) -> Served | None:
        """Facts of the serving version, else of the newest; None if there is no version."""

    def dataset_columns(self, digest: str) -> Mapping[str, str] | None:
        """Column name to type of a registered dataset; None if it is unknown."""
