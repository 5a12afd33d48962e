"""The manifest of a model that was made elsewhere."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from pydantic import ConfigDict, Field

from modelyard_contracts.documents import digest_of, write
from modelyard_contracts.example import EXAMPLE_FILE, Example
from modelyard_contracts.manifest import (
    ROW_ORDER,
    TARGET_FACT,
    TIME_FACT,
    FileEntry,
    ModelManifest,
    Permissions,
    Price,
    ReferenceProfile,
    Source,
    TrainingLineage,
    signed,
)
from modelyard_contracts.messages.base import Part
from modelyard_contracts.signature import Signature
from modelyard_own.description import Description
from modelyard_own.files import ModelFile
from modelyard_own.labelled import LabelledRows
from modelyard_own.sample import SampleFacts

RECIPE: Final = "elsewhere"
"""Recipe in the lineage of a version that was not trained by the platform."""
BASELINE_SHARE: Final = 0.2
"""Share of a labelled sample that gives the baseline, the majority class or the mean; the rest judges the model."""


class Plan(Part):
    """Everything that is known about a model before it is uploaded; as JSON without its labelled rows."""

    model_config = ConfigDict(arbitrary_types_allowed=True, ser_json_inf_nan="strings")

    flavour: str
    files: tuple[ModelFile, ...]
    stored: tuple[FileEntry, ...] = ()
    """Files of the base version, which are part of this one and stored already."""
    signature: Signature
    source: Source
    permissions: Permissions
    options: dict[str, str]
    environment: dict[str, str]
    price: Price
    reference: ReferenceProfile
    example: Example
    sample: SampleFacts
    labelled: LabelledRows | None = Field(default=None, exclude=True)
    made_at: datetime
    """Latest change of a file of the model, so no later row was used in training."""
    stated: Description
    notes: tuple[str, ...] = ()

    @property
    def example_bytes(self) -> bytes:
        """The example as it is uploaded."""
        return write(self.example)

    def manifest(self, model: str, dataset_digest: str | None, entries: tuple[FileEntry, ...]) -> ModelManifest:
        """Return the manifest. dataset_digest: the labelled rows of the sample. entries: files of the model."""
        data = self.example_bytes
        example = FileEntry(path=EXAMPLE_FILE, digest=digest_of(data), size_bytes=len(data))
        return ModelManifest(
            model=model,
            flavour=self.flavour,
            files=(*entries, example),
            **signed(self.signature),
            reference=self.reference,
            training=self._lineage(dataset_digest),
            price=self.price,
            environment=self.environment,
            options=self.options,
            source=self.source,
            permissions=self.permissions,
            example=EXAMPLE_FILE,
        )

    def _lineage(self, dataset_digest: str | None) -> TrainingLineage:
        """The first rows of the sample count as seen at `made_at`, one second apart; the others judge the model."""
        if dataset_digest is None:
            return TrainingLineage(recipe=RECIPE, train_until=self.made_at)
        baseline = timedelta(seconds=int(BASELINE_SHARE * self.sample.labels))
        return TrainingLineage(
            recipe=RECIPE,
            dataset_digest=dataset_digest,
            train_from=self.made_at - baseline,
            train_until=self.made_at,
            parameters={TARGET_FACT: self.signature.target, TIME_FACT: ROW_ORDER},
        )


def latest_change(files: tuple[ModelFile, ...]) -> datetime:
    """Return the latest modification of the files, to the second."""
    return datetime.fromtimestamp(max(int(_changed_s(file.source)) for file in files), UTC)


def _changed_s(path: Path) -> float:
    return path.stat().st_mtime
