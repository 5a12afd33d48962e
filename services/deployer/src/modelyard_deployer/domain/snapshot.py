"""Everything the records hold about one model, read at one moment."""

from collections.abc import Mapping
from dataclasses import dataclass

from modelyard_deployer.domain.rollouts import Rollout
from modelyard_deployer.domain.routes import Route, RouterAck, Version


@dataclass(frozen=True)
class Snapshot:
    model: str
    active: Rollout | None
    waiting: tuple[Rollout, ...]
    """Pending rollouts in the order in which they start; roll-backs first."""
    route: Route | None
    versions: Mapping[int, Version]
    acks: tuple[RouterAck, ...]
    settled_sequence: int
    """Newest table that was published more than a minute ago; 0 if there is none."""

    @property
    def pending(self) -> Rollout | None:
        return self.waiting[0] if self.waiting else None
