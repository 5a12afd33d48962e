"""Acknowledgements: which routers must confirm a route, and which have done so."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from modelyard_deployer.domain.snapshot import RouteState

ROUTER_MEMORY_S: Final = 60.0
"""A router that sent nothing for this long and lacks a table older than this is not live."""


@dataclass(frozen=True)
class Applied:
    """State of the published routes of a model on the live routers."""

    applied: tuple[str, ...] = ()
    """Routers that accepted the newest table of every route."""
    silent: tuple[str, ...] = ()
    """Live routers that have not acknowledged the newest table of every route."""
    refused: tuple[str, ...] = ()
    """`router: reason` for each router that rejected a newest table and keeps the previous one."""
    last_at: datetime | None = None

    @property
    def complete(self) -> bool:
        """Every live router has acknowledged, and at least one has accepted."""
        return not self.silent and bool(self.applied)


def applied(routes: Iterable[RouteState], routers: frozenset[str], now: datetime) -> Applied:
    """Summarise the acknowledgements of the newest tables of `routes`.

    routers: routers recently seen on any route; they must acknowledge a new route as well.
    """
    published = [state for state in routes if state.route.sequence > 0]
    per_route = [_applied(state, routers, now) for state in published]
    silent = {router for route in per_route for router in route.silent}
    everywhere = set.intersection(*({*route.applied} for route in per_route)) if per_route else set()
    return Applied(
        applied=tuple(sorted(everywhere - silent)),
        silent=tuple(sorted(silent)),
        refused=tuple(sorted({refusal for route in per_route for refusal in route.refused})),
        last_at=max((route.last_at for route in per_route if route.last_at), default=None),
    )


def _applied(state: RouteState, routers: frozenset[str], now: datetime) -> Applied:
    """Summarise one route. A router without the settled table that sent nothing within a minute is not live."""
    recent = now - timedelta(seconds=ROUTER_MEMORY_S)
    live = [ack for ack in state.acks if ack.sequence >= state.settled_sequence or ack.seen_at >= recent]
    current = [ack for ack in live if ack.sequence >= state.route.sequence]
    accepted = [ack for ack in current if ack.accepted]
    expected = {ack.router_id for ack in live} | routers
    return Applied(
        applied=tuple(ack.router_id for ack in accepted),
        silent=tuple(expected - {ack.router_id for ack in current}),
        refused=tuple(f"{ack.router_id}: {ack.reason}" for ack in current if not ack.accepted),
        last_at=max((ack.seen_at for ack in accepted), default=None),
    )
