"""Requests of the fast path that wait for a model server."""

import time
from collections.abc import Awaitable
from typing import Final, NamedTuple, Protocol

from modelyard_contracts import PredictionStatus
from modelyard_contracts.inference import InvalidAnswer, decode_members
from modelyard_router.api.asgi import Api
from modelyard_router.domain.answers import BadAnswer, WrongReplica, read_row
from modelyard_router.domain.records import Attempt
from modelyard_router.domain.requests import Reply
from modelyard_router.domain.upstreams import CallFailed, FirstAttempt, Whole
from modelyard_router.domain.votes import Vote, combine
from modelyard_router.plan.nodes import EnsembleNode
from modelyard_router.upstream.groups import member_latency_ms
from modelyard_router.upstream.pool import Pool
from modelyard_router.usecases.exchange import Exchange
from modelyard_router.usecases.predictions import Predictions
from modelyard_router.usecases.recorder import Result
from modelyard_runtime.errors import ModelyardError

OK: Final = PredictionStatus.OK


class ClientConnection(Protocol):
    """The caller's connection, as the fast path sees it."""

    def respond(self, head: bytes, body: bytes) -> None:
        """Send an answer. head: up to the end of the last header line; the date is added."""

    def respond_later(self, reply: Awaitable[Reply]) -> None:
        """Send the reply as soon as it has arrived."""


class Sent(NamedTuple):
    """Where a request was sent."""

    pool: Pool
    place: int
    """Index of the leaf's replica."""
    path: str
    """That the caller requested."""


class FastRequest:
    """One request for one version."""

    __slots__ = ("_api", "_client", "_exchange", "_predictions", "_sent")

    def __init__(
        self, api: Api, predictions: Predictions, client: ClientConnection, exchange: Exchange, sent: Sent
    ) -> None:
        self._api, self._predictions = api, predictions
        self._client, self._exchange, self._sent = client, exchange, sent

    def done(self, outcome: Whole | CallFailed) -> None:
        """Called with the replica's answer, or the reason why there is none."""
        counts = self._sent.pool.finish(outcome)
        if isinstance(outcome, Whole) and outcome.status == 200 and self._answer(outcome):
            self._api.in_flight -= 1
        else:
            first = FirstAttempt(self._sent.place, outcome, self._latency_ms()) if counts else None
            self._client.respond_later(self._on_the_ordinary_path(first))

    def _latency_ms(self) -> float:
        return (time.perf_counter() - self._exchange.sent) * 1000

    def _answer(self, answer: Whole) -> bool:
        """Log and answer; False, with nothing done, when either is impossible here."""
        exchange, predictions = self._exchange, self._predictions
        leaf = exchange.leaf
        try:
            row = read_row(answer.body, leaf)
            overhead_s = predictions.recorder.record_first(exchange, row)
        except (WrongReplica, BadAnswer, ModelyardError):
            return False
        id_ = exchange.bound[0][0].id
        body = predictions.answer_body(id_, leaf, row)
        self._respond(leaf.answer_head, id_, overhead_s, body)
        return True

    def _respond(self, answer_head: bytes, id_: str, overhead_s: float, body: bytes) -> None:
        own = b"%bx-modelyard-request-id: %b\r\nx-modelyard-overhead-ms: %.3f\r\ncontent-length: %d\r\n"
        self._client.respond(own % (answer_head, id_.encode(), overhead_s * 1000, len(body)), body)

    async def _on_the_ordinary_path(self, first: FirstAttempt | None) -> Reply:
        try:
            finish = self._predictions.finish(self._exchange, first)
            reply: Reply = await self._api.reply_to(finish, "POST", self._sent.path)
            return reply
        finally:
            self._api.in_flight -= 1


class FastVote(FastRequest):
    """One request for all members of a vote, which one call asks."""

    __slots__ = ()

    def _answer(self, answer: Whole) -> bool:
        exchange, predictions = self._exchange, self._predictions
        node = exchange.route.vote
        try:
            voted = None if node is None else self._votes(node, answer.body)
            if node is None or voted is None:
                return False
            votes, attempts = voted
            [row] = combine(node.combiner, votes)
            overhead_s = predictions.recorder.record(
                exchange, Result(exchange.leaf, exchange.leaf.rule, OK, (row,), attempts, votes)
            )
        except (WrongReplica, BadAnswer, InvalidAnswer, ModelyardError):
            return False
        id_ = exchange.bound[0][0].id
        self._respond(node.answer_head, id_, overhead_s, predictions.answer_body(id_, exchange.leaf, row, votes))
        return True

    def _votes(self, node: EnsembleNode, body: bytes) -> tuple[list[Vote], list[Attempt]] | None:
        """None unless every member has answered."""
        answers = decode_members(body)
        if len(answers.members) != len(node.leaves):
            return None
        latency_ms = self._latency_ms()
        votes, attempts = [], []
        for member, leaf, given in zip(node.members, node.leaves, answers.members, strict=True):
            if given.status != 200:
                return None
            votes.append(Vote(leaf, member.weight, (read_row(given.body, leaf),)))
            attempts.append(Attempt(leaf, OK, member_latency_ms(given, latency_ms, answers.span_ms)))
        return votes, attempts
