"""Which routers have to confirm a table, and which have."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from modelyard_deployer.domain.routes import RouterAck

ROUTER_MEMORY_S: Final = 60.0
"""A router that missed every table of this long, and sent nothing, is not live."""


@dataclass(frozen=True)
class Applied:
    """State of a published table on the live routers."""

    applied: tuple[str, ...] = ()
    silent: tuple[str, ...] = ()
    """Live routers that have not answered yet."""
    refused: tuple[str, ...] = ()
    """`router: reason` of those that keep their old table."""
    last_at: datetime | None = None

    @property
    def complete(self) -> bool:
        """Every known live router has answered, and there is at least one."""
        return not self.silent and bool(self.applied or self.refused)


def applied(acks: Iterable[RouterAck], sequence: int, settled_sequence: int, now: datetime) -> Applied:
    """State of the table `sequence`.

    settled_sequence: newest table published more than a minute ago (0: none). A router that has not confirmed even
    that table, nor sent anything within the last minute, is not live and is not waited for.
    """
    recent = now - timedelta(seconds=ROUTER_MEMORY_S)
    live = [ack for ack in acks if ack.sequence >= settled_sequence or ack.seen_at >= recent]
    done = [ack for ack in live if ack.sequence >= sequence]
    accepted = [ack for ack in done if ack.accepted]
    return Applied(
        applied=tuple(sorted(ack.router_id for ack in accepted)),
        silent=tuple(sorted(ack.router_id for ack in live if ack.sequence < sequence)),
        refused=tuple(sorted(f"{ack.router_id}: {ack.reason}" for ack in done if not ack.accepted)),
        last_at=max((ack.seen_at for ack in accepted), default=None),
    )
