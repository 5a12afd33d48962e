"""The first wall: only statements that were checked, and values that are data, reach the engine.

Everything allowed is named in `allowed`. The engine's grants and constraints (see `config`) repeat a part of it, and
the second wall (see `confine`) does not know SQL at all: it keeps the process from files and the network.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Final

from modelyard_devclickhouse import allowed
from modelyard_devclickhouse.errors import BadRequest, ClickHouseError, ReadOnly, Refused, SyntaxProblem
from modelyard_devclickhouse.sql import Kind, Statement, Token, tokens

_OUTPUT: Final = {name.lower(): name for name in allowed.OUTPUT_FORMATS}
_INPUT: Final = {name.lower(): name for name in allowed.INPUT_FORMATS}
_REFUSED_SYSTEM: Final = frozenset({"SHUTDOWN", "KILL", "SUSPEND", "LISTEN", "FAILPOINT", "PROFILE", "REPLICA"})
_REFUSED_OBJECTS: Final = frozenset(
    {"USER", "ROLE", "QUOTA", "POLICY", "PROFILE", "COLLECTION", "WORKLOAD", "RESOURCE"}
)
_TEXT_OF_SQL: Final = frozenset({"format", "values", "generaterandom", "input", "source"})
"""Calls whose string arguments hold SQL: structures with defaults, expressions, the query of a dictionary."""
_MAX_NESTING: Final = 8
MAX_EXPRESSIONS_BYTES: Final = 8 << 20
_LITERALS: Final = re.compile(
    rb"""(?: [\s(),;0-9.+\[\]{}:]++ | -(?!-) | '(?:[^'\\]++|\\.|'')*+' | (?:NULL|null|true|false)(?![\w(`"$]) )*+\Z""",
    re.DOTALL | re.VERBOSE,
)
"""Rows of numbers, strings, arrays, maps and NULL: nothing that could be a call."""
_EXPRESSIONS: Final = frozenset({"DEFAULT", "MATERIALIZED", "ALIAS", "EPHEMERAL", "TTL", "CODEC"})


def check(statement: Statement, *, reader: bool) -> None:
    """Raise Refused or ReadOnly for statements the role may not run; the engine checks its own grants afterwards."""
    seen = statement.tokens
    check_tokens(seen, bare_names=statement.kind is not Kind.INSERT)
    for name, value in _settings_in(seen, whole=statement.keyword == "SET"):
        _check_setting(name, value, reader=reader)
    if statement.keyword == "SYSTEM":
        _check_system(seen)
    if statement.keyword in ("ATTACH", "ALTER", "SYSTEM"):
        _check_no_paths(seen)
    if statement.keyword in ("CREATE", "ALTER", "DROP") and any(t.upper in _REFUSED_OBJECTS for t in seen[1:5]):
        raise Refused("users, policies, collections and workloads are refused: this server has its two roles only.")
    if reader and statement.keyword not in allowed.READER_KEYWORDS:
        raise ReadOnly(f"Cannot execute query in readonly mode: the reader may not {statement.keyword or 'do this'}.")
    if statement.keyword not in allowed.WRITER_KEYWORDS:
        begins = statement.keyword or seen[0].text
        raise SyntaxProblem(f"Syntax error: failed at position 1 ({begins}): this server has no such statement.")


def _check_system(seen: Sequence[Token]) -> None:
    command = seen[1].upper if len(seen) > 1 else ""
    if command not in allowed.SYSTEM_COMMANDS or any(t.upper in _REFUSED_SYSTEM for t in seen):
        raise Refused(f"SYSTEM {command} is refused: commands that stop or open a server belong to its process.")


def _check_no_paths(seen: Sequence[Token]) -> None:
    path = any(token.upper == "FROM" and after.kind == "string" for token, after in pairwise(seen))
    if path or any(token.upper in ("FREEZE", "UNFREEZE", "FETCH") for token in seen):
        raise Refused("FREEZE, FETCH and FROM '<path>' are refused: they work on folders of the server.")


def output_format(name: str) -> str:
    """Return the canonical name. Raises ClickHouseError 73 unless results may have this format."""
    return _format(name, _OUTPUT)


def input_format(name: str, *, values: bool = False) -> str:
    """Return the canonical name. Raises 73 unless data may have this format; `values`: also Values, checked apart."""
    return "Values" if values and name.lower() == "values" else _format(name, _INPUT)


def _format(name: str, known: Mapping[str, str]) -> str:
    if (found := known.get(name.lower())) is None:
        raise ClickHouseError(73, "UNKNOWN_FORMAT", f"Unknown format {name[:100]}, or it is not available here")
    return found


def check_text(text: str) -> None:
    """Check SQL that is not a statement: an expression or a structure."""
    _check_latin1(_latin1(text), _MAX_NESTING)


def check_columns(columns: str) -> None:
    """Raise Refused unless the text is a list of column names and types, and nothing more."""
    check_text(columns)
    depth, place = 0, 0
    for token in tokens(_latin1(columns)):
        depth += {"(": 1, ")": -1}.get(token.text, 0) if token.kind == "op" else 0
        if depth < 0 or token.text == ";" or (place > 0 and depth == 0 and token.upper in _EXPRESSIONS):
            raise Refused("a structure is a list of names and types, and nothing more.")
        place = 0 if depth == 0 and token.text == "," else place + 1


def _latin1(text: str) -> str:
    return text.encode().decode("latin-1")


def _check_latin1(text: str, nesting: int) -> None:
    if nesting == 0:
        raise Refused(f"more than {_MAX_NESTING} texts of SQL inside one another are refused.")
    check_tokens(tuple(tokens(text)), bare_names=True, nesting=nesting - 1)


def check_tokens(seen: Sequence[Token], *, bare_names: bool, nesting: int = _MAX_NESTING) -> None:
    """Raise Refused for names that reach outside, also inside the texts of SQL that some functions take."""
    for at, token in enumerate(seen):
        if not token.name:
            continue
        before, after = (seen[at - 1].text if at else ""), (seen[at + 1].text if at + 1 < len(seen) else "")
        _check_name(token, before.upper(), after, bare_names=bare_names)
        name = _plain(token).lower()
        if after == "(" and name in _TEXT_OF_SQL:
            _check_arguments(name, seen[at + 1 :], nesting)
        if before.upper() == "FORMAT" and name in allowed.REFUSED_FORMATS:
            raise Refused(f"the format {token.text} is refused: it works on files.")


def _check_name(token: Token, before: str, after: str, *, bare_names: bool) -> None:
    name = _plain(token).lower()
    if token.kind == "word" and (before, name) in (("INTO", "outfile"), ("FROM", "infile")):
        raise Refused(f"{before} {token.text.upper()} is refused: files belong to the client, not to the server.")
    escaped = token.kind == "quoted" and "\\" in token.text
    if after == "(" and (name in allowed.REFUSED_CALLS or name in allowed.REFUSED_FUNCTIONS or escaped):
        raise Refused(f"{token.text}() is refused: this server reaches neither files nor the network.")
    if escaped and bare_names:
        raise Refused(f"the name {token.text} is refused: names with escapes are not supported here.")
    if bare_names and name in allowed.REFUSED_FUNCTIONS and before != ".":
        raise Refused(f"the name {token.text} is refused without its table: write t.{token.text} for a column.")


def _check_arguments(name: str, call: Sequence[Token], nesting: int) -> None:
    """call: the tokens from the opening parenthesis on."""
    arguments = list(_parenthesised(call))
    if name == "format":
        _check_format_call(arguments)
        return
    if name == "source" and (not arguments or _plain(arguments[0]).lower() not in allowed.DICTIONARY_SOURCES):
        raise Refused("this source of a dictionary is refused: use SOURCE(CLICKHOUSE(...)).")
    texts = [token for token in arguments if token.kind == "string"]
    for token in texts if name == "source" else texts[:1]:
        _check_latin1(unquoted(token.text), nesting)


def _check_format_call(arguments: Sequence[Token]) -> None:
    """format() is a function with a pattern, or a table function with a format and a structure: both literals."""
    if not arguments:
        return
    first = arguments[0]
    plain = (unquoted(first.text) if first.kind == "string" else _plain(first)).lower()
    literal = first.kind == "string" or plain in _INPUT
    if not literal or (len(arguments) > 1 and arguments[1].text != ","):
        raise Refused("format() is refused here: its first argument must be a literal.")
    if plain in allowed.REFUSED_FORMATS or plain == "values":
        raise Refused(f"the format {first.text} is refused here: its data hold more than values.")
    if plain in _INPUT and len(arguments) > 3:
        if any(token.kind != "string" and token.text != "," for token in arguments[1:]):
            raise Refused("the table function format() is refused here unless all its arguments are literals.")
        check_columns(unquoted(arguments[2].text))


def _parenthesised(call: Sequence[Token]) -> Iterator[Token]:
    depth = 0
    for token in call:
        depth += {"(": 1, ")": -1}.get(token.text, 0) if token.kind == "op" else 0
        if depth == 0:
            return
        if depth > 1 or token.text != "(":
            yield token


def check_values(data: bytes) -> None:
    """Check the data of INSERT ... VALUES, which may contain expressions. Raises Refused, BadRequest."""
    if _LITERALS.match(data):
        return
    if len(data) > MAX_EXPRESSIONS_BYTES:
        raise BadRequest(
            f"VALUES with expressions may have {MAX_EXPRESSIONS_BYTES >> 20} MiB: "
            "send literals only, or use INSERT ... FORMAT."
        )
    check_tokens(tuple(tokens(data.decode("latin-1"))), bare_names=True)


def check_settings(
    settings: Mapping[str, str], *, reader: bool, defaults: Mapping[str, str] | None = None
) -> dict[str, str]:
    """Return the settings to apply: for a reader without those that change nothing. Raises Refused or ReadOnly."""
    applied = {}
    for name, value in settings.items():
        if reader and (name in allowed.INERT_SETTINGS or _is_default(value, (defaults or {}).get(name))):
            continue
        _check_setting(name, value, reader=reader)
        applied[name] = value
    return applied


def _is_default(value: str, default: str | None) -> bool:
    same = {"true": "1", "false": "0"}
    return default is not None and same.get(value.lower(), value) == same.get(default, default)


def _check_setting(name: str, value: str, *, reader: bool) -> None:
    if name.lower() in allowed.REFUSED_SETTINGS:
        raise Refused(f"the setting '{name}' is refused: it holds a path, an address or SQL.")
    if reader and name not in allowed.READER_SETTINGS and not (name == "readonly" and value in ("1", "2")):
        raise ReadOnly(f"Cannot modify '{name}' setting in readonly mode.")


def _settings_in(seen: Sequence[Token], *, whole: bool) -> Iterator[tuple[str, str]]:
    """(name, value) of SET and of every SETTINGS clause; values of more than one token are empty."""
    starts = [at + 1 for at, token in enumerate(seen) if token.upper in ("SETTINGS", "SETTING")]
    for start in [1, *starts] if whole else starts:
        at = start
        while at + 2 < len(seen):
            at += seen[at].text == "("
            end = at + 1
            while end < len(seen) and seen[end].text == ".":
                end += 2
            if end + 1 >= len(seen) or not seen[at].name or seen[end].text != "=":
                break
            yield _plain(seen[end - 1]), unquoted(seen[end + 1].text)
            at = _after_value(seen, end + 1)
            if at >= len(seen) or seen[at].text != ",":
                break
            at += 1


def _after_value(seen: Sequence[Token], at: int) -> int:
    at += seen[at].text in ("+", "-")
    if at + 1 < len(seen) and seen[at].kind == "word" and seen[at + 1].text == "(":
        at += 1
    depth = 0
    while at < len(seen):
        text = seen[at].text if seen[at].kind == "op" else ""
        depth += 1 if text in ("(", "[", "{") else -1 if text in (")", "]", "}") else 0
        at += 1
        if depth <= 0:
            break
    if at + 1 < len(seen) and seen[at].text == ".":  # a number with a fraction
        at += 2
    return at


_ESCAPES: Final = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "0": "\0", "a": "\a", "v": "\v", "N": ""}


def _plain(token: Token) -> str:
    """Return the identifier with its escapes resolved."""
    return _unescaped(token.name) if "\\" in token.name else token.name


def unquoted(text: str) -> str:
    """Return the value of a string literal, byte for byte as Latin-1; other texts are returned as they are."""
    if text.startswith("$"):
        return text[text.index("$", 1) + 1 : text.rindex("$", 0, len(text) - 1)]
    if text.startswith("\xe2"):
        return text[3:-3]
    if text[1:2] == "'" and text[0] in "xXbB":
        return _bytes(text[2:-1], 16 if text[0] in "xX" else 2)
    return _unescaped(text[1:-1].replace("''", "'")) if text.startswith("'") else text


def _bytes(digits: str, base: int) -> str:
    try:
        number = int(digits or "0", base)
    except ValueError:
        return digits
    return number.to_bytes((number.bit_length() + 7) // 8, "big").decode("latin-1")


def _unescaped(text: str) -> str:
    def one(found: re.Match[str]) -> str:
        code = found[1]
        return chr(int(code[1:], 16)) if len(code) == 3 else _ESCAPES.get(code, code)

    return re.sub(r"\\(x[0-9a-fA-F]{2}|.)", one, text, flags=re.DOTALL)
