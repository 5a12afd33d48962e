"""The HTTP interface as an ASGI application."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

from modelyard_devclickhouse import rules
from modelyard_devclickhouse.bodies import ClientGone, Receive, choose_encoding
from modelyard_devclickhouse.config import Passwords
from modelyard_devclickhouse.engine import QUERY_ID, Answer, Engine
from modelyard_devclickhouse.errors import BadRequest, ClickHouseError, ReadOnly, from_engine
from modelyard_devclickhouse.lease import Lease
from modelyard_devclickhouse.native import TYPES_IN_BINARY, Reencoder
from modelyard_devclickhouse.query_ids import with_client_ids
from modelyard_devclickhouse.request import Request, read_request
from modelyard_devclickhouse.results import Response, Send
from modelyard_devclickhouse.select import Select
from modelyard_devclickhouse.sessions import Session, Sessions
from modelyard_devclickhouse.sql import Kind, Statement, parse
from modelyard_devclickhouse.statements import read_statement, utf8

APPEND_BYTES: Final = 1 << 20
KEEP_ALIVE_S: Final = 30


class App:
    """For an ASGI server with one worker; `engine` is the only one of the process."""

    def __init__(
        self, engine: Engine, passwords: Passwords, spool: Path, connections: int, walls: Sequence[str] = ()
    ) -> None:
        """walls: names of those that confine the process, reported by /ping."""
        self._engine, self._passwords, self._spool = engine, passwords, spool
        self._threads = ThreadPoolExecutor(connections, thread_name_prefix="engine")
        self._killer = ThreadPoolExecutor(1, thread_name_prefix="kill")
        self._sessions = Sessions(engine.database, time.monotonic)
        self._running: dict[str, str] = {}
        self._walls = ", ".join(walls) or "none"

    async def __call__(self, scope: Mapping[str, Any], receive: Receive, send: Send) -> None:
        if scope["path"] == "/ping" and scope["method"] in ("GET", "HEAD"):
            await self._response(send, "", "").whole(b"Ok.\n")
            return
        headers = {k.lower(): v for k, v in scope["headers"]}
        accept = headers.get(b"accept-encoding", b"").decode("latin-1") if _wants_compression(scope) else ""
        response = self._response(send, "", choose_encoding(accept))
        try:
            request = await read_request(scope, receive, self._passwords)
            response = self._response(send, request.query_id, choose_encoding(accept), request.block_method)
            await self._answer(request, receive, response)
        except ClientGone:
            return
        except ClickHouseError as error:
            await response.fail(error)
        except Exception as error:
            await response.fail(from_engine(error))

    def _response(self, send: Send, query_id: str, encoding: str, block_method: int | None = None) -> Response:
        headers = {
            "Content-Type": "text/plain; charset=UTF-8",
            "X-ClickHouse-Server-Display-Name": "modelyard-devclickhouse",
            "X-ClickHouse-Timezone": self._engine.timezone,
            "X-Modelyard-Walls": self._walls,
            "Keep-Alive": f"timeout={KEEP_ALIVE_S}",
        }
        if query_id:
            headers["X-ClickHouse-Query-Id"] = query_id
        version = self._engine.version
        return Response(send, version=version, headers=headers, encoding=encoding, block_method=block_method)

    async def _answer(self, request: Request, receive: Receive, response: Response) -> None:
        if request.path != "/":
            raise ClickHouseError(60, "UNKNOWN_TABLE", f"There is no handle {request.path}: use / or /ping.")
        rules.check_settings(request.settings, reader=request.reader, defaults=self._engine.defaults)
        statement, text, data = await read_statement(request)
        rules.check(statement, reader=request.reader)
        if (rewritten := with_client_ids(statement, text, request.query_id)) != text:
            statement, text = parse(rewritten.decode("latin-1")), rewritten
            rules.check(statement, reader=request.reader)
        if request.query_id in self._running:
            raise ClickHouseError(
                216,
                "QUERY_WITH_SAME_ID_IS_ALREADY_RUNNING",
                f"Query with id = {request.query_id} is already running.",
            )
        session = self._borrow_session(request)
        self._running[request.query_id] = request.role
        try:
            await self._execute(request, receive, response, statement, text, data, session)
        finally:
            del self._running[request.query_id]
            if session:
                self._sessions.give_back(session, close=request.flag("close_session"))

    def _borrow_session(self, request: Request) -> Session | None:
        session_id = request.parameters.get("session_id")
        if not session_id:
            return None
        return self._sessions.borrow(
            request.user,
            session_id,
            timeout=request.parameters.get("session_timeout", ""),
            must_exist=request.flag("session_check"),
        )

    async def _execute(
        self,
        request: Request,
        receive: Receive,
        response: Response,
        statement: Statement,
        text: bytes,
        data: AsyncIterator[bytes],
        session: Session | None,
    ) -> None:
        lease = Lease(self._engine, request, session)
        format = _result_format(request, statement)
        request.reencoded = _reencoded(request, statement, format)
        if statement.kind is Kind.INSERT:
            response.summarise(await self._insert(lease, statement, text, data), 0)
            await response.whole(b"")
        elif statement.kind is Kind.SELECT:
            response.describe(format, self._engine.content_types.get(format))
            select = Select(request, lease, statement, text, format)
            await select.answer(response, receive, self._threads, self._spool, self._kill)
        else:
            sql = self._rewritten(request, statement, text)
            answer = await self._in_thread(lease, statement, sql, format, request.query_parameters)
            if session:
                session.learn(statement, sql)
            if statement.kind is Kind.RESULT:
                response.describe(format, self._engine.content_types.get(format))
            result = Reencoder(request.revision).feed(answer.data) if request.reencoded else answer.data
            response.summarise(answer, len(result))
            await response.whole(result)

    def _rewritten(self, request: Request, statement: Statement, text: bytes) -> str:
        """Translate query ids in KILL QUERY; pass all other statements through."""
        if statement.keyword != "KILL":
            return utf8(text)
        if request.reader:
            self._check_own_query(statement)
        for token in reversed(statement.tokens):
            if token.name.lower() == "query_id":
                text = text[: token.start] + QUERY_ID.encode() + text[token.end :]
        return utf8(text)

    def _check_own_query(self, statement: Statement) -> None:
        shape = [t.upper or t.text for t in statement.tokens[:5]]
        literal = statement.tokens[5].text.strip("'") if len(statement.tokens) > 5 else ""
        own = self._running.get(literal) == "reader" and len(statement.tokens) <= 7
        if shape != ["KILL", "QUERY", "WHERE", "QUERY_ID", "="] or not own:
            raise ReadOnly("the reader may only KILL QUERY WHERE query_id = '<one of its own queries>'.")

    async def _in_thread(
        self, lease: Lease, statement: Statement, sql: str, format: str, params: dict[str, str]
    ) -> Answer:
        def work() -> Answer:
            failed = True
            try:
                answer = lease.open(statement, sql).run(sql, format, params)
                failed = False
                return answer
            finally:
                lease.close(failed=failed)

        return await asyncio.get_running_loop().run_in_executor(self._threads, work)

    async def _insert(self, lease: Lease, statement: Statement, text: bytes, data: AsyncIterator[bytes]) -> Answer:
        loop = asyncio.get_running_loop()
        head = utf8(text)
        started = time.perf_counter()
        failed, inserter = True, None
        try:
            self._engine.check_room()
            handle = await loop.run_in_executor(self._threads, lease.open, statement, head)
            begun = await loop.run_in_executor(self._threads, handle.insert, head, str(statement.format))
            inserter = begun  # cancelled if the next line fails
            inserter = await loop.run_in_executor(self._threads, self._engine.watched, begun, lease.query_id)
            async for chunk in _batched(data):
                await loop.run_in_executor(self._threads, inserter.append, chunk)
            done = await loop.run_in_executor(self._threads, inserter.finish)
            failed = False
        except ClickHouseError:
            raise
        except Exception as error:
            raise from_engine(error) from None
        finally:
            await loop.run_in_executor(self._threads, _end_insert, lease, inserter, failed)
        spent = time.perf_counter() - started
        return Answer(b"", done.rows_written, done.bytes_written, 0, done.rows_written, done.bytes_written, spent)

    async def _kill(self, query_id: str) -> None:
        await asyncio.get_running_loop().run_in_executor(self._killer, self._engine.kill, query_id)


def _reencoded(request: Request, statement: Statement, format: str) -> bool:
    """Return whether the result is Native for a client that states a revision. Raises BadRequest if it cannot be."""
    if not request.revision or format != "Native" or statement.kind is Kind.INSERT:
        return False
    if any(token.name == TYPES_IN_BINARY for token in statement.tokens):
        raise BadRequest(
            f"{TYPES_IN_BINARY} cannot be set together with client_protocol_version: leave one of them out."
        )
    return True


def _result_format(request: Request, statement: Statement) -> str:
    if statement.kind is Kind.INSERT:
        return str(statement.format)
    return rules.output_format(statement.format or request.parameters.get("default_format") or "TabSeparated")


def _wants_compression(scope: Mapping[str, Any]) -> bool:
    return b"enable_http_compression=1" in scope["query_string"]


async def _batched(data: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    buffer = bytearray()
    async for chunk in data:
        buffer += chunk
        if len(buffer) >= APPEND_BYTES:
            yield bytes(buffer)
            buffer.clear()
    if buffer:
        yield bytes(buffer)


def _end_insert(lease: Lease, inserter: Any, failed: bool) -> None:
    try:
        if failed and inserter is not None:
            inserter.cancel()
    except RuntimeError:
        pass  # the stream has already failed
    finally:
        lease.close(failed=failed)
