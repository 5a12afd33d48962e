"""What the evaluator needs of the world."""

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

from modelyard_contracts.manifest import ModelManifest
from modelyard_contracts.policies import GatePolicy


class Away(Exception):
    """Somebody does not answer now; the same may work later."""

    retryable = True


class Refused(Exception):
    """It cannot be had: no such version, no such dataset, wrong bytes."""

    retryable = False


@dataclass(frozen=True)
class Known:
    """What the registry says about a version."""

    version: int
    digest: str
    manifest: ModelManifest
    created_at: datetime

    @property
    def seen_until(self) -> datetime:
        """Rows predicted after it were not in its training.

        A version that does not say may have seen everything until its birth.
        """
        return self.manifest.training.train_until or self.created_at


class Registry(Protocol):
    """Raises Refused, or Away."""

    def version(self, model: str, version: int) -> Known: ...

    def champion(self, model: str) -> int | None:
        """The version that holds the alias `champion`."""

    def approved(self, model: str) -> list[int]:
        """The versions that may serve and do not, oldest first."""

    def policy(self, model: str) -> GatePolicy: ...

    def download(self, manifest: ModelManifest, folder: Path) -> None: ...

    def download_dataset(self, digest: str, file: Path) -> None: ...

    def register_dataset(
        self, file: Path, *, model: str, name: str, rows: int, columns: dict[str, str], source: dict[str, Any]
    ) -> str:
        """Upload the parquet file and make it known; returns its digest. The same again changes nothing."""


class Labels(Protocol):
    """Labelled predictions. Raises Away."""

    def count(self, model: str, since: datetime, schema_ids: tuple[str, ...]) -> int:
        """Labelled rows of these contracts predicted after `since`."""


class ChallengerBroken(Exception):
    """The challenger cannot be loaded or does not answer, within its limits: its own fault, whoever tries."""

    retryable = False


class Scorer(Protocol):
    """Processes that open artifacts and count. Raises ChallengerBroken, Refused, or Away."""

    def warm(self) -> None:
        """There will soon be something to score; returns at once."""

    def pin(self, folder: Path, job: dict[str, Any]) -> dict[str, Any]:
        """Choose the rows and write `folder`/rows.parquet; returns {rows, columns, source, baseline_class}."""

    def measure(self, folder: Path, side: str) -> dict[str, Any]:
        """Score the version in `folder`/`side` on rows.parquet; returns the fields of domain.verdict.Cost.

        ChallengerBroken when the side `challenger` cannot be scored, Refused for another one.
        """

    def compare(self, folder: Path, job: dict[str, Any]) -> dict[str, Any]:
        """Two measured sides, job["new"] against job["old"].

        Returns the fields of domain.verdict.Comparison but costs and name, and `by_class`.
        """
