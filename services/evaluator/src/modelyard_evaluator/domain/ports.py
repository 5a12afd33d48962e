"""Ports of the evaluator: storage, registry, labels and the scorer."""

from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol
from uuid import UUID

from modelyard_contracts import Message, VersionStage
from modelyard_contracts.manifest import ManifestFile, ModelManifest
from modelyard_contracts.policies import GatePolicy
from modelyard_contracts.signature import Signature
from modelyard_evaluator.domain.evaluation import Evaluation, OpenAlarm
from modelyard_evaluator.domain.loop_reports import StoredReport
from modelyard_evaluator.domain.trial import Trial
from modelyard_runtime.clock import Clock


class Evaluations(Protocol):
    """The table of evaluations, within one transaction or on a connection for reading."""

    def add(self, new: Evaluation) -> Evaluation:
        """Insert, or return the evaluation already stored under this id."""

    def save(self, before: Evaluation, after: Evaluation) -> Evaluation:
        """Replace `before`; StaleEvaluation if it was written since it was read."""

    def get(self, evaluation_id: UUID) -> Evaluation | None: ...

    def newest(
        self, model: str | None, limit: int, offset: int = 0, *, versions: Collection[tuple[str, int]] = ()
    ) -> Sequence[Evaluation]:
        """Newest first, without the first `offset`; of all models if `model` is None.

        versions: only evaluations of these challengers (model, version); of all without one.
        """

    def due(self, now: datetime) -> Sequence[Evaluation]:
        """Unfinished evaluations whose next attempt is due, longest waiting first."""

    def unfinished(self, model: str) -> Sequence[Evaluation]:
        """Unfinished evaluations of a model, in no order."""

    def open_ids(self) -> set[UUID]:
        """Ids of all unfinished evaluations."""


class UnitOfWork(Protocol):
    """One transaction: rows, claims and events commit together."""

    @property
    def evaluations(self) -> Evaluations: ...

    def claim(self, event_id: UUID) -> bool:
        """True the first time an event is claimed, False for a repeat."""

    def publish(self, event: Message, key: str) -> None:
        """Queue an event for its topic."""


class Storage(Protocol):
    """The database. Blocks."""

    def transaction(self) -> AbstractContextManager[UnitOfWork]: ...

    def read(self) -> AbstractContextManager[Evaluations]: ...


class LoopReports(Protocol):
    """Published reports. Blocks."""

    def add(self, new: StoredReport) -> tuple[StoredReport, bool]:
        """Store a report, or return the one that is stored under its id; and whether it is new."""

    def get(self, report_id: UUID) -> StoredReport | None: ...

    def newest(self, model: str | None, workspaces: Collection[str] | None, limit: int) -> Sequence[StoredReport]:
        """At most `limit` reports, newest first. workspaces: None for all."""


@dataclass(frozen=True)
class RegisteredVersion:
    """A version as the registry describes it."""

    version: int
    file: ManifestFile
    created_at: datetime
    stage: VersionStage = VersionStage.REGISTERED

    @property
    def digest(self) -> str:
        return self.file.digest

    @property
    def manifest(self) -> ModelManifest:
        return self.file.manifest

    @property
    def signature(self) -> Signature:
        return self.file.manifest.signature

    @property
    def signature_id(self) -> str:
        return self.file.manifest.feature_schema_id

    @property
    def seen_until(self) -> datetime:
        """No row predicted after this moment was used in training.

        A version without `train_until` may have used every row until its registration.
        """
        return self.manifest.training.train_until or self.created_at


class Registry(Protocol):
    """Raises NotMeasurable for what the registry refuses, Unreachable while it does not answer."""

    def version(self, model: str, version: int) -> RegisteredVersion: ...

    def champion(self, model: str) -> int | None:
        """The version under the alias `champion`."""

    def in_canary(self, model: str) -> int | None:
        """The version under the alias `challenger`: it gets part of the traffic while its rollout runs."""

    def approved(self, model: str) -> list[int]:
        """Approved versions that serve no traffic, oldest first."""

    def policy(self, model: str) -> GatePolicy: ...

    def is_adaptive(self, model: str) -> bool:
        """Whether the versions of the model vote, by its rollout policy."""

    def download(self, version: RegisteredVersion, folder: Path) -> None:
        """Write the manifest and all files of a version into `folder`, verified."""

    def download_dataset(self, digest: str, file: Path) -> None: ...

    def register_dataset(
        self, file: Path, *, model: str, name: str, rows: int, columns: dict[str, str], source: dict[str, Any]
    ) -> str:
        """Upload and register a Parquet file; returns its digest. Idempotent."""


@dataclass(frozen=True)
class RowCount:
    """Labelled rows: usable ones, and others (modelyard_contracts.usable)."""

    usable: int
    unusable: int = 0


class Labels(Protocol):
    """Labelled predictions. Raises Unreachable."""

    def count(self, model: str, since: datetime, signatures: Mapping[str, Signature]) -> RowCount:
        """Labelled rows predicted after `since` with one of these signatures, given by id."""


class Alarms(Protocol):
    """Performance alarms of the monitor."""

    def open_alarm(self, model: str, version: int) -> OpenAlarm | None:
        """Return the newest performance alarm of a version that is open; Unreachable if the monitor does not answer."""


class Scorer(Protocol):
    """Scoring processes. Raises ChallengerBroken, NotMeasurable or Unreachable."""

    def warm(self) -> None:
        """Start the parent process of the scoring processes; returns at once."""

    def pin(self, folder: Path, job: dict[str, Any]) -> dict[str, Any]:
        """Choose the rows and write `folder`/rows.parquet; returns the result of scoring/pin.py."""

    def measure(self, folder: Path, side: str) -> dict[str, Any]:
        """Score the version in `folder`/`side` on rows.parquet; returns the fields of domain.verdict.Cost.

        ChallengerBroken if the side `challenger` cannot be scored, NotMeasurable for any other side.
        """

    def compare(self, folder: Path, job: dict[str, Any]) -> dict[str, Any]:
        """Compare two measured sides, job["new"] with job["old"].

        Returns the fields of domain.verdict.Comparison except costs and names, `by_class` and `metrics`.
        """


class Trials(Protocol):
    """Trials of versions on their examples. Blocks. Raises Unreachable."""

    def run(self, folder: Path) -> Trial:
        """Run the version in `folder`, with its manifest and example, in a confined process."""


def _ignore(_: Evaluation) -> None:
    return None


@dataclass(frozen=True)
class Deps:
    """Everything a use case needs."""

    storage: Storage
    registry: Registry
    labels: Labels
    alarms: Alarms
    scorer: Scorer
    trials: Trials
    clock: Clock
    work_dir: Path
    """Parent of the evaluations' folders; a folder is removed when its evaluation ends."""
    max_wait_s: float = 60.0
    """Longest wait for labelled rows."""
    on_finished: Callable[[Evaluation], None] = _ignore
    """Called after a finished evaluation was committed."""
