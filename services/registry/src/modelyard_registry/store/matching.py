"""Text search in SQL."""

import json
from typing import Any

from sqlalchemy import JSON, Text, cast
from sqlalchemy.sql.elements import ColumnElement


def matches(column: ColumnElement[Any], text: str) -> ColumnElement[bool]:
    """Condition: the column holds the text, in any case (of ASCII letters on SQLite)."""
    if isinstance(column.type, JSON):
        return cast(column, Text).icontains(json.dumps(text)[1:-1], autoescape=True)
    return column.icontains(text, autoescape=True)
