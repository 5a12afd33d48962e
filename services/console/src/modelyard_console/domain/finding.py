"""What a text that a person looks for may be."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID

DIGEST: Final = re.compile(r"(sha256:)?[0-9a-f]{6,64}")


@dataclass(frozen=True)
class Hit:
    """One object that was found. exact: the text is its whole name or id."""

    kind: str
    title: str
    text: str
    link: str
    exact: bool = False


def as_uuid(text: str) -> str | None:
    """The text as an id of a run, an evaluation, a rollout, a timeline or an event; None if it is none."""
    try:
        return str(UUID(text))
    except ValueError:
        return None


def as_digest(text: str) -> str | None:
    """The text as the start of a digest; None if it is none."""
    return text.lower() if DIGEST.fullmatch(text.lower()) else None


def only_hit(hits: Sequence[Hit]) -> Hit | None:
    """The hit to open at once: the only one, or the only exact one."""
    exact = [hit for hit in hits if hit.exact]
    if len(exact) == 1:
        return exact[0]
    return hits[0] if len(hits) == 1 else None
