"""Chat templates: Jinja programs that run when a prompt is made."""

import re
from collections.abc import Iterator
from typing import Final

from modelyard_admission.notes import Note, Verdict

_REACHING: Final = re.compile(
    r"__\w+__|\battr\s*\(|\|\s*attr\b|\bcycler\b|\bjoiner\b|\blipsum\b|\bself\._|\bconfig\b\s*\.|\brequest\b\s*\.|"
    r"\b(?:import|include|extends)\b\s+['\"]|\b(?:popen|subprocess|getattr|globals|builtins)\b"
)


def template_notes(template: str, place: str) -> Iterator[Note]:
    """Expressions that reach Python's internals have no use in a prompt."""
    for match in _REACHING.finditer(template):
        message = f"holds a chat template with {match[0][:50]!r}, which reaches outside of the template"
        yield Note("template-escape", Verdict.MALICIOUS, message, place)
        return
