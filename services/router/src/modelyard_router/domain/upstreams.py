"""Calls to model servers, as the use cases see them; upstream/ implements the port."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, NamedTuple, Protocol, TypeVar

from modelyard_router.domain.errors import RouterError
from modelyard_router.domain.routes import Route, Target

A = TypeVar("A")
AnswerReader = Callable[[bytes, Target], A]
"""(body, target) -> the parsed answer; raises WrongReplica or BadAnswer."""


class Whole(NamedTuple):
    """A complete answer of a model server."""

    status: int
    body: bytes


class CallFailed(Exception):
    """No answer came; `reason` is one word for headers and metrics."""

    def __init__(self, reason: str, detail: str, *, answered: bool = False) -> None:
        super().__init__(detail)
        self.reason = reason
        self.answered = answered
        """Whether any byte of an answer had arrived."""


class CallTimedOut(CallFailed):
    """The deadline passed."""

    def __init__(self, detail: str) -> None:
        super().__init__("timeout", detail)


@dataclass(slots=True)
class Answered(Generic[A]):
    """An answer and how it was obtained."""

    target: Target
    """The version that answered; not always the chosen one."""
    answer: A
    body: bytes
    attempts: int
    rule: str


class FirstAttempt(NamedTuple):
    """An attempt made on the fast path whose outcome only the ordinary path can handle."""

    place: int
    """Index of the target's replica."""
    outcome: Whole | CallFailed


class UpstreamError(Exception):
    """No version gave a usable answer; carries the fields of the log record."""

    def __init__(self, error: RouterError, target: Target, attempts: int, rule: str) -> None:
        super().__init__(str(error))
        self.error, self.target, self.attempts, self.rule = error, target, attempts, rule


class Upstreams(Protocol):
    """Asks versions over the network."""

    async def ask(
        self,
        route: Route,
        target: Target,
        tail: bytes,
        deadline: float,
        read: AnswerReader[A],
        first: FirstAttempt | None = None,
    ) -> Answered[A]:
        """Send `tail` (length, headers, body) to the target; UpstreamError when no replica gives a usable answer."""
