"""The manifest of a model version: its files, its signature and its lineage.

A manifest is written once, as canonical JSON (`ManifestFile.write`). The digest of the version is the SHA-256 of those
bytes; the manifest names every file by its own digest, so one string pins all bytes. No digest is ever computed from a
parsed manifest: a release that knows more fields would compute another one.
"""

import hashlib
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise
from math import isfinite
from typing import Annotated, Any, ClassVar, Final, Literal, Self

from pydantic import Field, model_validator

from modelyard_contracts.documents import MAX_COUNT, Count, Document, canonical_json, digest_of, read, write
from modelyard_contracts.messages.base import Part, UtcDatetime
from modelyard_contracts.references import REFERENCE_PATTERN
from modelyard_contracts.signature import MAX_COLUMNS, Column, ColumnType, Output, Signature, Task, new_schema_id

TIME_FACT: Final = "time_column"
"""Parameter of a lineage: time column of the training dataset."""
ROW_ORDER: Final = "(row order)"
"""Value of TIME_FACT for a dataset without one, whose rows are in the order of time, one second apart."""
RESERVED_BINS: Final = ("missing", "non_finite", "other")
"""First bins of every feature, so that a broken column shows as drift."""
MAX_FEATURES: Final = MAX_COLUMNS
MAX_REFERENCE_BINS: Final = 100


class FeatureKind(StrEnum):
    NUMERIC = "numeric"
    CATEGORICAL = "categorical"


class Feature(Part):
    """One input column in its earlier form."""

    name: str = Field(min_length=1)
    kind: FeatureKind = FeatureKind.NUMERIC
    nullable: bool = True


class FeatureSchema(Part):
    """Names, kinds and order of a version's inputs: the view of a signature that is being replaced by it."""

    features: tuple[Feature, ...] = Field(min_length=1)
    target: str = "label"
    classes: tuple[str, ...] = ()
    """In the order of the scores; the last of two is the positive class."""
    id: str = ""
    """As written in the manifest; a schema without one gets it from its contents."""

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

    @model_validator(mode="after")
    def _has_an_id(self) -> Self:
        if not self.id:
            contents = canonical_json(self.model_dump(mode="json", exclude={"id"}))
            object.__setattr__(self, "id", f"fs-{hashlib.sha256(contents).hexdigest()[:16]}")
        return self

    @property
    def numeric(self) -> tuple[str, ...]:
        """Names of the numeric features, in the order of PredictionLogged.num_features."""
        return tuple(f.name for f in self.features if f.kind is FeatureKind.NUMERIC)

    @property
    def categorical(self) -> tuple[str, ...]:
        """Names of the categorical features, in the order of PredictionLogged.cat_features."""
        return tuple(f.name for f in self.features if f.kind is FeatureKind.CATEGORICAL)


class FeatureReference(Part):
    """Distribution of one feature in training: frozen bins and their counts.

    Numeric: bins are (-inf, e0), [e0, e1), ..., [ek, inf) for the rising edges e. Categorical: one bin per category.
    counts: shape (3 + bins,), the reserved bins first. At most MAX_REFERENCE_BINS bins.
    """

    name: str
    edges: tuple[float, ...] = ()
    categories: tuple[str, ...] = ()
    counts: tuple[Annotated[int, Field(le=MAX_COUNT)], ...]

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
            raise ValueError(f"{self.name}: edges must be finite, and strictly increasing")
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
    error_rate: float | None = None
    """Share of wrong classes on rows the model was not fitted on."""
    mean_absolute_error: float | None = None
    """In the unit of the target, on rows the model was not fitted on; for regressions."""


class FileEntry(Part):
    path: str = Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_./-]*$")
    digest: str = Field(pattern=r"^sha256:[0-9a-f]{64}$")
    size_bytes: Count

    @model_validator(mode="after")
    def _stays_inside(self) -> Self:
        parts = self.path.split("/")
        if ".." in parts:
            raise ValueError(f"{self.path}: a file may not leave its folder")
        if "" in parts or "." in parts:
            raise ValueError(f"{self.path}: write the path without empty parts and dots, so that a file has one name")
        return self


class TrainingLineage(Part):
    """Origin of a version."""

    run_id: str | None = None
    recipe: str
    dataset_digest: str | None = None
    train_from: UtcDatetime | None = None
    train_until: UtcDatetime | None = None
    """No row predicted after this time was used in fitting or selection, so later rows are safe to evaluate on."""
    parameters: dict[str, str] = Field(default_factory=dict)
    metrics: dict[str, float] = Field(default_factory=dict)


class Price(Part):
    """Cost of an answer in US dollars; the router adds it up per request."""

    usd_per_call: float = Field(default=0.0, ge=0, allow_inf_nan=False)
    usd_per_1k_input_tokens: float = Field(default=0.0, ge=0, allow_inf_nan=False)
    usd_per_1k_output_tokens: float = Field(default=0.0, ge=0, allow_inf_nan=False)


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

    @model_validator(mode="before")
    @classmethod
    def _derive(cls, data: Any) -> Any:
        """Fill task and schema id from the signature when a writer leaves them out."""
        if not isinstance(data, dict):
            return data
        data = _from_feature_schema(data)
        signature = data.get("signature")
        if isinstance(signature, dict):
            signature = Signature.model_validate(signature, extra="ignore")
        if isinstance(signature, Signature):
            data = {"task": signature.task, "feature_schema_id": new_schema_id(signature), **data}
        return data

    @model_validator(mode="after")
    def _task_fits(self) -> Self:
        if self.task is not self.signature.task:
            raise ValueError(f"task: is {self.task}, but the signature's output is {self.signature.task}")
        return self

    @property
    def feature_schema(self) -> FeatureSchema:
        """The signature in its earlier form; use `signature`."""
        return FeatureSchema(
            features=tuple(
                Feature(
                    name=column.name,
                    kind=FeatureKind.NUMERIC if column.type.numeric else FeatureKind.CATEGORICAL,
                    nullable=column.nullable,
                )
                for column in self.signature.columns
            ),
            target=self.signature.target,
            classes=self.signature.classes,
            id=self.feature_schema_id,
        )

    @property
    def digest(self) -> str:
        """Use ManifestFile.digest: this one changes when a release adds a field."""
        return digest_of(self.canonical())

    def canonical(self) -> bytes:
        """Use ManifestFile.data."""
        return write(self)


def signed(schema: FeatureSchema) -> dict[str, Any]:
    """Signature fields of a manifest from the earlier form, until every writer states a signature."""
    task = {0: Task.REGRESSION, 2: Task.BINARY}.get(len(schema.classes), Task.MULTICLASS)
    columns = tuple(
        Column(
            name=feature.name,
            type=ColumnType.NUMBER if feature.kind is FeatureKind.NUMERIC else ColumnType.CATEGORY,
            nullable=feature.nullable,
        )
        for feature in schema.features
    )
    signature = Signature(columns=columns, output=Output(task=task, name=schema.target, classes=schema.classes))
    return {"task": task, "signature": signature, "feature_schema_id": schema.id}


def _from_feature_schema(data: dict[str, Any]) -> dict[str, Any]:
    if "feature_schema" not in data:
        return data
    rest = {key: value for key, value in data.items() if key != "feature_schema"}
    return {**rest, **signed(FeatureSchema.model_validate(data["feature_schema"]))}


@dataclass(frozen=True, slots=True)
class ManifestFile:
    """A manifest together with its bytes, which are its identity."""

    data: bytes
    digest: str
    """`sha256:` of data."""
    manifest: ModelManifest

    @classmethod
    def write(cls, manifest: ModelManifest) -> Self:
        """Make the bytes of a new manifest. Called once in the life of a version, by whoever registers it."""
        data = write(manifest)
        return cls(data, digest_of(data), manifest)

    @classmethod
    def read(cls, data: bytes) -> Self:
        """Read stored or received bytes; NewerDocument or InvalidDocument when they cannot be used."""
        return cls(data, digest_of(data), read(ModelManifest, data))


__all__ = [
    "MAX_FEATURES",
    "MAX_REFERENCE_BINS",
    "RESERVED_BINS",
    "ROW_ORDER",
    "TIME_FACT",
    "Feature",
    "FeatureKind",
    "FeatureReference",
    "FeatureSchema",
    "FileEntry",
    "ManifestFile",
    "ModelManifest",
    "Price",
    "ReferenceProfile",
    "TrainingLineage",
    "canonical_json",
    "digest_of",
    "signed",
]
