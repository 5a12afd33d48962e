"""Cursors of lists in order of time: a moment, and the id that decides between items of one moment."""

from datetime import UTC, datetime
from uuid import UUID

from modelyard_runtime.errors import Invalid


def cursor_of(at: datetime, item_id: str) -> str:
    """Return the cursor of the page after an item. item_id: a UUID."""
    return f"{at.isoformat()}~{item_id}"


def read_cursor(text: str) -> tuple[datetime, str]:
    """Return moment and id of a cursor; Invalid names `after`."""
    moment, _, item_id = text.replace(" ", "+").partition("~")
    try:
        return datetime.fromisoformat(moment).astimezone(UTC), str(UUID(item_id))
    except (ValueError, OverflowError) as error:
        raise Invalid(
            "after: is not a cursor of this list; send next_after of the page before", field="after"
        ) from error
