"""Errors of the ClickHouse HTTP interface: code, name, message and HTTP status."""

from __future__ import annotations

import re
from typing import Final

_ENGINE_TEXT: Final = re.compile(r"Code: (\d+)\. DB::Exception: (.*?)(?: \(([A-Z][A-Z0-9_]+)\))?\s*\Z", re.DOTALL)
_STATUS: Final = {
    194: 401,
    **dict.fromkeys((497, 516, 164, 291, 481), 403),
    **dict.fromkeys((47, 60, 81, 46, 115), 404),
    **dict.fromkeys((6, 26, 27, 33, 38, 41, 42, 43, 44, 53, 62, 69, 70, 72, 73, 117, 130, 386, 441, 456, 457), 400),
    **dict.fromkeys((372, 36, 48, 25, 28, 128, 131, 167, 168, 306, 467), 400),
    159: 408,
    373: 423,
    202: 503,
}


class ClickHouseError(RuntimeError):
    """An error response. `retryable`: the same request may succeed later."""

    def __init__(self, code: int, name: str, text: str) -> None:
        super().__init__(text)
        self.code, self.name, self.text = code, name, text

    @property
    def status(self) -> int:
        """The HTTP status of the code; 500 by default."""
        return _STATUS.get(self.code, 500)

    @property
    def retryable(self) -> bool:
        return self.code in (202, 241, 373)

    def message(self, version: str) -> str:
        """The error line that every ClickHouse client parses."""
        return f"Code: {self.code}. DB::Exception: {self.text} ({self.name}) (version {version})"


class Refused(ClickHouseError):
    """The statement is refused for every role."""

    def __init__(self, text: str) -> None:
        super().__init__(497, "ACCESS_DENIED", text)


class ReadOnly(ClickHouseError):
    def __init__(self, text: str) -> None:
        super().__init__(164, "READONLY", text)


class SyntaxProblem(ClickHouseError):
    def __init__(self, text: str) -> None:
        super().__init__(62, "SYNTAX_ERROR", text)


class BadRequest(ClickHouseError):
    def __init__(self, text: str) -> None:
        super().__init__(36, "BAD_ARGUMENTS", text)


class WrongPassword(ClickHouseError):
    def __init__(self, user: str) -> None:
        super().__init__(
            516,
            "AUTHENTICATION_FAILED",
            f"{user}: Authentication failed: password is incorrect, or there is no user with such name.",
        )


def from_engine(error: BaseException) -> ClickHouseError:
    """Convert the engine's exception; a message without a code becomes UNKNOWN_EXCEPTION."""
    found = _ENGINE_TEXT.search(str(error))
    if not found and isinstance(error, (RecursionError, UnicodeError, OverflowError)):
        return BadRequest(f"the request cannot be read: {error}")
    if not found:
        return ClickHouseError(1002, "UNKNOWN_EXCEPTION", f"{type(error).__name__}: {error}")
    code, text, name = found.groups()
    return ClickHouseError(int(code), name or "UNKNOWN_EXCEPTION", text)


def exception_block(error: ClickHouseError, tag: str, version: str) -> bytes:
    """The end of an aborted response: clients that know the tag raise the error, others see a broken body."""
    message = error.message(version).encode() + b"\n"
    mark = tag.encode()
    return b"\r\n__exception__\r\n%s\r\n%s%d %s\r\n__exception__\r\n" % (mark, message, len(message), mark)
