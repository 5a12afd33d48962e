"""Random identifiers."""

import os
from typing import Final

_VARIANT: Final = {digit: "89ab"[int(digit, 16) & 3] for digit in "0123456789abcdef"}


class _RandomIds:
    """UUIDs (version 4) as text; one system call yields 128 of them."""

    def __init__(self) -> None:
        self._hex, self._offset = "", 0

    def __call__(self) -> str:
        if self._offset == len(self._hex):
            self._hex, self._offset = os.urandom(2048).hex(), 0
        offset = self._offset
        self._offset = offset + 32
        text = self._hex[offset : offset + 32]
        return f"{text[:8]}-{text[8:12]}-4{text[13:16]}-{_VARIANT[text[16]]}{text[17:20]}-{text[20:]}"


new_id: Final = _RandomIds()
