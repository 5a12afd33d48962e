"""The HTTP interface as an ASGI application: from a request to the engine and back."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

from modelyard_devclickhouse import rules
from modelyard_devclickhouse.bodies import ClientGone, Receive, choose_encoding
from modelyard_devclickhouse.config import Passwords
from modelyard_devclickhouse.engine import QUERY_ID, Answer, Engine
from modelyard_devclickhouse.errors import BadRequest, ClickHouseError, ReadOnly, SyntaxProblem, from_engine
from modelyard_devclickhouse.lease import Lease
from modelyard_devclickhouse.request import Request, read_request
from modelyard_devclickhouse.results import Held, Pipe, Response, Send
from modelyard_devclickhouse.sessions import Session, Sessions
from modelyard_devclickhouse.sql import Kind, Statement, parse, parse_insert, tokens

MAX_STATEMENT_BYTES: Final = 64 << 20
MAX_INSERT_HEAD_BYTES: Final = 1 << 20
APPEND_BYTES: Final = 1 << 20
KEEP_ALIVE_S: Final = 30
_LARGE: Final = 32 << 10  # statements beyond this are tokenised off the event loop


class App:
    """Callable by an ASGI server with one worker; `engine` is the process's only one."""

    def __init__(self, engine: Engine, passwords: Passwords, spool: Path, connections: int) -> None:
        self._engine, self._passwords, self._spool = engine, passwords, spool
        self._threads = ThreadPoolExecutor(connections, thread_name_prefix="engine")
        self._killer = ThreadPoolExecutor(1, thread_name_prefix="kill")
        self._sessions = Sessions(engine.database, time.monotonic)
        self._running: dict[str, str] = {}

    async def __call__(self, scope: Mapping[str, Any], receive: Receive, send: Send) -> None:
        if scope["path"] == "/ping" and scope["method"] in ("GET", "HEAD"):
            await self._response(send, "", "").whole(b"Ok.\n")
            return
        headers = {k.lower(): v for k, v in scope["headers"]}
        accept = headers.get(b"accept-encoding", b"").decode("latin-1") if _wants_compression(scope) else ""
        response = self._response(send, "", choose_encoding(accept))
        try:
            request = await read_request(scope, receive, self._passwords)
            response = self._response(send, request.query_id, choose_encoding(accept))
            await self._answer(request, receive, response)
        except ClientGone:
            return
        except ClickHouseError as error:
            await response.fail(error)
        except Exception as error:
            await response.fail(from_engine(error))

    def _response(self, send: Send, query_id: str, encoding: str) -> Response:
        headers = {
            "Content-Type": "text/plain; charset=UTF-8",
            "X-ClickHouse-Server-Display-Name": "modelyard-devclickhouse",
            "X-ClickHouse-Timezone": self._engine.timezone,
            "Keep-Alive": f"timeout={KEEP_ALIVE_S}",
        }
        if query_id:
            headers["X-ClickHouse-Query-Id"] = query_id
        return Response(send, version=self._engine.version, headers=headers, encoding=encoding)

    async def _answer(self, request: Request, receive: Receive, response: Response) -> None:
        if request.path != "/":
            raise ClickHouseError(60, "UNKNOWN_TABLE", f"There is no handle {request.path}: use / or /ping.")
        rules.check_settings(_given(request), reader=request.reader)
        statement, text, data = await _read_statement(request)
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
                self._sessions.give_back(session)

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
        format = statement.format or request.parameters.get("default_format") or "TabSeparated"
        if statement.kind is Kind.INSERT:
            response.summarise(await self._insert(lease, statement, text, data))
            await response.whole(b"")
        elif statement.kind is Kind.SELECT:
            response.describe(format)
            await self._select(request, receive, response, lease, statement, text, format)
        else:
            sql = self._rewritten(request, statement, text)
            answer = await self._in_thread(lease, statement, sql, format, request.query_parameters)
            if session:
                session.learn(statement, sql)
            response.describe(format if statement.kind is Kind.RESULT else None)
            response.summarise(answer)
            await response.whole(answer.data)

    def _rewritten(self, request: Request, statement: Statement, text: bytes) -> str:
        """KILL QUERY knows the clients' query ids; everything else goes as it is."""
        if statement.keyword != "KILL":
            return _utf8(text)
        if request.reader:
            self._check_own_query(statement)
        for token in reversed(statement.tokens):
            if token.name.lower() == "query_id":
                text = text[: token.start] + QUERY_ID.encode() + text[token.end :]
        return _utf8(text)

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
        head = _utf8(text[: statement.cut])
        started = time.perf_counter()
        failed, inserter = True, None
        try:
            handle = await loop.run_in_executor(self._threads, lease.open, statement, head)
            inserter = await loop.run_in_executor(self._threads, handle.insert, head, str(statement.format))
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

    async def _select(
        self,
        request: Request,
        receive: Receive,
        response: Response,
        lease: Lease,
        statement: Statement,
        text: bytes,
        format: str,
    ) -> None:
        pipe = Pipe()
        own = f"\nINTO OUTFILE '{pipe.path}' TRUNCATE COMPRESSION 'none' FORMAT {format}"
        plain, before, after = _utf8(text), _utf8(text[: statement.cut]), _utf8(text[statement.resume :])
        sql = f"{before}{own}{_without_end(after)}"

        def work() -> Answer:
            failed = True
            try:
                handle = lease.open(statement, plain)
                answer = handle.run(sql, "TabSeparated", request.query_parameters)
                failed = False
                return answer
            except ClickHouseError as error:
                raise ClickHouseError(error.code, error.name, error.text.replace(own, "")) from None
            finally:
                pipe.close_write()
                lease.close(failed=failed)

        query = asyncio.get_running_loop().run_in_executor(self._threads, work)
        held = Held(response, until_end=request.flag("wait_end_of_query"), folder=self._spool)
        gone = asyncio.ensure_future(_disconnected(receive))
        try:
            if not await self._forward(pipe, held, gone, request, response):
                await asyncio.wait({query})
                query.exception()
                return
            answer = await query
            response.summarise(answer)
            await held.end()
        finally:
            gone.cancel()
            held.close()

    async def _forward(
        self, pipe: Pipe, held: Held, gone: asyncio.Future[None], request: Request, response: Response
    ) -> bool:
        """Carry the pipe to the client; False when the client left (and then the query is told to end)."""
        try:
            while True:
                reading = asyncio.ensure_future(pipe.read())
                watched: set[asyncio.Future[Any]] = {reading, gone}
                await asyncio.wait(watched, return_when=asyncio.FIRST_COMPLETED)
                if gone.done() and (response.started or _cancels(request)):
                    reading.cancel()
                    await asyncio.wait({reading})
                    return False
                chunk = await reading
                if not chunk:
                    return not gone.done()
                await held.add(chunk)
        finally:
            pipe.close_read()
            if gone.done():
                await self._kill(request.query_id)

    async def _kill(self, query_id: str) -> None:
        await asyncio.get_running_loop().run_in_executor(self._killer, self._engine.kill, query_id)


def _cancels(request: Request) -> bool:
    return request.flag("cancel_http_readonly_queries_on_client_close")


def _given(request: Request) -> list[tuple[str, str]]:
    own = [(key, value) for key, value in request.settings.items() if key != "log_comment"]
    return [*own, ("log_comment", request.parameters.get("log_comment", ""))]


def _wants_compression(scope: Mapping[str, Any]) -> bool:
    return b"enable_http_compression=1" in scope["query_string"]


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


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
        pass  # the stream had already failed by itself
    finally:
        lease.close(failed=failed)


async def _read_statement(request: Request) -> tuple[Statement, bytes, AsyncIterator[bytes]]:
    """The statement, its text, and for an INSERT the data that follows (the rest of the body)."""
    query = request.form.get("query") or request.parameters.get("query", "")
    text = bytearray(query.encode())
    body = aiter(request.body)
    joined, whole = not text, False
    while True:
        statement = await _off_loop(_insert_head, bytes(text), whole)
        if statement and statement.format != "Values":
            return statement, bytes(text), _chained(bytes(text[statement.data_at :]), body)
        if whole:
            break
        try:
            chunk = await anext(body)
        except StopAsyncIteration:
            whole = True
            continue
        text += chunk if joined else b"\n" + chunk
        joined = True
        if len(text) > MAX_STATEMENT_BYTES:
            raise BadRequest(
                f"the statement is longer than {MAX_STATEMENT_BYTES >> 20} MiB: "
                "send large data as INSERT ... FORMAT, not inside the statement."
            )
    raw = bytes(text)
    if statement:
        values = raw[statement.data_at :]
        await _off_loop(lambda _text, _whole: rules.check_values(values), raw, whole)
        return statement, raw, _chained(values, body)
    return await _off_loop(lambda t, _: parse(t.decode("latin-1")), raw, whole), raw, body


def _insert_head(raw: bytes, whole: bool) -> Statement | None:
    text = raw[:MAX_INSERT_HEAD_BYTES].decode("latin-1")
    try:
        first = next(tokens(text), None)
        if first is None or first.upper != "INSERT":
            return None
        return parse_insert(text, whole=whole or len(raw) > MAX_INSERT_HEAD_BYTES)
    except SyntaxProblem:
        if whole:
            raise
        return None


async def _off_loop(work: Any, raw: bytes, whole: bool) -> Any:
    return work(raw, whole) if len(raw) < _LARGE else await asyncio.to_thread(work, raw, whole)


async def _chained(first: bytes, rest: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    if first:
        yield first
    async for chunk in rest:
        yield chunk


def _utf8(text: bytes) -> str:
    try:
        return text.decode()
    except UnicodeDecodeError as error:
        raise BadRequest(f"the statement is not UTF-8 at byte {error.start}") from error


def _without_end(text: str) -> str:
    return text.rstrip().rstrip(";")
