"""A pending rollout's turn: find out what it needs and begin it, or end it without a word to others."""

import logging
from dataclasses import dataclass, replace
from typing import Final

from modelyard_contracts import derived_id
from modelyard_contracts.policies import RolloutPolicy
from modelyard_deployer import store
from modelyard_deployer.domain.model import Kind, Rollout, Route, Version
from modelyard_deployer.domain.plan import choose_strategy
from modelyard_deployer.domain.ports import Refused, Registry, RegistryAway
from modelyard_deployer.domain.states import Signal, next_state
from modelyard_runtime.clock import Clock
from modelyard_runtime.database import Database

SERVABLE: Final = frozenset({"approved", "live"})
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Beginner:
    database: Database
    registry: Registry
    clock: Clock

    def begin(self, snapshot: store.Snapshot, rollout: Rollout) -> bool:
        """True when it moved, to `preparing` or to an end; False when it has to wait for the registry."""
        if rollout.abort_reason is not None:
            return self._drop(rollout, Signal.ABORT, rollout.abort_reason)
        if snapshot.route and snapshot.route.champion == rollout.to_version:
            return self._drop(rollout, Signal.FAIL, f"version {rollout.to_version} serves already")
        try:
            version, policy = self._needs(snapshot, rollout)
            self._save(snapshot.route, rollout, version, policy)
        except RegistryAway as error:
            return self._note(rollout, f"the registry is away: {error}")
        except Refused as error:
            return self._drop(rollout, Signal.FAIL, str(error))
        return True

    def _needs(self, snapshot: store.Snapshot, rollout: Rollout) -> tuple[Version, RolloutPolicy]:
        """A roll-back to what served before asks nobody: it must work on the worst day."""
        known = snapshot.versions.get(rollout.to_version)
        if rollout.kind is Kind.ROLL_BACK and known and snapshot.route:
            return known, snapshot.route.policy
        version = self.registry.version(rollout.model, rollout.to_version)
        if version.stage not in SERVABLE:
            raise Refused(f"version {rollout.to_version} is {version.stage}; only an approved version may serve")
        return version, self.registry.policy(rollout.model)

    def _save(self, route: Route | None, rollout: Rollout, version: Version, policy: RolloutPolicy) -> None:
        # A route keeps its name for life: callers know it. A later change of policy.route is for new models.
        name = route.name if route else (policy.route or rollout.model)
        begun = replace(
            rollout,
            route=name,
            policy=policy,
            strategy=choose_strategy(rollout.asked_strategy, policy, first=route is None or route.champion is None),
            state=next_state(rollout.state, Signal.BEGIN),
            from_version=route.champion if route else None,
            reason=rollout.asked_reason,
            changed_at=self.clock(),
        )
        with self.database.transaction() as tx:
            if route is None and (other := store.route(tx.connection, name)):
                raise Refused(f"route {name} belongs to model {other.model}; name another in the rollout policy")
            new = route or Route(name, rollout.model, salt=derived_id("salt", name, rollout.id).hex[:16])
            store.save_route(tx.connection, route, replace(new, policy=policy))
            store.save_version(tx.connection, version)
            store.save_rollout(tx, rollout, begun)
        log.info("rollout %s of %s version %s begins", rollout.id, rollout.model, rollout.to_version)

    def _note(self, rollout: Rollout, reason: str) -> bool:
        if rollout.reason != reason:
            with self.database.transaction() as tx:
                store.save_rollout(tx, rollout, replace(rollout, reason=reason))
        return False

    def _drop(self, rollout: Rollout, signal: Signal, reason: str) -> bool:
        state = next_state(rollout.state, signal)
        with self.database.transaction() as tx:
            store.save_rollout(tx, rollout, replace(rollout, state=state, reason=reason, changed_at=self.clock()))
        log.warning("rollout %s of %s never began: %s", rollout.id, rollout.model, reason)
        return True
