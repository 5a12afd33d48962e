"""Versions that have files or tensors of one another."""

from collections.abc import Collection, Sequence
from typing import Final

from modelyard_contracts import VersionStage
from modelyard_contracts.admission import TensorDigest
from modelyard_contracts.comparison import Resemblance
from modelyard_contracts.example import EXAMPLE_FILE
from modelyard_contracts.manifest import FileEntry
from modelyard_registry.domain.errors import ResemblesAnother
from modelyard_registry.domain.names import MODEL
from modelyard_registry.domain.ports import Records
from modelyard_registry.domain.tensors import compare
from modelyard_registry.domain.values import Resource, ResourceKey, Shared, Version
from modelyard_registry.usecases.policies import gate_of

MAX_SHOWN: Final = 10
LEAST_SHARE: Final = 0.05
"""Share of the bytes of files or tensors below which two versions do not resemble one another."""
Workspaces = Collection[str] | None


def resemblances(
    records: Records, resource: Resource, version: Version, workspaces: Workspaces
) -> tuple[Resemblance, ...]:
    """Return the versions of models that share files or tensors, identical ones first, then by shared tensor bytes.

    workspaces: those whose models the caller may read; None for all.
    """
    if resource.key.kind != MODEL or version.stage is VersionStage.PENDING:
        return ()
    at = (resource, version.version, workspaces, MAX_SHOWN)
    by_files = {(one.key, one.version): one for one in records.resemblances.by_files(*at)}
    by_tensors = {(one.key, one.version): one for one in records.resemblances.by_tensors(*at)}
    files = records.versions.files(resource, version.version)
    tensors = records.tensors.of(resource, version.version)
    found = [
        _compared(records, files, tensors, other, by_files.get(at_))
        for at_, other in {**by_tensors, **by_files}.items()
    ]
    shown = [one for one in found if _tells(one, files)]
    return tuple(sorted(shown, key=_order)[:MAX_SHOWN])


def _compared(
    records: Records, files: Sequence[FileEntry], tensors: Sequence[TensorDigest], other: Shared, shared: Shared | None
) -> Resemblance:
    """Compare with a version that shares a digest. shared: what it shares of the files, if anything."""
    resource = records.resources.get(other.key)
    return Resemblance(
        model=other.key.reference,
        version=other.version,
        digest=other.digest,
        identical=_contents(files) == _files_of(records, other),
        shared_files=shared.count if shared else 0,
        shared_file_bytes=shared.size_bytes if shared else 0,
        tensors=compare(records.tensors.of(resource, other.version), tensors),
    )


def refuse_copies(records: Records, resource: Resource, version: Version) -> None:
    """ResemblesAnother when the gate policy refuses files that are byte-identical to a version of another model."""
    if resource.key.kind != MODEL:
        return
    _, gate = gate_of(records, resource)
    if gate.resemblance != "refuse":
        return
    files = _contents(records.versions.files(resource, version.version))
    for shared in records.resemblances.by_files(resource, version.version, None, MAX_SHOWN):
        if shared.key != resource.key and _files_of(records, shared) == files:
            raise ResemblesAnother(_named(shared, resource.key))


def _files_of(records: Records, shared: Shared) -> frozenset[tuple[str, str]]:
    return _contents(records.versions.files(records.resources.get(shared.key), shared.version))


def _named(shared: Shared, own: ResourceKey) -> str:
    """A version in another workspace is not named: the caller may not be allowed to know of it."""
    if shared.key.workspace != own.workspace:
        return "a version of a model in another workspace"
    return f"{shared.key.reference}@{shared.version}"


def _contents(files: Sequence[FileEntry]) -> frozenset[tuple[str, str]]:
    """Path and digest of each file of the model itself; without the example, which is made at the registration."""
    return frozenset((entry.path, entry.digest) for entry in files if entry.path != EXAMPLE_FILE)


def _tells(one: Resemblance, files: Sequence[FileEntry]) -> bool:
    size = sum(entry.size_bytes for entry in files if entry.path != EXAMPLE_FILE)
    share = one.tensors.identical_share if one.tensors else 0.0
    return one.identical or share >= LEAST_SHARE or one.shared_file_bytes >= LEAST_SHARE * max(size, 1)


def _order(one: Resemblance) -> tuple[bool, float, int, str, int]:
    share = one.tensors.identical_share if one.tensors else 0.0
    return not one.identical, -share, -one.shared_file_bytes, one.model, one.version
