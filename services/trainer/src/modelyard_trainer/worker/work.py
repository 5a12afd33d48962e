"""Input and result of a recipe."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from modelyard_contracts import Part
from modelyard_contracts.manifest import FileEntry
from modelyard_contracts.signature import Signature
from modelyard_trainer.domain.split import Split
from modelyard_trainer.domain.windows import Window, Windows, windows_of

FloatArray = NDArray[np.float64]
ObjectArray = NDArray[np.object_]


@dataclass(frozen=True)
class Inputs:
    """Rows without their targets, in the order of time.

    numeric: shape (rows, numeric features), NaN where missing. categorical: shape (rows, categorical features), texts
    included, None where missing.
    """

    numeric: FloatArray
    categorical: ObjectArray

    def __len__(self) -> int:
        return len(self.numeric)


@dataclass(frozen=True)
class Rows(Inputs):
    """Labelled rows in the order of time.

    targets: shape (rows,), class numbers (int64) or values (float64). times: shape (rows,), datetime64[us] in UTC.
    weights: shape (rows,), > 0 with mean 1; None if all rows count alike.
    """

    targets: NDArray[Any]
    times: NDArray[np.datetime64]
    weights: FloatArray | None = None

    def part(self, start: int, stop: int) -> "Rows":
        """Rows [start, stop)."""
        rows = slice(start, stop)
        weights = None if self.weights is None else self.weights[rows]
        return Rows(self.numeric[rows], self.categorical[rows], self.targets[rows], self.times[rows], weights)

    def within(self, window: Window, stop: int) -> "Rows":
        """Rows of a training window before `stop`, with their weights."""
        found = self.part(window.first, stop)
        if window.half_life_rows is None:
            return found
        weights = 0.5 ** (np.arange(len(found))[::-1] / window.half_life_rows)
        return replace(found, weights=weights / weights.mean())


@dataclass(frozen=True)
class Work:
    """A run as a recipe sees it. Targets after `split.used` are for the evaluator: a recipe must not use them."""

    rows: Rows
    split: Split
    signature: Signature
    parameters: Any
    folder: Path
    """For the recipe's own files, such as checkpoints; a restarted worker finds them."""
    ray_cpus: int
    report: Callable[[float, str], None]
    """Progress of the recipe from 0 to 1, and a sentence."""
    learn_holdout: bool = False
    """Fit the winner once more, with the held-out rows, after its outputs on them were noted. Recipes may ignore it."""
    given_windows: Windows | None = None
    """Training windows to try; None: the usual one. A recipe that ignores them learns from `used`."""

    @property
    def windows(self) -> Windows:
        return self.given_windows or windows_of(("recent",), self.split, half_life_rows=1, change=None)

    @property
    def train(self) -> Rows:
        return self.rows.part(self.split.first, self.split.train)

    @property
    def validation(self) -> Rows:
        return self.rows.part(self.split.train, self.split.used)

    @property
    def used(self) -> Rows:
        """Rows of the usual window for the final fit: training and validation."""
        return self.rows.part(self.split.first, self.split.used)

    @property
    def holdout(self) -> Inputs:
        """Newest rows, without their targets: outputs of a model that did not learn from them are its reference."""
        rows = self.rows.part(self.split.used, self.split.rows)
        return Inputs(rows.numeric, rows.categorical)


@dataclass(frozen=True)
class SavedFiles:
    """Files that save_model wrote in another process: manifest entries and contents."""

    entries: tuple[FileEntry, ...]
    contents: tuple[bytes, ...]

    def write(self, folder: Path) -> tuple[FileEntry, ...]:
        """Write the files into `folder`."""
        for entry, content in zip(self.entries, self.contents, strict=True):
            target = folder / entry.path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)
        return self.entries


@dataclass(frozen=True)
class Trained:
    """Result of a recipe.

    fitted: argument of modelyard_flavours.save_model, or SavedFiles. holdout_outputs: outputs on `Work.holdout` of the
    model before it learned from these rows, shape (rows, classes), or (rows, 1) for a regression. summary: one sentence
    for people.
    """

    flavour: str
    fitted: object
    holdout_outputs: FloatArray
    summary: str
    metrics: dict[str, float] = field(default_factory=dict)
    facts: dict[str, str] = field(default_factory=dict)
    """For the lineage, such as the winning candidate."""
    learned_holdout: bool = False
    """Whether the model learned from the held-out rows in the end."""
    window: Window | None = None
    """Training window that the model learned from; None: the usual one."""


RunRecipe = Callable[[Work], Trained]
__all__ = ["Part", "Rows", "RunRecipe", "Trained", "Work"]
