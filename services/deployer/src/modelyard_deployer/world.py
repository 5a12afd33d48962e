"""What the translators (HTTP, topics) are handed."""

from collections.abc import Callable
from dataclasses import dataclass

from modelyard_deployer import usecases
from modelyard_deployer.domain.model import Rollout
from modelyard_deployer.domain.ports import Registry
from modelyard_runtime.clock import Clock
from modelyard_runtime.database import Database


@dataclass(frozen=True)
class Deps:
    database: Database
    registry: Registry
    clock: Clock
    notify: Callable[[], None]
    """Wake the reconciler; from any thread."""
    prepare: Callable[[], None] = lambda: None
    """Replicas will soon be started; returns at once."""

    def wish(self, wish: usecases.Wish) -> Rollout:
        with self.database.transaction() as tx:
            rollout = usecases.fulfil(tx, wish, self.clock())
        self.notify()
        return rollout
