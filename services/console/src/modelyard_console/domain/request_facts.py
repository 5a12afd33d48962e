"""Headers of a request as a person types them, for routes with rules on headers."""

import re
from typing import Final

MAX_HEADERS: Final = 32
NAME: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,127}")
VALUE: Final = re.compile(r"[ -~]{0,1000}")
OF_THE_CONNECTION: Final = frozenset(
    {"authorization", "host", "connection", "content-length", "content-type", "content-encoding", "transfer-encoding"}
    | {"accept-encoding", "expect", "upgrade", "te", "trailer", "cookie"}
)
"""Headers that the console sets itself, or that would change how the request is read."""


class UnreadableHeader(ValueError):
    """A line that is not a header that may be sent."""


def read_headers(text: str) -> dict[str, str]:
    """Headers from lines such as `x-country: CH`; UnreadableHeader names the line."""
    found: dict[str, str] = {}
    for place, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        name, colon, value = (part.strip() for part in line.partition(":"))
        name = name.lower()
        if not colon or not NAME.fullmatch(name) or not VALUE.fullmatch(value):
            raise UnreadableHeader(f"line {place}: write a header as `name: value`")
        if name in OF_THE_CONNECTION:
            raise UnreadableHeader(f"line {place}: {name} is set by the console; remove it")
        found[name] = value
    if len(found) > MAX_HEADERS:
        raise UnreadableHeader(f"at most {MAX_HEADERS} headers")
    return found
