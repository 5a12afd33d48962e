"""Lists of rows of which a caller may read some: the limit counts those that the caller gets."""

from collections.abc import Callable, Sequence
from typing import Final, TypeVar

Row = TypeVar("Row")
PAGE_ROWS: Final = 500


def first_readable(page: Callable[[int, int], Sequence[Row]], readable: Callable[[Row], bool], limit: int) -> list[Row]:
    """Return the first `limit` readable rows, in their order.

    page: (rows, offset) to a page of the list; one shorter than asked for is the last.
    """
    found: list[Row] = []
    offset, asked = 0, min(limit, PAGE_ROWS)  # most callers may read everything: no row is read in vain
    while len(found) < limit:
        rows = page(asked, offset)
        found += [row for row in rows if readable(row)]
        offset += asked
        if len(rows) < asked:
            break
        asked = PAGE_ROWS
    return found[:limit]
