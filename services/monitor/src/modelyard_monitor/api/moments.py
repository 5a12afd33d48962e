"""The parameter `since` of the lists."""

from datetime import datetime
from typing import Annotated

from fastapi import Query

from modelyard_runtime.http.moments import read_moment

Since = Annotated[
    str | None, Query(max_length=64, description="Only what happened since this moment, ISO 8601 with a zone.")
]


def read_since(text: str | None, default: datetime) -> datetime:
    """The moment in `since`; `default` without one."""
    return read_moment(text, "since") or default
