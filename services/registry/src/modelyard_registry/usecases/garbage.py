"""Collect blobs that no version and no run needs.

A blob is put aside first, and deleted by a later collection. A version that began to need it in between finds it again:
a read brings it back, and so does a collection. At no moment is a needed blob lost.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from itertools import islice
from typing import Final

from modelyard_registry.domain.ports import Deps, StoredBlob

LEAST_AGE: Final = timedelta(hours=24)
"""The upload of a blob and the registration of a version that needs it must happen within this time."""
BATCH: Final = 500
EXAMPLES: Final = 100


@dataclass(frozen=True)
class Collected:
    """Result of a collection, or what it would do."""

    applied: bool
    examples: tuple[StoredBlob, ...]
    """The largest of the unused blobs."""
    unused: tuple[StoredBlob, ...]
    """Put aside: they count as missing."""
    deleted: tuple[StoredBlob, ...]
    """Put aside by an earlier collection, and now deleted."""
    restored: tuple[StoredBlob, ...]
    """Put aside by an earlier collection, and needed again."""


def collect(deps: Deps, *, apply: bool, least_age: timedelta = LEAST_AGE) -> Collected:
    """Put aside unused blobs that are older than `least_age`, and delete those put aside that long ago.

    Without `apply` nothing changes. It may be interrupted and repeated.
    """
    before = deps.clock() - least_age
    aside, needed = _split(deps, deps.blobs.trashed())
    dead = tuple(blob for blob in aside if blob.stored_at < before)
    unused = tuple(blob for blob in _split(deps, deps.blobs.stored())[0] if blob.stored_at < before)
    if apply:
        for blob in needed:
            deps.blobs.restore(blob.digest)
        for blob in dead:
            deps.blobs.discard(blob.digest)
        for blob in unused:
            deps.blobs.trash(blob.digest)
    examples = tuple(sorted(unused, key=lambda blob: -blob.size_bytes)[:EXAMPLES])
    return Collected(apply, examples, unused, dead, needed)


def _split(deps: Deps, blobs: Iterable[StoredBlob]) -> tuple[tuple[StoredBlob, ...], tuple[StoredBlob, ...]]:
    """Blobs that no version and no run has, and blobs that one has."""
    unused: list[StoredBlob] = []
    needed: list[StoredBlob] = []
    for batch in _batches(blobs):
        with deps.storage.read() as records:
            digests = [blob.digest for blob in batch]
            referenced = records.versions.referenced(digests) | records.run_artifacts.referenced(digests)
        for blob in batch:
            (needed if blob.digest in referenced else unused).append(blob)
    return tuple(unused), tuple(needed)


def _batches(blobs: Iterable[StoredBlob]) -> Iterator[list[StoredBlob]]:
    iterator = iter(blobs)
    while batch := list(islice(iterator, BATCH)):
        yield batch
