"""A valid request on its way to a version."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from modelyard_router.domain.contract import Contract
from modelyard_router.domain.errors import RouterError
from modelyard_router.domain.leaves import Leaf
from modelyard_router.domain.requests import Call, InputRow
from modelyard_router.plan.planner import Decision
from modelyard_router.plan.route import Route

Bound = tuple[Sequence[InputRow], bytes]
"""The rows in a contract's order, and the body of the request to a version with this contract."""
Bind = Callable[[Contract], Bound]
"""Reads the request by another contract; raises a RouterError when it does not match."""


@dataclass(slots=True)
class Exchange:
    """A request that matches the contract of the version it goes to."""

    route: Route
    leaf: Leaf
    decision: Decision | None
    """None: the route's decision for `leaf`, looked up when it is needed."""
    bound: Bound
    bind: Bind
    entity_key: str | None
    call: Call
    occurred_us: int
    """Microseconds since 1970."""
    sent: float
    """time.perf_counter() when the router's work before the answer was done."""
    remaining_s: float
    """Seconds to the deadline at `sent`."""
    deadline: float
    """On the event loop's clock."""
    others: dict[Contract, Bound | None] | None = None
    """The request by the contracts of other versions, as far as they were asked."""

    @property
    def rows(self) -> Sequence[InputRow]:
        return self.bound[0]

    @property
    def candidates(self) -> Decision:
        return self.route.decision_for(self.leaf) if self.decision is None else self.decision

    @property
    def own_deadline(self) -> bool:
        """Whether the caller's deadline is shorter than the route's."""
        return self.call.timeout_s is not None and self.call.timeout_s < self.route.timeout_s

    def bound_to(self, leaf: Leaf) -> Bound | None:
        """The request by the contract of another version; None when it does not match that contract."""
        contract = leaf.contract
        if contract is self.leaf.contract:
            return self.bound
        if self.others is None:
            self.others = {}
        if contract not in self.others:
            try:
                self.others[contract] = self.bind(contract)
            except RouterError:
                self.others[contract] = None
        return self.others[contract]

    def tail_for(self, leaf: Leaf, remaining_s: float) -> bytes | None:
        """See plan.executor.TailFor."""
        bound = self.bound_to(leaf)
        return None if bound is None else tail(bound[1], remaining_s, self.call.trace)


def tail(body: bytes, remaining_s: float, trace: bytes) -> bytes:
    """A request to a replica from the value of content-length on."""
    traced = b"\r\ntraceparent: " + trace if trace else b""
    return b"%d\r\nx-modelyard-timeout-ms: %d%b\r\n\r\n%b" % (len(body), max(remaining_s, 0) * 1000 + 1, traced, body)
