"""From a request's text to one statement and, for an INSERT, the data that follows."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from typing import Final, TypeVar

from modelyard_devclickhouse import rules
from modelyard_devclickhouse.errors import BadRequest, SyntaxProblem
from modelyard_devclickhouse.request import Request
from modelyard_devclickhouse.sql import Statement, parse, parse_insert, tokens

MAX_STATEMENT_BYTES: Final = 64 << 20
MAX_INSERT_HEAD_BYTES: Final = 1 << 20
_LARGE_BYTES: Final = 32 << 10  # statements beyond this are tokenised off the event loop
T = TypeVar("T")


async def read_statement(request: Request) -> tuple[Statement, bytes, AsyncIterator[bytes]]:
    """(statement, its text, the data of an INSERT). Raises SyntaxProblem, BadRequest, Refused."""
    text = _Text((request.form.get("query") or request.parameters.get("query", "")).encode(), aiter(request.body))
    statement = await _insert_head(text)
    if statement is None:
        await text.read_all()
        raw = bytes(text.so_far)
        return await _off_loop(raw, lambda: parse(raw.decode("latin-1"))), raw, text.rest()
    statement = replace(statement, format=rules.input_format(statement.format or "", values=True))
    if statement.format == "Values":  # may contain expressions, so it is read and checked as a whole
        await text.read_all()
        values = bytes(text.so_far[statement.data_at :])
        await _off_loop(values, lambda: rules.check_values(values))
    return statement, bytes(text.so_far[: statement.cut]), text.rest(statement.data_at)


class _Text:
    """The text read so far and the rest. The URL's query and the body are joined by a line feed."""

    def __init__(self, query: bytes, body: AsyncIterator[bytes]) -> None:
        self.so_far, self.ended = bytearray(query), False
        self._body, self._joint = body, b"\n" if query else b""

    async def read_more(self) -> None:
        try:
            chunk = await anext(self._body)
        except StopAsyncIteration:
            self.ended = True
            return
        self.so_far += self._joint + chunk
        self._joint = b""
        if len(self.so_far) > MAX_STATEMENT_BYTES:
            raise BadRequest(
                f"the statement is longer than {MAX_STATEMENT_BYTES >> 20} MiB: "
                "send large data as INSERT ... FORMAT, not inside the statement."
            )

    async def read_all(self) -> None:
        while not self.ended:
            await self.read_more()

    async def rest(self, start: int | None = None) -> AsyncIterator[bytes]:
        if start is not None and len(self.so_far) > start:
            yield bytes(self.so_far[start:])
        while not self.ended:
            try:
                yield await anext(self._body)
            except StopAsyncIteration:
                self.ended = True


async def _insert_head(text: _Text) -> Statement | None:
    """Parse the head of an INSERT with data, reading only as needed; None for other statements."""
    while True:
        head = bytes(text.so_far[:MAX_INSERT_HEAD_BYTES]).decode("latin-1")
        whole = text.ended or len(text.so_far) >= MAX_INSERT_HEAD_BYTES
        try:
            first = next(tokens(head), None)
            if first and first.upper != "INSERT" and (whole or first.end < len(head)):
                return None
            statement = parse_insert(head, whole=whole) if first and first.upper == "INSERT" else None
        except SyntaxProblem:
            if whole:
                raise
            statement = None
        if statement or whole:
            return statement
        await text.read_more()


async def _off_loop(raw: bytes, work: Callable[[], T]) -> T:
    return work() if len(raw) < _LARGE_BYTES else await asyncio.to_thread(work)


def utf8(text: bytes) -> str:
    """Raises BadRequest unless the statement is text (binary values belong in an INSERT's data)."""
    try:
        return text.decode()
    except UnicodeDecodeError as error:
        raise BadRequest(f"the statement is not UTF-8 at byte {error.start}") from error
