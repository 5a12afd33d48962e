"""Tensors of two versions compared by their digests."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Final

from modelyard_admission import resemblance
from modelyard_contracts.admission import TensorDigest
from modelyard_contracts.comparison import TensorComparison, TensorGroup

MAX_STORED: Final = 2_000
"""Tensors stored per version, the largest first. A dense model of 70 billion parameters has some 700; 2,000 rows take
some 300 kB, and the tensors left out are the smallest, which weigh nothing in a share of bytes."""
MAX_GROUPS: Final = 20


def largest(tensors: Iterable[TensorDigest]) -> tuple[TensorDigest, ...]:
    """Return the tensors to store, largest first."""
    return tuple(sorted(tensors, key=lambda one: (-one.size_bytes, one.name))[:MAX_STORED])


def compare(before: Sequence[TensorDigest], after: Sequence[TensorDigest]) -> TensorComparison | None:
    """Compare by digest, whatever the names and files; None when one side has no tensors."""
    if not before or not after:
        return None
    found = resemblance(before, after)
    return TensorComparison(
        identical_share=found.share,
        identical=found.equal,
        differing=_groups(before, after)[:MAX_GROUPS],
        complete=max(len(before), len(after)) < MAX_STORED,
    )


def _groups(before: Sequence[TensorDigest], after: Sequence[TensorDigest]) -> tuple[TensorGroup, ...]:
    """Group what differs by the first part of the name; a group of one tensor has its whole name.

    A tensor that only has another name does not differ.
    """
    old, new = ({one.name: one for one in side} for side in (before, after))
    known = {one.digest for one in before} & {one.digest for one in after}
    found: dict[str, list[str]] = defaultdict(list)
    for name in sorted(old.keys() | new.keys()):
        if any(name in side and side[name].digest not in known for side in (old, new)):
            found[name.partition(".")[0]].append(name)
    groups = [_group(prefix, names, old, new) for prefix, names in found.items()]
    return tuple(sorted(groups, key=lambda group: (-group.size_bytes, group.prefix)))


def _group(
    prefix: str, names: Sequence[str], old: dict[str, TensorDigest], new: dict[str, TensorDigest]
) -> TensorGroup:
    return TensorGroup(
        prefix=names[0] if len(names) == 1 else f"{prefix}.*",
        added=sum(name not in old for name in names),
        removed=sum(name not in new for name in names),
        changed=sum(name in old and name in new for name in names),
        size_bytes=sum((new.get(name) or old[name]).size_bytes for name in names),
    )
