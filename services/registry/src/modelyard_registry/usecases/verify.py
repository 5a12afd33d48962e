"""Check that every file of every version is there and intact, for example after a restore."""

from dataclasses import dataclass

from modelyard_registry.domain.ports import Deps


@dataclass(frozen=True)
class Verified:
    """One page of the check."""

    checked: int
    unusable: tuple[str, ...]
    """Digests of blobs that are missing or damaged; a damaged one was moved aside."""
    next_after: str | None
    """Cursor of the next page; None on the last one."""


def verify_blobs(deps: Deps, after: str, limit: int) -> Verified:
    """Read every byte of the next `limit` blobs that versions have, in the order of their digests."""
    with deps.storage.read() as records:
        digests = records.versions.digests(after, limit)
    unusable = tuple(digest for digest in digests if not deps.blobs.sound(digest))
    return Verified(len(digests), unusable, digests[-1] if len(digests) == limit else None)
