"""How much two models have in common, by the digests of their tensors."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from modelyard_contracts.admission import TensorDigest


@dataclass(frozen=True, slots=True)
class Resemblance:
    """Two models compared.

    share: bytes of equal tensors, whatever their names, by the bytes of the larger model; 0 to 1. equal: their number.
    changed: names with other values. only_first and only_second: names that the other does not have.
    """

    share: float
    equal: int
    changed: tuple[str, ...]
    only_first: tuple[str, ...]
    only_second: tuple[str, ...]

    @property
    def identical(self) -> bool:
        """True if all tensors are equal, whatever their names are; False without any tensor."""
        return self.share == 1.0

    @property
    def groups(self) -> tuple[str, ...]:
        """Names that differ, by common prefix: `classifier.*`."""
        return grouped([*self.changed, *self.only_first, *self.only_second])

    @property
    def described(self) -> str:
        """A sentence for people, such as "81 % of the bytes are equal; differs in classifier.*"."""
        if self.identical:
            return "all tensors are equal"
        names = f"; differs in {', '.join(self.groups[:5])}" if self.groups else ""
        return f"{self.share * 100:.0f} % of the bytes are equal{names}"


def resemblance(first: Sequence[TensorDigest], second: Sequence[TensorDigest]) -> Resemblance:
    """Compare the tensors of two models; tensors without bytes count for nothing."""
    mine = {tensor.name: tensor for tensor in first}
    theirs = {tensor.name: tensor for tensor in second}
    larger = max(_size(first), _size(second))
    equal_bytes, equal = _common(first, second)
    both = mine.keys() & theirs.keys()
    return Resemblance(
        share=equal_bytes / larger if larger else 0.0,
        equal=equal,
        changed=tuple(sorted(name for name in both if mine[name].digest != theirs[name].digest)),
        only_first=tuple(sorted(mine.keys() - theirs.keys())),
        only_second=tuple(sorted(theirs.keys() - mine.keys())),
    )


def _size(tensors: Iterable[TensorDigest]) -> int:
    return sum(tensor.size_bytes for tensor in tensors)


def _common(first: Sequence[TensorDigest], second: Sequence[TensorDigest]) -> tuple[int, int]:
    """(bytes, number) of the tensors that both have, each counted as often as in both."""
    sizes = {tensor.digest: tensor.size_bytes for tensor in first}
    shared = Counter(tensor.digest for tensor in first) & Counter(tensor.digest for tensor in second)
    return sum(sizes[digest] * count for digest, count in shared.items()), shared.total()


def grouped(names: Iterable[str]) -> tuple[str, ...]:
    """Names by their first part; a part with a single name keeps it whole."""
    groups: dict[str, set[str]] = {}
    for name in names:
        groups.setdefault(name.partition(".")[0], set()).add(name)
    return tuple(
        next(iter(members)) if len(members) == 1 else f"{prefix}.*" for prefix, members in sorted(groups.items())
    )
