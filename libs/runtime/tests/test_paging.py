"""Lists of rows of which a caller may read some."""

import pytest

from modelyard_runtime.paging import PAGE_ROWS, first_readable


@pytest.mark.parametrize(
    ("every", "limit", "pages"),
    [
        (1, 20, [20]),
        (1, PAGE_ROWS, [PAGE_ROWS]),
        (1, PAGE_ROWS + 1, [PAGE_ROWS, PAGE_ROWS]),
        (10, 20, [20, PAGE_ROWS]),
        (5_000, 2, [2, *[PAGE_ROWS] * 4]),
    ],
)
def test_no_more_rows_are_read_than_may_be_needed(every: int, limit: int, pages: list[int]) -> None:
    """every: distance between two readable rows."""
    stored, asked = list(range(2_000)), []

    def page(rows: int, offset: int) -> list[int]:
        asked.append(rows)
        return stored[offset : offset + rows]

    found = first_readable(page, lambda row: row % every == 0, limit)
    assert found == [row for row in stored if row % every == 0][:limit]
    assert asked == pages
