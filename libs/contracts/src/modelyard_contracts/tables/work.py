"""What the process that reads a file is asked, and what it answers; see `python -m modelyard_contracts.tables`."""

from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field
from pydantic.dataclasses import dataclass

from modelyard_contracts.signature import ColumnType, Signature
from modelyard_contracts.signature import Task as ModelTask
from modelyard_contracts.tables.inference import Choices
from modelyard_contracts.tables.table import Dialect


class ChosenOptions(BaseModel):
    """What a person chose about a file; empty texts are inferred."""

    model_config = ConfigDict(frozen=True)

    target: str = ""
    time: str = ""
    """`none`: the rows are in order of time."""
    task: ModelTask | None = None
    types: dict[str, ColumnType] = Field(default_factory=dict)
    left_out: frozenset[str] = frozenset()
    """Columns that no model learns from."""
    separator: str = ","
    decimal: str = "."
    encoding: str = "utf-8"
    shuffle: bool = False

    def parsed(self) -> Choices:
        """Choices for reading; UnfitFile names an option that cannot be used."""
        dialect = Dialect.of(self.separator, self.decimal, self.encoding)
        return Choices(self.target or None, self.time or None, self.task, self.types, self.left_out, dialect)


class Task(BaseModel):
    """Read `file` in `folder`. Messages name the file as `file`.

    known: the signature that the columns must fit. write: a Parquet file to write. memory_bytes: address space of the
    process. max_cells: rows times columns.
    """

    folder: str
    file: str
    choices: ChosenOptions
    known: Signature | None = None
    write: str | None = None
    max_cells: int | None = None
    memory_bytes: int | None = None


@dataclass(frozen=True)
class Problem:
    """Why a file cannot be used. option, candidates: what decides where more than one reading fits."""

    text: str
    option: str = ""
    candidates: tuple[str, ...] = ()


@dataclass(frozen=True)
class Column:
    """A feature as it was read."""

    name: str
    type: str
    missing: int
    distinct: int
    examples: tuple[str, ...]


class Answer(BaseModel):
    """The reading of a file, or the problem with it. preview: `Preview.document()`."""

    header: tuple[str, ...] = ()
    preview: dict[str, Any] | None = None
    columns: tuple[Column, ...] = ()
    first_rows: tuple[tuple[str, ...], ...] = ()
    written: dict[str, str] = Field(default_factory=dict)
    """Columns of the Parquet file, and their Arrow types."""
    problem: Problem | None = None

    @classmethod
    def failed(cls, text: str) -> Self:
        return cls(problem=Problem(text))
