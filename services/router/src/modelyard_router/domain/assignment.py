"""Sticky, monotone assignment of units to targets."""

import hashlib
from collections.abc import Sequence
from typing import Final

_SPAN: Final = float(2**64)


class Assigner:
    """A unit's bucket in [0, 1) depends on salt, route and unit only: not on weights, process or time."""

    def __init__(self, salt: str, route: str) -> None:
        # Lengths first, so that ("a", "bc") and ("ab", "c") differ.
        head = b"".join(len(part).to_bytes(4, "big") + part for part in (salt.encode(), route.encode()))
        self._hash = hashlib.blake2b(head, digest_size=8)

    def bucket(self, unit: str) -> float:
        """In [0, 1), uniform over units."""
        digest = self._hash.copy()
        digest.update(unit.encode("utf-8", "surrogatepass"))
        # 53 bits: more would occasionally round up to 1.0.
        return (int.from_bytes(digest.digest(), "big") >> 11) / (_SPAN / 2048)


def upper_bounds(weights: Sequence[float]) -> tuple[float, ...]:
    """Cumulative weights: target i owns the buckets [bound i-1, bound i). The last bound is open-ended.

    Put the target whose weight will be raised first: raising it then only moves units from the others to it.
    """
    bounds, total = [], 0.0
    for weight in weights:
        total += weight
        bounds.append(total)
    last = max((place for place, weight in enumerate(weights) if weight > 0), default=0)
    return tuple(bound if place < last else 2.0 for place, bound in enumerate(bounds))
