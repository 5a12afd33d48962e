"""The labelled rows of a sample, which become a dataset: in memory, or in a Parquet file."""

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

from modelyard import RegistryClient
from modelyard.datasets import register_file, upload_table, write_table
from modelyard_contracts.messages.base import Part
from modelyard_contracts.signature import Signature
from modelyard_contracts.tables.arrow import arrow_table
from modelyard_contracts.tables.inference import TrainingPlan, labelled
from modelyard_contracts.tables.table import Table
from modelyard_own.sample import Sample


@runtime_checkable
class LabelledRows(Protocol):
    """Rows with their true class or value."""

    def upload(self, registry: RegistryClient, model: str) -> str:
        """Register the rows as a dataset of the model; returns its digest."""
        ...


class LabelledFile(Part):
    """A Parquet file. columns: name to Arrow type. sample: name of the file that the rows come from."""

    path: Path
    rows: int
    columns: dict[str, str]
    sample: str

    def upload(self, registry: RegistryClient, model: str) -> str:
        source, name = {"file": self.sample}, Path(self.sample).stem
        return register_file(registry, self.path, name, model, self.rows, self.columns, source)


@dataclass(frozen=True)
class LabelledTable:
    """Rows in memory."""

    table: Table
    training: TrainingPlan

    def upload(self, registry: RegistryClient, model: str) -> str:
        return upload_table(registry, self.table, self.training, model)

    def write(self, path: Path) -> LabelledFile:
        """Write the rows to a Parquet file."""
        rows = arrow_table(self.table, self.training)
        return LabelledFile(path=path, rows=len(rows), columns=write_table(rows, path), sample=self.table.path.name)


def labelled_of(sample: Sample, signature: Signature) -> LabelledTable | None:
    """Return the labelled rows; None without any."""
    if sample.target is None or not sample.labels():
        return None
    training = TrainingPlan(signature.task, sample.target, None, sample.types, signature.classes)
    return LabelledTable(labelled(sample.table, training), training)
