"""Errors of the codec. Their text names the input and the remedy; HTTP numbers are the caller's: 400, 413 and 502."""

from typing import Final

SHOWN_CHARACTERS: Final = 80


class InvalidRequest(ValueError):
    """The request breaks the protocol or the version's signature (HTTP 400)."""

    retryable = False

    def __init__(self, message: str, *, field: str | None = None) -> None:
        super().__init__(message)
        self.field = field
        """Name of the input at fault, if there is one."""


class TooManyRows(InvalidRequest):
    """More rows than allowed in one request (HTTP 413)."""


class InvalidAnswer(ValueError):
    """A model server's answer breaks the protocol or the version's signature."""

    retryable = False


def shown(name: str) -> str:
    """A caller's name as errors show it: shortened, without control characters."""
    text = "".join(character if character.isprintable() else "�" for character in name[: SHOWN_CHARACTERS + 1])
    return text if len(text) <= SHOWN_CHARACTERS else f"{text[: SHOWN_CHARACTERS - 3]}..."
