"""Fields of answers that others wrote: of any type, or absent."""

from collections.abc import Mapping
from typing import Any, Final

MAX_CHARACTERS: Final = 256
"""Of a licence or of base models; a manifest holds no more."""


def text(record: Mapping[str, Any], name: str) -> str:
    """A text; empty if it is absent or something else."""
    found = record.get(name)
    return found if isinstance(found, str) else ""


def count(record: Mapping[str, Any], name: str) -> int:
    """A number of bytes or seconds, >= 0; 0 if it is absent or something else."""
    found = record.get(name)
    return found if isinstance(found, int) and found > 0 else 0


def joined(record: Mapping[str, Any], name: str) -> str:
    """A text or a list of texts, as one line."""
    found = record.get(name)
    parts = found if isinstance(found, list) else [found]
    return ", ".join(" ".join(part.split()) for part in parts if isinstance(part, str))[:MAX_CHARACTERS]


def records(found: Any) -> list[Mapping[str, Any]]:
    """The objects of a list."""
    return [entry for entry in found if isinstance(entry, Mapping)] if isinstance(found, list) else []
