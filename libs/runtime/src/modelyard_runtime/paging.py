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
    offset = 0
    while len(found) < limit:
        rows = page(PAGE_ROWS, offset)
        found += [row for row in rows if readable(row)]
        offset += PAGE_ROWS
        if len(rows) < PAGE_ROWS:
            break
    return found[:limit]
