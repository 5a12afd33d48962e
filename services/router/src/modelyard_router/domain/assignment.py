"""Sticky and monotone: which target a unit belongs to."""

import hashlib
from collections.abc import Sequence
from typing import Final

_SPAN: Final = float(2**64)


class Assigner:
    """A unit's bucket in [0, 1) depends on salt, route and unit only: not on weights, process or time."""

    def __init__(self, salt: str, route: str) -> None:
        # Lengths go first, so that ("a", "bc") and ("ab", "c") are different.
        head = b"".join(len(part).to_bytes(4, "big") + part for part in (salt.encode(), route.encode()))
        self._hash = hashlib.blake2b(head, digest_size=8)

    def bucket(self, unit: str) -> float:
        """In [0, 1), uniform over units."""
        digest = self._hash.copy()
        digest.update(unit.encode("utf-8", "surrogatepass"))
        # 53 bits: more would round up to 1.0 now and then.
        return (int.from_bytes(digest.digest(), "big") >> 11) / (_SPAN / 2048)


def upper_bounds(weights: Sequence[float]) -> tuple[float, ...]:
    """Cumulated weights: target i has the buckets [bound i-1, bound i). The last bound is open-ended.

    Put the target whose weight is raised first: then raising it only adds units to it and takes them from the others.
    """
    bounds, total = [], 0.0
    for weight in weights:
        total += weight
        bounds.append(total)
    last = max((place for place, weight in enumerate(weights) if weight > 0), default=0)
    return tuple(bound if place < last else 2.0 for place, bound in enumerate(bounds))
