"""Ports of experiments, runs, logged models and their artifacts."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Protocol

from modelyard_registry.domain.conditions import Comparison, Order
from modelyard_registry.domain.tracking import (
    Artifact,
    Experiment,
    Found,
    Lifecycle,
    LoggedModel,
    Point,
    Run,
    RunData,
    TextKind,
)


class Experiments(Protocol):
    """Experiments of all workspaces."""

    def add(self, made: Experiment) -> Experiment | None: ...  # with its id; None when the name is taken
    def get(self, workspace: str, experiment_id: int) -> Experiment | None: ...
    def anywhere(self, experiment_id: int) -> Experiment | None: ...
    def named(self, workspace: str, name: str) -> Experiment | None: ...
    def save(self, changed: Experiment) -> None: ...
    def page(
        self,
        workspaces: Collection[str] | None,
        where: Sequence[Comparison],
        order: Sequence[Order],
        lifecycles: Collection[Lifecycle],
        token: str,
        limit: int,
    ) -> tuple[Sequence[Experiment], str | None]: ...  # workspaces None: all; newest first without an order
    def counts(self, ids: Collection[int]) -> Mapping[int, int]: ...  # active runs by experiment


class Runs(Protocol):
    """Runs and their values."""

    def add(self, run: Run) -> None: ...
    def get(self, workspace: str, run_id: str, *, lock: bool = False) -> Run | None: ...  # lock: others wait
    def workspace_of(self, run_id: str) -> str | None: ...
    def save(self, changed: Run) -> None: ...
    def data(self, run_ids: Collection[str]) -> Mapping[str, RunData]: ...
    def set_texts(self, run_id: str, kind: TextKind, texts: Mapping[str, str]) -> None: ...
    def texts(self, run_id: str, kind: TextKind, keys: Collection[str]) -> Mapping[str, str]: ...
    def drop_tag(self, run_id: str, key: str) -> bool: ...
    def add_points(self, run_id: str, points: Sequence[Point]) -> None: ...  # repeats change nothing
    def points(
        self, run_id: str, key: str, after: tuple[int, int, str] | None, limit: int
    ) -> Sequence[Point]: ...  # by step and time
    def points_of_model(self, model_ids: Collection[str]) -> Mapping[str, Sequence[tuple[str, Point]]]: ...
    def search(
        self,
        workspace: str,
        experiment_ids: Collection[int],
        where: Sequence[Comparison],
        order: Sequence[Order],
        lifecycles: Collection[Lifecycle],
        token: str,
        limit: int,
    ) -> Found: ...  # newest first without an order


class LoggedModels(Protocol):
    """Models that runs made."""

    def add(self, made: LoggedModel) -> None: ...
    def get(self, workspace: str, model_id: str, *, lock: bool = False) -> LoggedModel | None: ...
    def save(self, changed: LoggedModel) -> None: ...
    def of_run(self, run_id: str) -> Sequence[LoggedModel]: ...  # oldest first
    def search(
        self,
        workspace: str,
        experiment_ids: Collection[int],
        where: Sequence[Comparison],
        order: Sequence[Order],
        token: str,
        limit: int,
    ) -> tuple[Sequence[LoggedModel], str | None]: ...  # newest first without an order


class RunArtifacts(Protocol):
    """Files of runs and logged models. owner: the id of either."""

    def put(self, owner: str, artifact: Artifact, at: datetime) -> None: ...
    def get(self, owner: str, path: str) -> Artifact | None: ...
    def under(self, owner: str, folder: str) -> Sequence[Artifact]: ...  # by path; '' is everything
    def remove(self, owner: str, path: str) -> int: ...  # a file, or all files of a folder
    def referenced(self, digests: Collection[str]) -> frozenset[str]: ...  # those that an artifact has
