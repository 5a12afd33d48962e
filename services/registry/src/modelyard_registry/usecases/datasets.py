"""Datasets: a blob, and how it was made."""

from modelyard_registry.domain.errors import BlobNotFound
from modelyard_registry.domain.ports import Deps
from modelyard_registry.domain.values import Dataset
from modelyard_runtime.errors import Invalid


def create_dataset(deps: Deps, dataset: Dataset) -> tuple[Dataset, bool]:
    """The dataset, and whether it is new: equal bytes are one dataset, told of by whoever came first."""
    size = deps.blobs.size(dataset.digest)
    if size is None:
        raise BlobNotFound(dataset.digest)
    if size != dataset.size_bytes:
        raise Invalid(f"size_bytes is {dataset.size_bytes}, the blob has {size}", field="size_bytes")
    with deps.storage.transaction() as unit:
        if dataset.model is not None:
            unit.records.model(dataset.model)
        new = unit.records.add_dataset(dataset)
        return unit.records.dataset(dataset.digest), new
