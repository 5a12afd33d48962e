"""The manifest of a model version: which bytes it is, what it takes, what it was made from.

The digest of a version is the SHA-256 of the manifest's canonical JSON; the manifest names every file by its own
digest, so one string pins all bytes.
"""

import hashlib
import json
from enum import StrEnum
from itertools import pairwise
from math import isfinite
from typing import Any, Final, Self

from pydantic import Field, model_validator

from modelyard_contracts.messages.base import Part, UtcDatetime

RESERVED_BINS: Final = ("missing", "non_finite", "other")
"""The first bins of every feature: a broken column is drift, not invisible."""
MAX_FEATURES: Final = 1_000
"""The monitor keeps some 760 bytes per feature for each of 6 versions, in one Kafka message of at most 8 MiB."""
MAX_REFERENCE_BINS: Final = 100


def digest_of(data: bytes) -> str:
    """`sha256:` and 64 hexadecimal digits."""
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def canonical_json(value: Any) -> bytes:
    """Sorted keys, no spaces, UTF-8: equal values give equal bytes."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


class FeatureKind(StrEnum):
    NUMERIC = "numeric"
    CATEGORICAL = "categorical"


class Feature(Part):
    """One input column. Out of range is accepted and counted; a wrong type or a forbidden null is refused."""

    name: str = Field(min_length=1)
    kind: FeatureKind = FeatureKind.NUMERIC
    nullable: bool = True


class FeatureSchema(Part):
    """The contract of a version's inputs: names, kinds and their order."""

    features: tuple[Feature, ...] = Field(min_length=1)
    target: str = "label"
    classes: tuple[str, ...] = ()
    """Of a classifier, in the order of its scores; the last one is the positive class of a binary one."""

    @model_validator(mode="after")
    def _can_be_watched(self) -> Self:
        if len(self.features) > MAX_FEATURES:
            raise ValueError(
                f"{len(self.features)} features, at most {MAX_FEATURES} can be watched; leave some out, "
                "or reduce them before the model"
            )
        return self

    @model_validator(mode="after")
    def _names_are_unique(self) -> Self:
        names = [feature.name for feature in self.features]
        if len(set(names)) != len(names):
            raise ValueError("feature names must be unique")
        return self

    @property
    def id(self) -> str:
        """Equal contracts have equal ids."""
        return f"fs-{hashlib.sha256(canonical_json(self.model_dump(mode='json'))).hexdigest()[:16]}"

    @property
    def numeric(self) -> tuple[str, ...]:
        """Names of the numeric features, in the order of PredictionLogged.num_features."""
        return tuple(f.name for f in self.features if f.kind is FeatureKind.NUMERIC)

    @property
    def categorical(self) -> tuple[str, ...]:
        """Names of the categorical features, in the order of PredictionLogged.cat_features."""
        return tuple(f.name for f in self.features if f.kind is FeatureKind.CATEGORICAL)


class FeatureReference(Part):
    """How one feature looked in training: frozen bins and their counts.

    Numeric: bins are (-inf, e0), [e0, e1), ..., [ek, inf) for the rising edges e. Categorical: one bin per category.
    counts: shape (3 + bins,), the reserved bins first. At most MAX_REFERENCE_BINS bins.
    """

    name: str
    edges: tuple[float, ...] = ()
    categories: tuple[str, ...] = ()
    counts: tuple[int, ...]

    @model_validator(mode="after")
    def _counts_fit_bins(self) -> Self:
        bins = len(self.categories) if self.categories else len(self.edges) + 1
        if len(self.counts) != len(RESERVED_BINS) + bins:
            raise ValueError(
                f"{self.name}: {len(self.counts)} counts for {bins} bins and {len(RESERVED_BINS)} reserved"
            )
        if bins > MAX_REFERENCE_BINS:
            raise ValueError(f"{self.name}: {bins} bins, at most {MAX_REFERENCE_BINS}; count the rest as `other`")
        if min(self.counts) < 0:
            raise ValueError(f"{self.name}: a count is negative")
        return self

    @model_validator(mode="after")
    def _bins_do_not_overlap(self) -> Self:
        if not all(map(isfinite, self.edges)) or any(low >= high for low, high in pairwise(self.edges)):
            raise ValueError(f"{self.name}: edges must be finite, and each above the one before")
        if len(set(self.categories)) != len(self.categories):
            raise ValueError(f"{self.name}: a category is there twice")
        return self


class ReferenceProfile(Part):
    """What the monitor compares with."""

    rows: int = Field(gt=0)
    features: tuple[FeatureReference, ...]
    score: FeatureReference | None = None
    error_rate: float | None = None
    """On rows the model was not fitted on."""


class FileEntry(Part):
    path: str = Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_./-]*$")
    digest: str = Field(pattern=r"^sha256:[0-9a-f]{64}$")
    size_bytes: int = Field(ge=0)

    @model_validator(mode="after")
    def _stays_inside(self) -> Self:
        parts = self.path.split("/")
        if ".." in parts:
            raise ValueError(f"{self.path}: a file may not leave its folder")
        if "" in parts or "." in parts:
            raise ValueError(f"{self.path}: write the path without empty parts and dots, so that a file has one name")
        return self


class TrainingLineage(Part):
    """Where a version comes from."""

    run_id: str | None = None
    recipe: str
    dataset_digest: str | None = None
    train_from: UtcDatetime | None = None
    train_until: UtcDatetime | None = None
    """No row labelled for a prediction after this moment was seen in fitting or choosing: safe to evaluate on."""
    parameters: dict[str, str] = Field(default_factory=dict)
    metrics: dict[str, float] = Field(default_factory=dict)


class ModelManifest(Part):
    schema_version: int = 1
    model: str = Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,127}$")
    flavour: str
    files: tuple[FileEntry, ...] = Field(min_length=1)
    feature_schema: FeatureSchema
    reference: ReferenceProfile | None = None
    training: TrainingLineage
    environment: dict[str, str] = Field(default_factory=dict)
    """Package to version, of what is needed to load it."""

    @property
    def digest(self) -> str:
        return digest_of(self.canonical())

    def canonical(self) -> bytes:
        """The bytes that the digest is of."""
        return canonical_json(self.model_dump(mode="json"))
