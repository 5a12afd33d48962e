"""A prediction that takes the short way."""

import time
from typing import Any, Final, Protocol

import msgspec

from modelyard_router.api import Api, read_headers
from modelyard_router.domain.answers import BadAnswer, WrongReplica, read_row
from modelyard_router.domain.tables import Header
from modelyard_router.keys import Keys
from modelyard_router.lane.heads import Heads
from modelyard_router.tables import RouteTables
from modelyard_router.upstream.connection import CallFailed
from modelyard_router.upstream.connection import Reply as Answer
from modelyard_router.upstream.pool import Pool
from modelyard_router.upstream.replicas import First, Replicas
from modelyard_router.usecases import OK, Call, Exchange, Reply, Router
from modelyard_runtime.errors import ModelyardError

_END: Final = b"\r\n\r\n"


class Asker(Protocol):
    """The caller's connection."""

    def respond(self, head: bytes, body: bytes) -> None:
        """head: up to the last header's line end; the date is added."""

    def respond_later(self, reply: Any) -> None:
        """reply: a coroutine with the Reply."""


class Lane:
    """For one event loop."""

    def __init__(self, api: Api, router: Router, replicas: Replicas, tables: RouteTables, keys: Keys) -> None:
        self.api, self.router = api, router
        self._replicas, self._tables, self._keys = replicas, tables, keys
        self._heads = Heads()

    def take(self, asker: Asker, data: bytes) -> bool:
        """Whether `asker` will be answered here. False: nothing was done.

        data: all that came since the last answer, which is taken only when it is exactly one request.
        """
        started = time.perf_counter()
        end = data.find(_END)
        head = self._heads.get(data[:end]) if end > 0 else None
        if head is None or len(data) != end + 4 + head.length or not self.api.takes(head.length):
            return False
        who = self._keys.known(head.authorization)
        route = self._tables.by_predict_path.get(head.path)
        if who is None or route is None or not who.may("predict"):
            return False
        call = Call(started)
        try:
            if not head.plain:
                read_headers(head.headers, call)
            asking = self.router.begin(route, data[end + 4 :], call)
        except (ModelyardError, msgspec.DecodeError, UnicodeDecodeError):
            return False  # the ordinary way says what is wrong
        return self._send(asker, asking, head.path)

    def _send(self, asker: Asker, asking: Exchange, path: str) -> bool:
        target = asking.target
        if not target.addresses:
            return False
        place, pool = self._replicas.nearest(target)
        ride = _Ride(self, asker, asking, pool, place, path)
        if not pool.try_send(target.infer_head[place] + asking.tail, asking.deadline, ride.done):
            return False
        self.api.in_flight += 1
        return True


class _Ride:
    """One request under way."""

    __slots__ = ("_asker", "_asking", "_lane", "_path", "_place", "_pool")

    def __init__(self, lane: Lane, asker: Asker, asking: Exchange, pool: Pool, place: int, path: str) -> None:
        self._lane, self._asker, self._asking = lane, asker, asking
        self._pool, self._place, self._path = pool, place, path

    def done(self, outcome: Answer | CallFailed) -> None:
        """The replica answered, or did not."""
        counts = self._pool.told(outcome)
        if isinstance(outcome, Answer) and outcome.status == 200 and self._answered(outcome):
            self._lane.api.in_flight -= 1
        else:
            self._asker.respond_later(self._on_the_ordinary_way(First(self._place, outcome) if counts else None))

    def _answered(self, answer: Answer) -> bool:
        """Log and answer; False when either cannot be done here: nothing was done then."""
        asking, router = self._asking, self._lane.router
        by = asking.target
        try:
            said = read_row(answer.body, by)
            overhead_s = router.record(asking, by, 1, by.rule, OK, said)
        except (WrongReplica, BadAnswer, ModelyardError):
            return False
        body = router.body_of(asking, by, said[0])
        own = b"%bx-modelyard-request-id: %b\r\nx-modelyard-overhead-ms: %.3f\r\ncontent-length: %d\r\n"
        head = own % (by.answer_head, asking.rows[0].id.encode(), overhead_s * 1000, len(body))
        self._asker.respond(head, body)
        return True

    async def _on_the_ordinary_way(self, first: First | None) -> Reply:
        try:
            return await self._lane.api.answered(self._lane.router.finish(self._asking, first), "POST", self._path)
        finally:
            self._lane.api.in_flight -= 1


def raw_head(status_line: bytes, headers: list[Header]) -> bytes:
    """The form that `respond` takes."""
    return status_line + b"".join([b"%b: %b\r\n" % header for header in headers])
