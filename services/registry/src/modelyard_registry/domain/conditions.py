"""Filters and orders of searches, as MLflow writes them: `metrics.accuracy > 0.9 AND tags.team = 'risk'`."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from modelyard_runtime.errors import Invalid

EXAMPLE: Final = "such as metrics.accuracy > 0.9 AND params.depth = '3'"
MAX_CHARS: Final = 10_000
MAX_CONDITIONS: Final = 100
NUMERIC: Final = ("=", "!=", "<", "<=", ">", ">=")
TEXTUAL: Final = ("=", "!=", "LIKE", "ILIKE", "IN", "NOT IN")
_KINDS: Final = {
    **dict.fromkeys(("metric", "metrics"), "metric"),
    **dict.fromkeys(("param", "params", "parameter", "parameters"), "param"),
    **dict.fromkeys(("tag", "tags"), "tag"),
    **dict.fromkeys(("attribute", "attributes", "attr", "run"), "attribute"),
}
_TOKEN: Final = re.compile(
    r"""\s*(?:(?P<text>'(?:[^'\\]|\\.|'')*'|"(?:[^"\\]|\\.|"")*")|(?P<quoted>`[^`]*`)|(?P<sign><=|>=|!=|=|<|>)"""
    r"""|(?P<punctuation>[(),.])|(?P<number>[+-]?(?:\d+\.?\d*(?:[eE][+-]?\d+)?|\.\d+)(?![\w]))"""
    r"""|(?P<word>[\w/\-]+))"""
)

Value = str | float | tuple[str, ...]


@dataclass(frozen=True)
class Comparison:
    """One condition. kind: metric, param, tag or attribute. operator: in capitals."""

    kind: str
    key: str
    operator: str
    value: Value


@dataclass(frozen=True)
class Order:
    """One column of an order."""

    kind: str
    key: str
    descending: bool


@dataclass(frozen=True)
class _Token:
    kind: str
    text: str


def parse_filter(text: str, numeric: frozenset[str] = frozenset()) -> tuple[Comparison, ...]:
    """Read a filter; '' has no condition. numeric: attributes that are numbers. Invalid names the place."""
    tokens = _tokens(text)
    found: list[Comparison] = []
    while tokens:
        found.append(_comparison(tokens, numeric))
        if tokens and not (tokens[0].kind == "word" and tokens.pop(0).text.upper() == "AND" and tokens):
            raise _invalid("put AND between two conditions; OR is not supported")
    if len(found) > MAX_CONDITIONS:
        raise _invalid(f"at most {MAX_CONDITIONS} conditions are allowed")
    return tuple(found)


def parse_order(text: str) -> Order:
    """Read `metrics.accuracy DESC`; Invalid otherwise."""
    tokens = _tokens(text)
    kind, key = _place(tokens)
    direction = tokens.pop(0).text.upper() if tokens else "ASC"
    if tokens or direction not in ("ASC", "DESC"):
        raise Invalid(f"order_by: {text[:80]!r}; write a column and ASC or DESC", field="order_by")
    return Order(kind, key, direction == "DESC")


def refuse_unknown(key: str, known: Mapping[str, object]) -> Invalid:
    """The error of an attribute that cannot be searched."""
    return Invalid(f"filter: no attribute {key[:80]!r}; use one of {', '.join(known)}", field="filter")


def _comparison(tokens: list[_Token], numeric: frozenset[str]) -> Comparison:
    kind, key = _place(tokens)
    operator = _operator(tokens)
    is_number = kind == "metric" or (kind == "attribute" and key in numeric)
    if operator not in (NUMERIC if is_number else TEXTUAL):
        wanted = ", ".join(NUMERIC if is_number else TEXTUAL)
        raise _invalid(f"{key[:80]!r} takes {wanted}, not {operator}")
    return Comparison(kind, key, operator, _value(tokens, key, operator, is_number))


def _place(tokens: list[_Token]) -> tuple[str, str]:
    """`kind.key`, where a key may have dots, or the name of an attribute."""
    first = _next(tokens, "a column")
    if first.kind not in ("word", "quoted", "text"):
        raise _invalid(f"{first.text[:80]!r} is no column")
    if not (tokens and tokens[0].text == "."):
        return "attribute", _bare(first)
    kind = _KINDS.get(first.text.lower())
    if kind is None:
        raise _invalid(f"{first.text[:80]!r}: write metrics., params., tags. or attributes.")
    parts: list[str] = []
    while tokens and tokens[0].text == ".":
        tokens.pop(0)
        parts.append(_bare(_next(tokens, "a name after the dot")))
    return kind, ".".join(parts)


def _operator(tokens: list[_Token]) -> str:
    token = _next(tokens, "an operator")
    word = token.text.upper()
    if word == "NOT":
        word = f"NOT {_next(tokens, 'IN after NOT').text.upper()}"
    if token.kind == "sign" or word in TEXTUAL:
        return word
    raise _invalid(f"{token.text[:80]!r} is no operator")


def _value(tokens: list[_Token], key: str, operator: str, is_number: bool) -> Value:
    if operator.endswith("IN"):
        return tuple(_listed(tokens, key))
    token = _next(tokens, "a value")
    if is_number:
        if token.kind != "number":
            raise _invalid(f"the value of {key[:80]!r} is {token.text[:80]!r}; write a number")
        return float(token.text)
    if token.kind != "text":
        raise _invalid(f"the value of {key[:80]!r} is {token.text[:80]!r}; put it in quotes")
    return _bare(token)


def _listed(tokens: list[_Token], key: str) -> Iterator[str]:
    if _next(tokens, "a list").text != "(":
        raise _invalid(f"write IN ('a', 'b') after {key[:80]!r}")
    while True:
        token = _next(tokens, "a text in the list")
        if token.kind != "text":
            raise _invalid(f"{token.text[:80]!r} in the list of {key[:80]!r}; put it in quotes")
        yield _bare(token)
        if (end := _next(tokens, "the end of the list").text) == ")":
            return
        if end != ",":
            raise _invalid(f"put commas between the texts of {key[:80]!r}")


def _next(tokens: list[_Token], wanted: str) -> _Token:
    if not tokens:
        raise _invalid(f"it ends where {wanted} is expected")
    return tokens.pop(0)


def _bare(token: _Token) -> str:
    if token.kind == "quoted":
        return token.text[1:-1]
    if token.kind == "text":
        quote = token.text[0]
        return re.sub(r"\\(.)", r"\1", token.text[1:-1].replace(quote * 2, quote))
    return token.text


def _tokens(text: str) -> list[_Token]:
    if len(text) > MAX_CHARS:
        raise _invalid(f"at most {MAX_CHARS} characters are allowed")
    found: list[_Token] = []
    position, end = 0, len(text.rstrip())
    while position < end:
        match = _TOKEN.match(text, position)
        if match is None:
            raise _invalid(f"cannot read it from {text[position : position + 40]!r} on")
        kind = match.lastgroup or ""
        found.append(_Token(kind, match[kind]))
        position = match.end()
    return found


def _invalid(reason: str) -> Invalid:
    return Invalid(f"filter: {reason}; write conditions {EXAMPLE}", field="filter")
