"""Names of models as people type them."""

from typing import Final

from modelyard_contracts.references import REFERENCE_PATTERN, InvalidReference, Reference

BROWSER_PATTERN: Final = REFERENCE_PATTERN.strip("^$").replace("-]", r"\-]")
"""The rule for browsers, which want a hyphen in a class escaped."""
RULE: Final = "NAME or WORKSPACE:NAME, with lower-case letters, digits, '.', '_' and '-'"


def name_problem(text: str) -> str:
    """Why no model can have this name; empty if one can, and for an empty text."""
    try:
        Reference.parse(text or "empty")
    except InvalidReference as error:
        return f"Model: {error}"
    return ""
