"""Which routers have to confirm a route, and which have."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from modelyard_deployer.domain.snapshot import RouteState

ROUTER_MEMORY_S: Final = 60.0
"""A router that missed every table of this long, and sent nothing, is not live."""


@dataclass(frozen=True)
class Applied:
    """State of the published routes of a model on the live routers."""

    applied: tuple[str, ...] = ()
    """Routers that accepted the newest table of every route."""
    silent: tuple[str, ...] = ()
    """Live routers that have not answered about some route yet."""
    refused: tuple[str, ...] = ()
    """`router: reason` of those that keep an old table."""
    last_at: datetime | None = None

    @property
    def complete(self) -> bool:
        """Every live router has answered, and at least one has accepted."""
        return not self.silent and bool(self.applied)


def applied(routes: Iterable[RouteState], routers: frozenset[str], now: datetime) -> Applied:
    """State of the newest tables of `routes`.

    routers: those seen lately on any route; they must answer about a new route as well.
    """
    published = [state for state in routes if state.route.sequence > 0]
    each = [_applied(state, routers, now) for state in published]
    silent = {router for one in each for router in one.silent}
    everywhere = set.intersection(*({*one.applied} for one in each)) if each else set()
    return Applied(
        applied=tuple(sorted(everywhere - silent)),
        silent=tuple(sorted(silent)),
        refused=tuple(sorted({refusal for one in each for refusal in one.refused})),
        last_at=max((one.last_at for one in each if one.last_at), default=None),
    )


def _applied(state: RouteState, routers: frozenset[str], now: datetime) -> Applied:
    """A router that has not confirmed even the settled table, nor sent anything within a minute, is not live."""
    recent = now - timedelta(seconds=ROUTER_MEMORY_S)
    live = [ack for ack in state.acks if ack.sequence >= state.settled_sequence or ack.seen_at >= recent]
    done = [ack for ack in live if ack.sequence >= state.route.sequence]
    accepted = [ack for ack in done if ack.accepted]
    expected = {ack.router_id for ack in live} | routers
    return Applied(
        applied=tuple(ack.router_id for ack in accepted),
        silent=tuple(expected - {ack.router_id for ack in done}),
        refused=tuple(f"{ack.router_id}: {ack.reason}" for ack in done if not ack.accepted),
        last_at=max((ack.seen_at for ack in accepted), default=None),
    )
