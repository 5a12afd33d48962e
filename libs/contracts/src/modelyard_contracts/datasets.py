"""The manifest of a dataset version: its files, its columns and how to make it again."""

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from modelyard_contracts.documents import Document
from modelyard_contracts.manifest import FileEntry
from modelyard_contracts.numbers import Count
from modelyard_contracts.references import REFERENCE_PATTERN

Name = Annotated[str, Field(min_length=1, max_length=256)]


class DatasetManifest(Document):
    """One version of a dataset, as it was registered."""

    DOCUMENT: ClassVar[str] = "dataset manifest"

    kind: Literal["dataset"] = "dataset"
    dataset: str = Field(pattern=REFERENCE_PATTERN)
    """Reference of the dataset: `name` or `workspace:name`."""
    format: Literal["parquet"] = "parquet"
    files: tuple[FileEntry, ...] = Field(min_length=1)
    rows: Count
    columns: dict[Name, Name]
    """Column name to type."""
    source: dict[str, Any] = Field(default_factory=dict)
    """How to make it again, such as SQL, offsets or a window."""
    model: str | None = Field(default=None, pattern=REFERENCE_PATTERN)
    """The model it was made for."""
