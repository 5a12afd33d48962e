"""The manifest of a model version: its files, its signature and its lineage.

A manifest is written once, as canonical JSON (`ManifestFile.write`). The digest of the version is the SHA-256 of those
bytes; the manifest names every file by its own digest, so one string pins all bytes. No digest is ever computed from a
parsed manifest: a release that knows more fields would compute another one.
"""

import re
from dataclasses import dataclass
from itertools import pairwise
from typing import Annotated, Any, ClassVar, Final, Literal, Self

from pydantic import Field, field_validator, model_validator

from modelyard_contracts.documents import Document, canonical_json, digest_of, read, write
from modelyard_contracts.messages.base import Part, UtcDatetime
from modelyard_contracts.numbers import Amount, Count, Finite, Share
from modelyard_contracts.references import REFERENCE_PATTERN
from modelyard_contracts.signature import MAX_COLUMNS, Signature, Task, new_schema_id

TARGET_FACT: Final = "target_column"
"""Parameter of a training lineage: the target column of its dataset, whose name may differ from the signature's."""
TIME_FACT: Final = "time_column"
"""Parameter of a lineage: time column of the training dataset."""
ROW_ORDER: Final = "(row order)"
"""Value of TIME_FACT for a dataset without one, whose rows are in the order of time, one second apart."""
LEARNER_FACT: Final = "learner"
"""Parameter of a lineage: the online learner that the version is a snapshot of, such as `forest`; unique per model."""
LEARNED_ROWS_FACT: Final = "learned_rows"
"""Parameter of a lineage: labelled rows that the online learner had learned from when the snapshot was made."""
HOLDOUT_FACT: Final = "holdout"
"""Parameter of a lineage: LEARNED when the version was fitted once more with the rows held out before."""
LEARNED: Final = "learned"
RESERVED_BINS: Final = ("missing", "non_finite", "other")
"""First bins of every feature, so that a broken column shows as drift."""
MAX_FEATURES: Final = MAX_COLUMNS
MAX_REFERENCE_BINS: Final = 100
Usd = Annotated[float, Field(ge=0, le=1_000_000, allow_inf_nan=False)]


class FeatureReference(Part):
    """Distribution of one feature in training: frozen bins and their counts.

    Numeric: bins are (-inf, e0), [e0, e1), ..., [ek, inf) for the rising edges e. Categorical: one bin per category.
    counts: shape (3 + bins,), the reserved bins first. At most MAX_REFERENCE_BINS bins.
    """

    name: str
    edges: tuple[Finite, ...] = ()
    categories: tuple[str, ...] = ()
    counts: tuple[Count, ...]
    dispersion: Finite = Field(default=1.0, ge=1)
    """Variance of the counts of windows of some hundred rows over that of independent rows, from the reference rows in
    the order of time; 1 if their order is unknown."""

    @model_validator(mode="after")
    def _counts_fit_bins(self) -> Self:
        bins = len(self.categories) if self.categories else len(self.edges) + 1
        if len(self.counts) != len(RESERVED_BINS) + bins:
            raise ValueError(
                f"{self.name}: {len(self.counts)} counts for {bins} bins and {len(RESERVED_BINS)} reserved"
            )
        if bins > MAX_REFERENCE_BINS:
            raise ValueError(f"{self.name}: {bins} bins, at most {MAX_REFERENCE_BINS}; count the rest as `other`")
        return self

    @model_validator(mode="after")
    def _bins_do_not_overlap(self) -> Self:
        if any(low >= high for low, high in pairwise(self.edges)):
            raise ValueError(f"{self.name}: edges must be strictly increasing")
        if len(set(self.categories)) != len(self.categories):
            raise ValueError(f"{self.name}: a category is listed twice")
        return self


class ReferenceProfile(Part):
    """Distributions of inputs and outputs that the monitor compares live traffic with."""

    rows: Count = Field(gt=0)
    features: tuple[FeatureReference, ...]
    score: FeatureReference | None = None
    """Scores, or values of a regression, on held-out rows of the final model."""
    classes: FeatureReference | None = None
    """Classes that the final model predicted on held-out rows: one category per class."""
    error_rate: Share | None = None
    """Share of wrong classes on rows the model was not fitted on."""
    mean_absolute_error: Amount | None = None
    """In the unit of the target, on rows the model was not fitted on; for regressions."""


FILE_PATH: Final = r"[A-Za-z0-9_][A-Za-z0-9_./-]*"
"""One spelling per name: other letters have several, composed and decomposed, and cases that depend on the system."""


class FileEntry(Part):
    path: str = Field(json_schema_extra={"pattern": rf"^{FILE_PATH}$"})
    digest: str = Field(pattern=r"^sha256:[0-9a-f]{64}$")
    size_bytes: Count

    @field_validator("path")
    @classmethod
    def _stays_inside(cls, path: str) -> str:
        if not re.fullmatch(FILE_PATH, path):
            raise ValueError(
                f"{path[:80]!a}: a file name has the letters a to z, A to Z, digits, '_', '-', '.' and '/', "
                "and begins with a letter, a digit or '_', so that every file system can hold it; rename the file"
            )
        parts = path.split("/")
        if ".." in parts:
            raise ValueError(f"{path[:80]}: a file may not leave its folder")
        if "" in parts or "." in parts:
            raise ValueError(f"{path[:80]}: write the path without empty parts and dots, so that a file has one name")
        return path


class TrainingLineage(Part):
    """Origin of a version."""

    run_id: str | None = None
    recipe: str
    dataset_digest: str | None = None
    train_from: UtcDatetime | None = None
    train_until: UtcDatetime | None = None
    """No row predicted after this time was used in fitting or selection, so later rows are safe to evaluate on."""
    parameters: dict[str, str] = Field(default_factory=dict)
    metrics: dict[str, Finite] = Field(default_factory=dict)


class Price(Part):
    """Cost of an answer in US dollars; the router adds it up per request."""

    usd_per_call: Usd = 0.0
    usd_per_1k_input_tokens: Usd = 0.0
    usd_per_1k_output_tokens: Usd = 0.0


MODEL_OPTION: Final = "model"
"""Option of every flavour whose model is a single file: its path, where several files could be it."""
SourceKind = Literal["files", "mlflow", "hub", "sagemaker", "azureml", "image", "api"]
"""A file or folder, a registry of another product, a model hub, a container image, or the API of a provider."""


class Source(Part):
    """Where the files of a version came from, unless a training run of this platform made them."""

    kind: SourceKind
    format: str
    """Format of the files as recognised, such as `onnx` or `mlflow`."""
    framework: str = ""
    """Framework and version that wrote the files, as far as they tell, such as `xgboost 3.1.1`."""
    uri: str = Field(default="", max_length=2_048)
    """Folder, hub repository or registry entry, without credentials."""
    revision: str = Field(default="", max_length=256)
    """Pinned revision of the source, such as a commit."""
    license: str = Field(default="", max_length=256)
    """SPDX identifier, or a name."""
    gated: bool = False
    """Whether the owner of the source asks for an agreement before a download."""
    base_model: str = Field(default="", max_length=512)
    training_data: str = Field(default="", max_length=2_048)


class Permissions(Part):
    """What the process of a version may do beyond computing answers. A person with the right granted it, with a reason.

    Each is recorded in the history of the version; the registry refuses it from others.
    """

    code: bool = False
    """Run Python code that is part of the version, such as `predict.py`."""
    network: bool = False
    """Open network connections."""
    reason: str = Field(default="", max_length=2_048)


class ModelManifest(Document):
    """One version of a model, as it was registered."""

    DOCUMENT: ClassVar[str] = "manifest"

    kind: Literal["model"] = "model"
    model: str = Field(pattern=REFERENCE_PATTERN)
    """Reference of the model: `name` or `workspace:name`."""
    task: Task
    """The task of the signature, where searches look for it."""
    flavour: str
    files: tuple[FileEntry, ...] = Field(min_length=1)
    signature: Signature
    feature_schema_id: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$")
    """Id of the signature, written by `new_schema_id` when the manifest is made and only read afterwards."""
    reference: ReferenceProfile | None = None
    training: TrainingLineage
    price: Price = Price()
    environment: dict[str, str] = Field(default_factory=dict)
    """Package name to version, of the packages needed to load the files."""
    options: dict[str, str] = Field(default_factory=dict)
    """How the flavour reads the files, such as the name of an output tensor; each flavour documents its own."""
    source: Source | None = None
    permissions: Permissions = Permissions()
    example: str | None = None
    """Path of the file with example requests and, where known, their answers; see modelyard_contracts.example."""

    @model_validator(mode="before")
    @classmethod
    def _derive(cls, data: Any) -> Any:
        """Fill task and schema id from the signature when a writer leaves them out."""
        if not isinstance(data, dict):
            return data
        signature = data.get("signature")
        if isinstance(signature, dict):
            signature = Signature.model_validate(signature, extra="ignore")
        return {**signed(signature), **data} if isinstance(signature, Signature) else data

    @model_validator(mode="after")
    def _task_fits(self) -> Self:
        if self.task is not self.signature.task:
            raise ValueError(f"task: is {self.task}, but the signature's output is {self.signature.task}")
        return self


def signed(signature: Signature) -> dict[str, Any]:
    """Return the fields of a new manifest that follow from its signature: task, signature and schema id."""
    return {"task": signature.task, "signature": signature, "feature_schema_id": new_schema_id(signature)}


def learner_of(manifest: ModelManifest) -> str | None:
    """Return the online learner that a version is a snapshot of; None for a version of a training run.

    A newer snapshot of the same learner and model takes the place of an older one.
    """
    return manifest.training.parameters.get(LEARNER_FACT)


def has_learned_everything(manifest: ModelManifest) -> bool:
    """Whether a version has learned from every labelled row there was, so that none is left to judge it by."""
    facts = manifest.training.parameters
    return LEARNER_FACT in facts or facts.get(HOLDOUT_FACT) == LEARNED


@dataclass(frozen=True, slots=True)
class ManifestFile:
    """A manifest together with its bytes, which are its identity."""

    data: bytes
    digest: str
    """`sha256:` of data."""
    manifest: ModelManifest

    @classmethod
    def write(cls, manifest: ModelManifest) -> Self:
        """Make the bytes of a new manifest. Called once in the life of a version, by the registering client."""
        data = write(manifest)
        return cls(data, digest_of(data), manifest)

    @classmethod
    def read(cls, data: bytes) -> Self:
        """Read stored or received bytes; NewerDocument or InvalidDocument when they cannot be used."""
        return cls(data, digest_of(data), read(ModelManifest, data))


__all__ = [
    "LEARNED_ROWS_FACT",
    "LEARNER_FACT",
    "MAX_FEATURES",
    "MAX_REFERENCE_BINS",
    "RESERVED_BINS",
    "ROW_ORDER",
    "TARGET_FACT",
    "TIME_FACT",
    "FeatureReference",
    "FileEntry",
    "ManifestFile",
    "ModelManifest",
    "Price",
    "ReferenceProfile",
    "TrainingLineage",
    "canonical_json",
    "digest_of",
    "has_learned_everything",
    "learner_of",
    "signed",
]
