"""What a recipe gets and what it gives back."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from modelyard_contracts import Part
from modelyard_contracts.manifest import FeatureSchema, FileEntry
from modelyard_trainer.domain.split import Split

FloatArray = NDArray[np.float64]
ObjectArray = NDArray[np.object_]


@dataclass(frozen=True)
class Rows:
    """Labelled rows in the order of time.

    numeric: shape (rows, numeric features), NaN where missing. categorical: shape (rows, categorical features), None
    where missing. labels: shape (rows,), numbers of classes. times: shape (rows,), datetime64[us] in UTC.
    """

    numeric: FloatArray
    categorical: ObjectArray
    labels: NDArray[np.int64]
    times: NDArray[np.datetime64]

    def __len__(self) -> int:
        return len(self.labels)

    def part(self, start: int, stop: int) -> "Rows":
        """Rows [start, stop)."""
        taken = slice(start, stop)
        return Rows(self.numeric[taken], self.categorical[taken], self.labels[taken], self.times[taken])


@dataclass(frozen=True)
class Work:
    """One run, as a recipe sees it. It must not look at rows behind split.used."""

    rows: Rows
    split: Split
    schema: FeatureSchema
    parameters: Any
    folder: Path
    """For files of the recipe's own, such as checkpoints; kept until the run ends, so a restarted worker finds them."""
    ray_cpus: int
    report: Callable[[float, str], None]
    """Progress of the recipe from 0 to 1, and a sentence."""

    @property
    def train(self) -> Rows:
        return self.rows.part(0, self.split.train)

    @property
    def validation(self) -> Rows:
        return self.rows.part(self.split.train, self.split.used)

    @property
    def used(self) -> Rows:
        """What the winner is fitted on again: training and validation."""
        return self.rows.part(0, self.split.used)


@dataclass(frozen=True)
class SavedFiles:
    """What save_model of the flavour wrote in another process: its lines for the manifest, and each one's content."""

    entries: tuple[FileEntry, ...]
    contents: tuple[bytes, ...]

    def write(self, folder: Path) -> tuple[FileEntry, ...]:
        """As save_model does."""
        for entry, content in zip(self.entries, self.contents, strict=True):
            target = folder / entry.path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)
        return self.entries


@dataclass(frozen=True)
class Trained:
    """fitted: what modelyard_flavours.save_model takes, or SavedFiles. validation_scores: shape (validation rows,
    classes), by a model that has not seen those rows. summary: one sentence for people."""

    flavour: str
    fitted: object
    validation_scores: FloatArray
    summary: str
    metrics: dict[str, float] = field(default_factory=dict)
    facts: dict[str, str] = field(default_factory=dict)
    """For the lineage: which candidate won, and why."""


RunRecipe = Callable[[Work], Trained]
__all__ = ["Part", "Rows", "RunRecipe", "Trained", "Work"]
