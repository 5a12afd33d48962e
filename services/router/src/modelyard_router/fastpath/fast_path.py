"""The fast path of a prediction."""

import time
from collections.abc import Awaitable
from typing import Final, Protocol

from modelyard_router.api.asgi import Api
from modelyard_router.api.bodies import read_headers
from modelyard_router.clients.keys import Keys
from modelyard_router.domain.answers import BadAnswer, WrongReplica, read_row
from modelyard_router.domain.requests import Call, Reply
from modelyard_router.domain.upstreams import CallFailed, FirstAttempt, Whole
from modelyard_router.fastpath.heads import Heads
from modelyard_router.store.route_tables import RouteTables
from modelyard_router.upstream.pool import Pool
from modelyard_router.upstream.replicas import Replicas
from modelyard_router.usecases.exchange import Exchange, tail
from modelyard_router.usecases.predictions import Predictions
from modelyard_runtime.errors import ModelyardError

_END: Final = b"\r\n\r\n"


class ClientConnection(Protocol):
    """The caller's connection, as the fast path sees it."""

    def respond(self, head: bytes, body: bytes) -> None:
        """Send an answer. head: up to the end of the last header line; the date is added."""

    def respond_later(self, reply: Awaitable[Reply]) -> None:
        """Send the reply once it is there."""


class FastPath:
    """For one event loop."""

    def __init__(self, api: Api, predictions: Predictions, replicas: Replicas, tables: RouteTables, keys: Keys) -> None:
        self.api, self.predictions = api, predictions
        self._replicas, self._tables, self._keys = replicas, tables, keys
        self._heads = Heads()

    def take(self, client: ClientConnection, data: bytes) -> bool:
        """Start answering `client`; False, with nothing done, when the request needs the ordinary path.

        data: all bytes since the last answer; they are taken only when they are exactly one request.
        """
        started = time.perf_counter()
        end = data.find(_END)
        head = self._heads.get(data[:end]) if end > 0 else None
        if head is None or len(data) != end + 4 + head.length or not self.api.accepts(head.length):
            return False
        access = self._keys.cached(head.key)
        route = self._tables.by_predict_path.get(head.path)
        if access is None or route is None or route.needs_facts or not access.may_predict(route.workspace):
            return False
        call = Call(started)
        try:
            if not head.plain:
                read_headers(head.headers, call)
            exchange = self.predictions.begin(route, data[end + 4 :], call)
        except Exception:
            return False  # the ordinary path explains the error
        return self._send(client, exchange, head.path)

    def _send(self, client: ClientConnection, exchange: Exchange, path: str) -> bool:
        leaf = exchange.leaf
        if not leaf.addresses or leaf.timeout_s is not None:
            return False
        place, pool = self._replicas.nearest(leaf)
        request = _FastRequest(self, client, exchange, pool, place, path)
        data = leaf.infer_head[place] + tail(exchange.bound[1], exchange.remaining_s, exchange.call.trace)
        if not pool.try_send(data, exchange.deadline, request.done):
            return False
        self.api.in_flight += 1
        return True


class _FastRequest:
    """One request in flight."""

    __slots__ = ("_client", "_exchange", "_fast_path", "_path", "_place", "_pool")

    def __init__(
        self, fast_path: FastPath, client: ClientConnection, exchange: Exchange, pool: Pool, place: int, path: str
    ) -> None:
        self._fast_path, self._client, self._exchange = fast_path, client, exchange
        self._pool, self._place, self._path = pool, place, path

    def done(self, outcome: Whole | CallFailed) -> None:
        """Called with the replica's answer, or the reason why there is none."""
        counts = self._pool.finish(outcome)
        if isinstance(outcome, Whole) and outcome.status == 200 and self._answer(outcome):
            self._fast_path.api.in_flight -= 1
        else:
            latency_ms = (time.perf_counter() - self._exchange.sent) * 1000
            first = FirstAttempt(self._place, outcome, latency_ms) if counts else None
            self._client.respond_later(self._on_the_ordinary_path(first))

    def _answer(self, answer: Whole) -> bool:
        """Log and answer; False, with nothing done, when either is impossible here."""
        exchange, predictions = self._exchange, self._fast_path.predictions
        leaf = exchange.leaf
        try:
            row = read_row(answer.body, leaf)
            overhead_s = predictions.recorder.record_first(exchange, row)
        except (WrongReplica, BadAnswer, ModelyardError):
            return False
        id_ = exchange.bound[0][0].id
        body = predictions.answer_body(id_, leaf, row)
        own = b"%bx-modelyard-request-id: %b\r\nx-modelyard-overhead-ms: %.3f\r\ncontent-length: %d\r\n"
        head = own % (leaf.answer_head, id_.encode(), overhead_s * 1000, len(body))
        self._client.respond(head, body)
        return True

    async def _on_the_ordinary_path(self, first: FirstAttempt | None) -> Reply:
        api, predictions = self._fast_path.api, self._fast_path.predictions
        try:
            reply: Reply = await api.reply_to(predictions.finish(self._exchange, first), "POST", self._path)
            return reply
        finally:
            api.in_flight -= 1
