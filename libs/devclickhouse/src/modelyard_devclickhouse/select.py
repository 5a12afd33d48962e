"""A SELECT: the engine writes to a pipe, the client reads from it; either side can end it."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from concurrent.futures import Executor
from pathlib import Path
from typing import Any, Final

from modelyard_devclickhouse.bodies import Receive
from modelyard_devclickhouse.engine import Answer
from modelyard_devclickhouse.errors import ClickHouseError
from modelyard_devclickhouse.lease import Lease
from modelyard_devclickhouse.native import Reencoder
from modelyard_devclickhouse.request import Request
from modelyard_devclickhouse.results import Held, Pipe, Response
from modelyard_devclickhouse.sql import Statement
from modelyard_devclickhouse.statements import utf8

_OFF_LOOP_BYTES: Final = 1 << 16
_TARGET: Final = re.compile(
    r"\s*(?:(?:INTO )?OUTFILE )?'?/(?:proc/self|dev)/fd/\d+'?(?: TRUNCATE)?(?: COMPRESSION '?none'?)?(?: FORMAT \w+)?"
)
"""Where our own target appears in the engine's messages."""


class Select:
    """One running SELECT. `kill` ends it in the engine by its query id."""

    def __init__(self, request: Request, lease: Lease, statement: Statement, text: bytes, format: str) -> None:
        self._request, self._lease, self._statement = request, lease, statement
        self._plain = utf8(text)
        self._pipe = Pipe()
        self._reencoder = Reencoder(request.revision) if request.reencoded else None
        # The engine's own syntax for writing a result elsewhere; only SELECTs obey it.
        self._into = f"\nINTO OUTFILE '{self._pipe.path}' TRUNCATE COMPRESSION 'none' FORMAT {format}"
        before, after = utf8(text[: statement.cut]), utf8(text[statement.resume :])
        self._sql = before + self._into + after.rstrip().rstrip(";")

    async def answer(
        self,
        response: Response,
        receive: Receive,
        threads: Executor,
        spool: Path,
        kill: Callable[[str], Awaitable[None]],
    ) -> None:
        """Wait for the end of the query. Raises the query's error, unless the client has disconnected."""
        query = asyncio.get_running_loop().run_in_executor(threads, self._run)
        gone = asyncio.ensure_future(_disconnected(receive))
        held = Held(response, until_end=self._request.flag("wait_end_of_query"), folder=spool)
        try:
            complete = await self._forward(held, gone, response)
            if complete:
                done = await query
                if self._reencoder:
                    self._reencoder.end()
                response.summarise(done, held.size)
                await held.end()
        finally:
            if gone.done():
                await kill(self._request.query_id)
            gone.cancel()
            held.close()
            await asyncio.wait({query})
            query.exception()  # retrieved: the error was sent, or there is no client

    def _run(self) -> Answer:
        failed = True
        try:
            handle = self._lease.open(self._statement, self._plain)
            handle.is_read_only(self._plain)  # a syntax error quotes the client's text, not ours
            answer = handle.run(self._sql, "TabSeparated", self._request.query_parameters)
            failed = False
            return answer
        except ClickHouseError as error:
            raise ClickHouseError(error.code, error.name, _TARGET.sub("", error.text)) from None
        finally:
            self._pipe.close_write()
            self._lease.close(failed=failed)

    async def _forward(self, held: Held, gone: asyncio.Future[None], response: Response) -> bool:
        """Copy the pipe to the client; False if the client disconnected."""
        may_end = self._request.flag("cancel_http_readonly_queries_on_client_close")
        try:
            while True:
                reading = asyncio.ensure_future(self._pipe.read())
                watched: set[asyncio.Future[Any]] = {reading, gone}
                await asyncio.wait(watched, return_when=asyncio.FIRST_COMPLETED)
                if gone.done() and (response.started or may_end):
                    reading.cancel()
                    await asyncio.wait({reading})
                    return False
                chunk = await reading
                if not chunk:
                    return not gone.done()
                await held.add(await self._reencode(chunk))
        finally:
            self._pipe.close_read()

    async def _reencode(self, chunk: bytes) -> bytes:
        if self._reencoder is None:
            return chunk
        small = len(chunk) < _OFF_LOOP_BYTES
        return self._reencoder.feed(chunk) if small else await asyncio.to_thread(self._reencoder.feed, chunk)


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
