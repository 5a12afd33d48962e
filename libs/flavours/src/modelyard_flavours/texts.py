"""Texts as tokens, equal in training and serving and in every release of the same format version."""

import re
from collections.abc import Iterator
from itertools import pairwise
from typing import Final
from zlib import crc32

_WORD: Final = re.compile(r"\w+")
MAX_CHARACTERS: Final = 100_000
"""The rest of a longer text is not read."""


def words(text: str) -> list[str]:
    """Lower-case words of a text, in order."""
    return _WORD.findall(text[:MAX_CHARACTERS].lower())


def terms(text: str) -> Iterator[str]:
    """Words and pairs of neighbouring words."""
    found = words(text)
    yield from found
    for first, second in pairwise(found):
        yield f"{first} {second}"


def bucket_of(word: str, buckets: int) -> int:
    """Column of a word in [0, buckets); the same in every process."""
    return crc32(word.encode(errors="replace")) % buckets
