"""The signature of a version: what it takes and what it answers, read by every service."""

import hashlib
from enum import StrEnum
from typing import Annotated, Final, Literal, Self

from pydantic import Field, model_validator

from modelyard_contracts.documents import canonical_json
from modelyard_contracts.messages.base import Part

MAX_COLUMNS: Final = 1_000
"""The monitor keeps some 760 bytes per column for each of 6 versions, in one Kafka message of at most 8 MiB."""
MAX_CLASSES: Final = 1_000
MAX_DIMENSION: Final = 100_000
MAX_LOGGED_TEXT_CHARACTERS: Final = 10_000
"""Longer texts are cut in the prediction log."""


class ColumnType(StrEnum):
    """Type of an input column, as a person would name it."""

    NUMBER = "number"
    INTEGER = "integer"
    BOOLEAN = "boolean"
    CATEGORY = "category"
    TEXT = "text"
    TIMESTAMP = "timestamp"

    @property
    def numeric(self) -> bool:
        """True when the value is logged as a number (booleans as 0 and 1, timestamps as seconds since 1970, UTC)."""
        return self not in (ColumnType.CATEGORY, ColumnType.TEXT)


class Column(Part):
    """One input column. A value out of the range seen in training is accepted; a wrong type is refused."""

    name: str = Field(min_length=1, max_length=256)
    type: ColumnType = ColumnType.NUMBER
    nullable: bool = True
    unit: str | None = Field(default=None, max_length=64)
    max_length: int | None = Field(default=None, ge=1, le=10_000_000)
    """Characters; for texts only."""


class Task(StrEnum):
    """What a version answers."""

    BINARY = "binary"
    MULTICLASS = "multiclass"
    REGRESSION = "regression"
    TEXT = "text"
    EMBEDDING = "embedding"
    """A vector of `Output.dimension` numbers."""

    @property
    def classifies(self) -> bool:
        return self in (Task.BINARY, Task.MULTICLASS)

    @property
    def labelled(self) -> bool:
        """Whether a later label can show that an answer was right; a text or a vector has none."""
        return self not in (Task.TEXT, Task.EMBEDDING)


class Output(Part):
    """The answer of a version.

    classes: in the order of the scores; the last one of two is the positive class. Empty unless the task classifies.
    dimension: numbers of one vector, for embeddings only. Other documents leave it out: their ids must not change.
    """

    task: Task
    name: str = Field(default="label", min_length=1, max_length=256)
    """The target column."""
    classes: tuple[Annotated[str, Field(max_length=1_024)], ...] = ()
    unit: str | None = Field(default=None, max_length=64)
    dimension: int | None = Field(default=None, ge=1, le=MAX_DIMENSION, exclude_if=lambda value: value is None)

    @model_validator(mode="after")
    def _dimension_fits_task(self) -> Self:
        if (self.task is Task.EMBEDDING) is (self.dimension is None):
            needs = "needs" if self.dimension is None else "has no"
            raise ValueError(f"dimension: the output {self.task} {needs} number of values per vector")
        return self

    @model_validator(mode="after")
    def _classes_fit_task(self) -> Self:
        count = len(self.classes)
        if len(set(self.classes)) != count:
            raise ValueError("classes: a class is listed twice")
        if self.task is Task.BINARY and count != 2:
            raise ValueError(f"classes: a binary output has 2 classes, not {count}")
        if self.task is Task.MULTICLASS and not 2 <= count <= MAX_CLASSES:
            raise ValueError(f"classes: a multiclass output has 2 to {MAX_CLASSES} classes, not {count}")
        if not self.task.classifies and count:
            raise ValueError(f"classes: a {self.task} output has no classes")
        return self


class Signature(Part):
    """Inputs and output of a version. `text` takes one text; `columns` takes named columns."""

    input: Literal["columns", "text"] = "columns"
    columns: tuple[Column, ...] = Field(min_length=1)
    output: Output

    @model_validator(mode="after")
    def _columns_fit(self) -> Self:
        names = [column.name for column in self.columns]
        if len(names) > MAX_COLUMNS:
            raise ValueError(
                f"{len(names)} features, at most {MAX_COLUMNS} can be watched; leave some out, "
                "or reduce them before the model"
            )
        if len(set(names)) != len(names):
            raise ValueError("feature names must be unique")
        if self.input == "text" and [column.type for column in self.columns] != [ColumnType.TEXT]:
            raise ValueError("columns: the input `text` has one column of the type text")
        return self

    @property
    def numeric(self) -> tuple[str, ...]:
        """Names of the columns that are logged as numbers, in the order of PredictionLogged.num_features."""
        return tuple(column.name for column in self.columns if column.type.numeric)

    @property
    def categorical(self) -> tuple[str, ...]:
        """Names of the columns that are logged as text, in the order of PredictionLogged.cat_features."""
        return tuple(column.name for column in self.columns if not column.type.numeric)

    @property
    def task(self) -> Task:
        return self.output.task

    @property
    def classes(self) -> tuple[str, ...]:
        return self.output.classes

    @property
    def width(self) -> int:
        """Numbers of one answer: a score per class, the values of a vector, or one value."""
        return len(self.classes) or self.output.dimension or 1

    @property
    def target(self) -> str:
        """Name of the target column."""
        return self.output.name


def online_obstacle(signature: Signature) -> str | None:
    """Why there is no online learner for a signature; None if there is."""
    if signature.input != "columns":
        return f"online learners take columns, not {signature.input}"
    if any(column.type is ColumnType.TEXT for column in signature.columns):
        return "online learners take no text columns"
    return None


def new_schema_id(signature: Signature) -> str:
    """Id of a signature, made once by the writer of a manifest; readers use `manifest.feature_schema_id`."""
    return f"fs-{hashlib.sha256(canonical_json(signature.model_dump(mode='json'))).hexdigest()[:16]}"
