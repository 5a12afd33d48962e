"""Dataset files: one-step registration of a dataset that is one blob, and the way back from a blob."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from modelyard_contracts.datasets import DatasetManifest
from modelyard_contracts.documents import read, write
from modelyard_contracts.manifest import FileEntry
from modelyard_registry.domain.errors import BlobNotFound, DatasetFileNotFound, DatasetNotFound
from modelyard_registry.domain.names import model_key
from modelyard_registry.domain.ports import Deps, Records
from modelyard_registry.domain.values import NewResource, Origin, ResourceKey, Version
from modelyard_registry.usecases.resources import create_resource
from modelyard_registry.usecases.versions import create_version, finalize_version
from modelyard_runtime.errors import Invalid

DATASET = "dataset"
Allowed = Callable[[ResourceKey], bool]


@dataclass(frozen=True)
class NewFile:
    """A blob to register as a version of a dataset."""

    key: ResourceKey
    digest: str
    model: str | None
    format: str
    rows: int
    size_bytes: int
    columns: Mapping[str, str]
    source: Mapping[str, Any]


@dataclass(frozen=True)
class DatasetFile:
    """A version of a dataset, found by its blob."""

    key: ResourceKey
    version: Version
    manifest: DatasetManifest


def register_file(deps: Deps, wanted: NewFile, origin: Origin) -> tuple[DatasetFile, bool]:
    """Return the dataset version and whether it is new; a blob is one version per workspace, the first one."""
    _check(deps, wanted)
    with deps.storage.read() as records:
        known = _find(records, wanted.digest, lambda key: key.workspace == wanted.key.workspace)
    if known is not None:
        return known, False
    _ensure(deps, wanted.key, origin)
    version, _ = create_version(
        deps, wanted.key, _manifest(wanted), idempotency_key=f"file {wanted.digest}", origin=origin
    )
    finalize_version(deps, wanted.key, version.version, actor=origin.actor)
    return find_file(deps, wanted.digest, lambda key: key.workspace == wanted.key.workspace), True


def find_file(deps: Deps, digest: str, allowed: Allowed) -> DatasetFile:
    """Return the oldest allowed dataset version that has the file; DatasetFileNotFound."""
    with deps.storage.read() as records:
        found = _find(records, digest, allowed)
    if found is None:
        raise DatasetFileNotFound(digest)
    return found


def _check(deps: Deps, wanted: NewFile) -> None:
    size = deps.blobs.size(wanted.digest)
    if size is None:
        raise BlobNotFound(wanted.digest)
    if size != wanted.size_bytes:
        raise Invalid(f"size_bytes is {wanted.size_bytes}, the blob has {size}", field="size_bytes")
    if wanted.model is not None:
        with deps.storage.read() as records:
            records.resources.get(model_key(wanted.model))


def _ensure(deps: Deps, key: ResourceKey, origin: Origin) -> None:
    with deps.storage.read() as records:
        try:
            records.resources.get(key)
            return
        except DatasetNotFound:
            pass
    create_resource(deps, NewResource(key, "", "", {}), origin)


def _manifest(wanted: NewFile) -> bytes:
    document = {
        "dataset": wanted.key.reference,
        "format": wanted.format,
        "files": [FileEntry(path="data.parquet", digest=wanted.digest, size_bytes=wanted.size_bytes)],
        "rows": wanted.rows,
        "columns": dict(wanted.columns),
        "source": dict(wanted.source),
        "model": wanted.model,
    }
    return write(DatasetManifest.model_validate(document))


def _find(records: Records, digest: str, allowed: Allowed) -> DatasetFile | None:
    for key, number in records.versions.with_file(DATASET, digest):
        if allowed(key):
            version = records.versions.get(records.resources.get(key), number)
            return DatasetFile(key, version, read(DatasetManifest, version.manifest))
    return None
