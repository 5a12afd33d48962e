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
      (?P<skip>[\x00-\x20]+ | --[^\n]* | //[^\n]* | \#[\x20!][^\n]*)
    | (?P<comment>/\*)
    | (?P<string>[xXbB]'[^']*' | '(?:[^'\\]|\\.|'')*' | \xe2\x80\x98.*?\xe2\x80\x99)
    | (?P<quoted>"(?:[^"\\]|\\.|"")*" | `(?:[^`\\]|\\.|``)*` | \xe2\x80\x9c.*?\xe2\x80\x9d)
    | (?P<number>[0-9])
    | (?P<word>[A-Za-z_]\w*)
    | (?P<dollar>\$)
    | (?P<minus>\xe2\x88\x92)
    | (?P<odd>[\x80-\xff]+?)
    | (?P<op>.)
    """,
    re.VERBOSE | re.DOTALL | re.ASCII,
)
_COMMENT_ENDS: Final = re.compile(r"/\*|\*/")
_DIGITS: Final = "[0-9](?:_?[0-9])*"
_INTEGER: Final = re.compile(_DIGITS)
_EXPONENT: Final = rf"(?:[eE](?=.)(?:[+-](?=.))?(?:{_DIGITS})?)?"
_NUMBER: Final = re.compile(
    rf"(?:0[xX][0-9a-fA-F](?:_?[0-9a-fA-F])*(?:\.(?:[0-9a-fA-F](?:_?[0-9a-fA-F])*)?)?(?:[pP](?=.)(?:[+-](?=.))?(?:{_DIGITS})?)?)"
    rf"|(?:0[bB][01](?:_?[01])*|{_DIGITS})(?:\.(?:{_DIGITS})?)?{_EXPONENT}",
    re.DOTALL,
)
_FRACTION: Final = re.compile(rf"\.{_DIGITS}{_EXPONENT}", re.DOTALL)
_FIRST_FRACTION: Final = re.compile(rf"\.(?:{_DIGITS})?{_EXPONENT}", re.DOTALL)
"""A dot that begins the text is a number even without digits."""
_REST_OF_WORD: Final = re.compile(r"\w+", re.ASCII)
_BEFORE_DOLLAR: Final = re.compile(r"[\w.+-]", re.ASCII)
_MARK: Final = re.compile(r"\$\w*\$", re.ASCII)
_NAME: Final = re.compile(r"\$\w+", re.ASCII)
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
    at, before = 0, ""  # the token before: its text if it is an operator, else its kind
    while found := _TOKEN.match(text, at):
        kind, start, at = found.lastgroup or "op", found.start(), found.end()
        if kind == "comment":
            at = _end_of_comment(text, start)
        elif kind == "number":
            kind, at = "word", _end_of_number(text, start, after_dot=before == ".")
        elif kind == "dollar":
            kind, at = _from_dollar(text, start)
        elif found.group() == "." and before not in _BEFORE_DOT:
            fraction = (_FRACTION if start else _FIRST_FRACTION).match(text, start)
            kind, at = ("word", fraction.end()) if fraction else (kind, at)
        elif kind == "minus":
            kind = "op"
        if kind in ("skip", "comment", "odd"):
            continue  # other bytes are blanks (U+00A0 ...) or an error to the engine
        if kind == "op" and found.group() in "'\"`":
            raise SyntaxProblem(f"Syntax error: the quote at position {start + 1} does not end.")
        before = found.group() if kind == "op" else kind
        yield Token(kind, text[start:at], start, at)


_BEFORE_DOT: Final = frozenset({"word", "quoted", ")", "]"})
"""After these a dot qualifies a name or takes an element; after others a digit makes it a fraction."""


def _end_of_comment(text: str, start: int) -> int:
    """Comments nest."""
    depth = 0
    for found in _COMMENT_ENDS.finditer(text, start):
        depth += 1 if found.group() == "/*" else -1
        if depth == 0:
            return found.end()
    raise SyntaxProblem(f"Syntax error: the comment at position {start + 1} does not end.")


def _end_of_number(text: str, start: int, *, after_dot: bool) -> int:
    """A number ends before a dollar sign, a name that begins with digits does not."""
    number = (_INTEGER if after_dot else _NUMBER).match(text, start)
    end = number.end() if number else start + 1
    rest = _REST_OF_WORD.match(text, end)
    return rest.end() if rest else end


def _from_dollar(text: str, start: int) -> tuple[str, int]:
    """(kind, end): a heredoc, a name, or a sign alone. Raises SyntaxProblem where a number or a name would go on.

    What the engine's lexer takes for one number depends on more than can be repeated here.
    """
    if start and _BEFORE_DOLLAR.match(text[start - 1]):
        raise SyntaxProblem(f"Syntax error: put a blank before the $ at position {start + 1}, or quote the name.")
    if mark := _MARK.match(text, start):
        end = text.find(mark.group(), mark.end())
        if end >= 0:
            return "string", end + len(mark.group())
    name = _NAME.match(text, start)
    return ("word", name.end()) if name else ("op", start + 1)


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
