"""Statements that ask for query ids get the client's: the engine assigns its own and does not accept another one.

The client's id is the first word of `log_comment`, which the engine keeps with each running and logged query.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from modelyard_devclickhouse.engine import QUERY_ID, name, quote
from modelyard_devclickhouse.sql import Kind, Statement, Token, words

_FUNCTIONS: Final = words("queryid query_id initialqueryid initial_query_id currentqueryid current_query_id")
_TABLES: Final = words("processes query_log")
_OWN_TARGET: Final = (
    "'\\\\s*INTO OUTFILE \\'/(proc/self|dev)/fd/\\\\d+\\' TRUNCATE COMPRESSION \\'none\\' FORMAT \\\\w+'"
)
_CLIENTS: Final = (
    f"(SELECT * REPLACE ({QUERY_ID} AS query_id, {QUERY_ID} AS initial_query_id, "  # noqa: S608 - constants only
    f"replaceRegexpOne(query, {_OWN_TARGET}, '') AS query) FROM system."
)
_NO_ALIAS: Final = words(
    "PREWHERE WHERE GROUP HAVING WINDOW QUALIFY ORDER LIMIT OFFSET FETCH SETTINGS FORMAT UNION EXCEPT INTERSECT INTO "
    "JOIN INNER LEFT RIGHT FULL CROSS GLOBAL ANY ALL ASOF SEMI ANTI ARRAY ON USING FINAL SAMPLE SELECT"
)


def with_client_ids(statement: Statement, text: bytes, query_id: str) -> bytes:
    """Return the text of a SELECT whose functions and tables of query ids give the client's."""
    if statement.kind is not Kind.SELECT:
        return text
    for start, end, replacement in reversed(list(_replacements(statement.tokens, query_id))):
        text = text[:start] + replacement.encode() + text[end:]
    return text


def _replacements(seen: Sequence[Token], query_id: str) -> Iterator[tuple[int, int, str]]:
    for at, token in enumerate(seen):
        following = [one.text for one in seen[at + 1 : at + 3]]
        before = [one.name.lower() or one.text for one in seen[max(at - 3, 0) : at]]
        if token.kind == "word" and token.name.lower() in _FUNCTIONS and following == ["(", ")"]:
            yield token.start, seen[at + 2].end, f"({quote(query_id)} AS {name(token.text + '()')})"
        table = token.name.lower()
        if table in _TABLES and before[-2:] == ["system", "."] and following[:1] != ["."] and before[:1] != ["."]:
            yield seen[at - 2].start, token.end, f"{_CLIENTS}{table}){_alias(seen[at + 1 :], table)}"


def _alias(rest: Sequence[Token], table: str) -> str:
    """Return the table's own name as an alias unless the statement gives one."""
    given = bool(rest) and bool(rest[0].name) and rest[0].upper not in _NO_ALIAS
    return "" if given else f" AS {table}"
