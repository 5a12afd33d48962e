"""Calls to model servers, as the use cases see them; upstream/ implements the port.

An answer is a Whole, or a Stream of pieces.
"""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Final, Generic, NamedTuple, Protocol, TypeVar

from modelyard_contracts import PredictionStatus
from modelyard_router.domain.errors import (
    AnswersTexts,
    OutOfRange,
    ProviderBusy,
    RefusedParameter,
    RouterError,
    UpstreamFailed,
    UpstreamTimeout,
    UpstreamUnavailable,
)
from modelyard_router.domain.leaves import Group, Leaf
from modelyard_router.domain.records import Attempt
from modelyard_router.domain.votes import Vote

A = TypeVar("A")
AnswerReader = Callable[[bytes, Leaf], A]
"""(body, leaf) -> the parsed answer; raises WrongReplica or BadAnswer."""
STATUS_OF: Final = {
    OutOfRange.code: PredictionStatus.REJECTED,
    RefusedParameter.code: PredictionStatus.REJECTED,
    AnswersTexts.code: PredictionStatus.REJECTED,
    UpstreamFailed.code: PredictionStatus.UPSTREAM_ERROR,
    UpstreamTimeout.code: PredictionStatus.TIMEOUT,
    UpstreamUnavailable.code: PredictionStatus.UNAVAILABLE,
    ProviderBusy.code: PredictionStatus.UNAVAILABLE,
}


class Whole(NamedTuple):
    """A complete answer of a model server."""

    status: int
    body: bytes


class Stream(Protocol):
    """An answer of a model server that arrives in pieces."""

    status: int
    digest: str
    """Of the version that answers, as its server states it; empty when it does not."""

    def pieces(self) -> AsyncIterator[bytes]:
        """Bytes of the body as they arrive; CallFailed when the stream is broken off, CallTimedOut when it stalls."""

    async def close(self) -> None:
        """Break it off; safe to repeat."""


class CallFailed(Exception):
    """No answer came; `reason` is one word for headers and metrics."""

    def __init__(self, reason: str, detail: str, *, answered: bool = False, sent: bool = True) -> None:
        super().__init__(detail)
        self.reason = reason
        self.answered = answered
        """Whether any byte of an answer had arrived."""
        self.sent = sent
        """Whether any byte of the request may have been sent: without one it can be sent elsewhere."""


class CallTimedOut(CallFailed):
    """The deadline passed."""

    def __init__(self, detail: str, *, sent: bool = True) -> None:
        super().__init__("timeout", detail, sent=sent)


class CutShort(CallFailed):
    """No byte was sent within this replica's share of the time: no evidence against it, and others may have time."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(reason, detail, sent=False)


class Times(NamedTuple):
    """When an attempt must have happened, on the event loop's clock."""

    answered_by: float
    sent_by: float
    """A connection that is not there by then leaves the rest of the time to other replicas and versions."""

    def share_of(self, replicas: int, now: float) -> float:
        """`sent_by` for the next one of several replicas."""
        return now + max(self.sent_by - now, 0.0) / replicas


@dataclass(slots=True)
class Answered(Generic[A]):
    """A usable answer of a version."""

    answer: A
    body: bytes
    reason: str
    """Why an earlier replica of the version did not answer; empty when the first one did."""
    votes: tuple[Vote, ...] = ()
    """Of an ensemble: the members that answered, in the order of the plan."""


class FirstAttempt(NamedTuple):
    """An attempt that was already made: on the fast path, or by the one call for a group of members."""

    place: int
    """Index of the leaf's replica."""
    outcome: Whole | CallFailed
    latency_ms: float


class UpstreamError(Exception):
    """A version gave no usable answer."""

    def __init__(self, error: RouterError, reason: str, *, sent: bool = True) -> None:
        super().__init__(str(error))
        self.error, self.reason, self.sent = error, reason, sent
        self.kind = STATUS_OF[error.code]
        """How the attempt is logged, and which fallbacks may follow."""
        self.replaceable = self.kind is PredictionStatus.UNAVAILABLE and not isinstance(error, ProviderBusy)
        """Whether another replica of the version may answer."""
        self.leaf: Leaf | None = None
        """Of an ensemble: the member that failed."""


class Upstreams(Protocol):
    """Asks versions over the network."""

    async def ask(
        self,
        leaf: Leaf,
        tail: bytes,
        times: Times,
        read: AnswerReader[A],
        attempts: list[Attempt],
        first: FirstAttempt | None = None,
    ) -> Answered[A]:
        """Send `tail` (length, headers, body) to a version; UpstreamError when no replica gives a usable answer.

        Every call is added to `attempts`.
        """

    async def ask_all(
        self, group: Group, tail: bytes, times: Times, first: FirstAttempt | None = None
    ) -> "list[FirstAttempt] | None":
        """Ask the members of a group by one call: for each of them, its attempt on the replica that was called.

        None when this server takes no such call: ask each member by itself. first: a call that was already made.
        """

    async def stream(self, leaf: Leaf, tail: bytes, times: Times, stall_s: float) -> Stream:
        """Start an answer in pieces; UpstreamError when no replica starts one with status 200 in time.

        stall_s: longest pause between two pieces.
        """
