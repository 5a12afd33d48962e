"""The minimum analysis of a statement before the engine parses it.

Text is tokenised as Latin-1, so that offsets count bytes. The tokeniser follows the engine's lexer: a difference
between the two would allow statements to bypass `rules`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final, NamedTuple

from modelyard_devclickhouse.errors import SyntaxProblem

_TOKEN: Final = re.compile(
    r"""
      (?P<skip>[\x00-\x20]+ | --[^\n]* | /\*.*?\*/ | \#[\x20!][^\n]*)
    | (?P<string>[xXbB]'[^']*' | '(?:[^'\\]|\\.|'')*' | \xe2\x80\x98.*?\xe2\x80\x99 | \$(?P<tag>\w*)\$.*?\$(?P=tag)\$)
    | (?P<quoted>"(?:[^"\\]|\\.|"")*" | `(?:[^`\\]|\\.|``)*` | \xe2\x80\x9c.*?\xe2\x80\x9d)
    | (?P<word>[\w$]+)
    | (?P<odd>[\x80-\xff]+?)
    | (?P<op>.)
    """,
    re.VERBOSE | re.DOTALL | re.ASCII,
)
_BLANKS: Final = re.compile(r"[ \t]*\r?\n?")
_SELECTS: Final = frozenset({"SELECT", "WITH", "FROM"})
_RESULTS: Final = frozenset({"SHOW", "DESCRIBE", "DESC", "EXISTS", "EXPLAIN", "CHECK", "KILL", "BACKUP", "RESTORE"})


def words(text: str) -> frozenset[str]:
    """Split a text at blanks; makes long lists readable."""
    return frozenset(text.split())


# A FORMAT clause follows the end of an expression or a name; after one of these, `format` is itself a name.
_NOT_BEFORE_FORMAT: Final = words("SELECT BY WHERE AND OR NOT ON DISTINCT HAVING USING IN LIKE AS")


class Token(NamedTuple):
    kind: str  # word, quoted, string, op
    text: str
    start: int
    end: int

    @property
    def upper(self) -> str:
        """Return the keyword of an unquoted word; empty otherwise."""
        return self.text.upper() if self.kind == "word" else ""

    @property
    def name(self) -> str:
        """Return the identifier of a word or quoted name; empty otherwise."""
        if self.kind == "word":
            return self.text
        if self.kind != "quoted":
            return ""
        return self.text[3:-3] if self.text[0] == "\xe2" else self.text[1:-1]


def tokens(text: str) -> Iterator[Token]:
    """Return all tokens except blanks and comments. Raises SyntaxProblem for an unterminated quote or comment."""
    for found in _TOKEN.finditer(text):
        kind = found.lastgroup or "op"
        if kind == "tag":
            kind = "string"
        if kind in ("skip", "odd"):
            continue  # other bytes are blanks (U+00A0 ...) or an error to the engine
        start = found.start()
        if kind == "op" and (found.group() in "'\"`" or text.startswith("/*", start)):
            raise SyntaxProblem(f"Syntax error: the quote or comment at position {start + 1} does not end.")
        yield Token(kind, found.group(), start, found.end())


class Kind(Enum):
    SELECT = auto()  # streams through the pipe
    RESULT = auto()  # small result, in one piece
    INSERT = auto()  # has data
    COMMAND = auto()  # no result


@dataclass(frozen=True)
class Statement:
    """One statement and its boundaries. Offsets count bytes."""

    kind: Kind
    keyword: str
    tokens: tuple[Token, ...]
    format: str | None = None
    cut: int = 0
    """SELECT: the end of the text before FORMAT; INSERT: the end of the head."""
    resume: int = 0
    """Position after the format's name; for an INSERT with data, the start of the data."""

    @property
    def data_at(self) -> int:
        return self.resume


def parse_insert(text: str, *, whole: bool) -> Statement | None:
    """Parse the head of an INSERT with data; None if more text is needed or for INSERT ... SELECT (see `whole`)."""
    seen: list[Token] = []
    depth, name_at = 0, -1
    for token in tokens(text):
        if token.end == len(text) and not whole:
            return None
        seen.append(token)
        if name_at < 0:
            name_at = len(seen) - 1 if token.upper not in ("INSERT", "INTO", "TABLE", "FUNCTION") else -1
            continue
        depth += {"(": 1, ")": -1}.get(token.text, 0) if token.kind == "op" else 0
        previous = seen[-2]
        if depth or previous.text == ".":
            continue
        if token.upper in _SELECTS:
            return None
        if token.upper == "VALUES":
            return Statement(Kind.INSERT, "INSERT", tuple(seen), "Values", token.start, token.end)
        if previous.upper == "FORMAT" and token.name and len(seen) - 2 > name_at and seen[-3].text != ".":
            blanks = _BLANKS.match(text, token.end)
            data_at = blanks.end() if blanks else token.end
            if data_at == len(text) and not text.endswith("\n") and not whole:
                return None
            return Statement(Kind.INSERT, "INSERT", tuple(seen), token.name, previous.start, data_at)
    return None


def parse(text: str) -> Statement:
    """Parse a complete statement without data. Raises SyntaxProblem for more than one statement."""
    seen = _single(tuple(tokens(text)))
    if not seen:
        raise SyntaxProblem("Empty query")
    keyword = next((t.upper for t in seen if t.text != "("), "")
    kind = _kind(keyword, seen)
    at = _format_clause(seen) if kind in (Kind.SELECT, Kind.RESULT) else None
    if at is None:
        return Statement(kind, keyword, seen, None, seen[-1].end, seen[-1].end)
    return Statement(kind, keyword, seen, seen[at + 1].name, seen[at].start, seen[at + 1].end)


def _single(seen: tuple[Token, ...]) -> tuple[Token, ...]:
    while seen and seen[-1].text == ";":
        seen = seen[:-1]
    if any(t.kind == "op" and t.text == ";" for t in seen):
        raise SyntaxProblem("Syntax error (Multi-statements are not allowed): send one statement at a time.")
    return seen


def _kind(keyword: str, seen: tuple[Token, ...]) -> Kind:
    if keyword in _SELECTS:
        inserts = keyword == "WITH" and any(t.upper == "INSERT" for t in seen)
        return Kind.COMMAND if inserts else Kind.SELECT
    return Kind.RESULT if keyword in _RESULTS else Kind.COMMAND


def _format_clause(seen: tuple[Token, ...]) -> int | None:
    """Return the index of the FORMAT keyword of `... FORMAT name [SETTINGS ...]`, or None."""
    depth = 0
    for at in range(len(seen) - 2, 0, -1):
        token = seen[at]
        depth += {")": 1, "(": -1}.get(token.text, 0) if token.kind == "op" else 0
        if token.upper != "FORMAT" or depth or not seen[at + 1].name:
            continue
        before, after = seen[at - 1], seen[at + 2] if at + 2 < len(seen) else None
        ends = after is None or after.upper in ("SETTINGS", "INTO")
        if ends and before.upper not in _NOT_BEFORE_FORMAT and (before.kind != "op" or before.text in ")]}*"):
            return at
    return None
