"""What names and values this registry can hold; other registries allow more."""

import re
from typing import Final

ALIASES_OF_ROLLOUTS: Final = frozenset({"champion", "challenger"})
ALIAS: Final = r"[a-z][a-z0-9._-]{0,63}"
RESERVED: Final = r"latest|v[0-9]+"
MAX_TAG_NAME, MAX_TAG_VALUE = 200, 4_000


def alias_problem(alias: str) -> str:
    """Why an alias is not taken over; empty if it is."""
    if alias in ALIASES_OF_ROLLOUTS:
        return "moved by rollouts only: modelyard deploy"
    if not re.fullmatch(ALIAS, alias) or re.fullmatch(RESERVED, alias):
        return "no alias has this name here: lower-case letters, digits, '.', '_', '-'; not latest, v1, v2"
    return ""


def tag_problem(name: str, value: str | None) -> str:
    """Why a tag is not taken over; empty if it is."""
    if not 0 < len(name) <= MAX_TAG_NAME or len(value or "") > MAX_TAG_VALUE or "\0" in f"{name}{value}":
        return f"a tag has a name of {MAX_TAG_NAME} and a value of {MAX_TAG_VALUE:,} characters at most"
    return ""
