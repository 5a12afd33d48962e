"""The shape of an error message: one sentence for a person, in the words of the surface that was used."""

import re
from typing import Final

MAX_CHARACTERS: Final = 700
_SIGNS: Final = {
    "no text": re.compile(r"^\s*$"),
    "a traceback": re.compile(r'Traceback|File "|\.py\b|site-packages'),
    "a regular expression": re.compile(r"\^\[|\]\*|\\Z|\\d|\(\?|\]\{\d|\]\+|\$'|should match pattern|regex"),
    "a validator's words": re.compile(
        r"Input should|Value error|Assertion failed|pydantic|validation error|[Vv]alid dictionary|Extra inputs|"
        r"Field required|type=|literal_error|unable to parse|\bmsgspec\b|at `\$|JSON is malformed|"
        r"Expecting (value|property|',')|Extra data|codec can't"
    ),
    "a class of Python": re.compile(r"\b[A-Z]\w*(Error|Exception)\b|\bNoneType\b|<class|object at 0x|\bUUID\("),
    "a control character": re.compile(r"[\x00-\x1f\x7f\x80-\x9f]"),
    "a very long word": re.compile(r"\S{200}"),
}
"""What a message must not contain."""


def flaws(text: str) -> list[str]:
    """Names of what is wrong with a message; empty for a good one."""
    found = [name for name, sign in _SIGNS.items() if sign.search(text)]
    if len(text) > MAX_CHARACTERS:
        found.append(f"{len(text)} characters")
    return found
