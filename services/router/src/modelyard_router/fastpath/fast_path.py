"""The fast path of a prediction."""

import time
from typing import Final

from modelyard_router.api.asgi import Api
from modelyard_router.api.bodies import read_headers
from modelyard_router.clients.keys import Keys
from modelyard_router.domain.requests import Call
from modelyard_router.fastpath.heads import Heads
from modelyard_router.fastpath.in_flight import ClientConnection, FastRequest, FastVote, Sent
from modelyard_router.plan.executor import SHARE_OF_TIME
from modelyard_router.plan.nodes import EnsembleNode
from modelyard_router.store.route_tables import RouteTables
from modelyard_router.upstream.replicas import Replicas
from modelyard_router.usecases.exchange import Exchange, tail
from modelyard_router.usecases.predictions import Predictions

_END: Final = b"\r\n\r\n"


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
        if route.vote is not None and route.vote.group is None:
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
        leaf, vote = exchange.leaf, exchange.route.vote
        if not leaf.addresses or leaf.timeout_s is not None:
            return False
        place, pool = self._replicas.nearest(leaf)
        sent = Sent(pool, place, path)
        if vote is None:
            request = FastRequest(self.api, self.predictions, client, exchange, sent)
            data = leaf.infer_head[place] + tail(exchange.bound[1], exchange.remaining_s, exchange.call.trace)
            taken = pool.try_send(data, exchange.deadline, request.done)
        else:
            taken = self._send_to_all(vote, client, exchange, sent)
        self.api.in_flight += taken
        return taken

    def _send_to_all(self, vote: EnsembleNode, client: ClientConnection, exchange: Exchange, sent: Sent) -> bool:
        """One call for all members of a vote."""
        if vote.group is None or not sent.pool.groups:
            return False
        remaining_s, deadline = exchange.remaining_s, exchange.deadline
        if vote.deadline_s is not None and vote.deadline_s < remaining_s:
            deadline += vote.deadline_s - remaining_s
            remaining_s = vote.deadline_s
        request = FastVote(self.api, self.predictions, client, exchange, sent)
        ends = tail(exchange.bound[1], remaining_s * SHARE_OF_TIME, exchange.call.trace)
        return sent.pool.try_send(vote.group.heads[sent.place] + ends, deadline, request.done)
