"""Start a pending rollout when its turn has come, or end it if its version may not serve."""

import logging
from dataclasses import dataclass, replace
from typing import Final

from modelyard_contracts import derived_id
from modelyard_contracts.policies import RolloutPolicy
from modelyard_deployer.domain.errors import RegistryUnavailable, VersionUnusable
from modelyard_deployer.domain.ports import Registry, Store
from modelyard_deployer.domain.rollouts import Kind, Rollout
from modelyard_deployer.domain.routes import Route, Version
from modelyard_deployer.domain.snapshot import Snapshot
from modelyard_deployer.domain.states import Signal, next_state
from modelyard_deployer.domain.steps import choose_strategy
from modelyard_runtime.clock import Clock

SERVABLE: Final = frozenset({"approved", "live"})
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Admission:
    store: Store
    registry: Registry
    clock: Clock

    def admit(self, snapshot: Snapshot, rollout: Rollout) -> bool:
        """Return True when the rollout moved, to `preparing` or to an end; False when it waits for the registry."""
        if rollout.abort_reason is not None:
            return self._end(rollout, Signal.ABORT, rollout.abort_reason)
        if snapshot.route and snapshot.route.champion == rollout.to_version:
            return self._end(rollout, Signal.FAIL, f"version {rollout.to_version} already serves")
        try:
            version, policy = self._version_and_policy(snapshot, rollout)
            self._start(snapshot.route, rollout, version, policy)
        except RegistryUnavailable as error:
            return self._note(rollout, f"the registry does not answer: {error}")
        except VersionUnusable as error:
            return self._end(rollout, Signal.FAIL, str(error))
        return True

    def _version_and_policy(self, snapshot: Snapshot, rollout: Rollout) -> tuple[Version, RolloutPolicy]:
        """A roll-back to a version that served before does not ask the registry: it must work on the worst day."""
        known = snapshot.versions.get(rollout.to_version)
        if rollout.kind is Kind.ROLL_BACK and known and snapshot.route:
            return known, snapshot.route.policy
        version = self.registry.version(rollout.model, rollout.to_version)
        if version.stage not in SERVABLE:
            raise VersionUnusable(f"version {rollout.to_version} is {version.stage}; approve it first")
        return version, self.registry.policy(rollout.model)

    def _start(self, route: Route | None, rollout: Rollout, version: Version, policy: RolloutPolicy) -> None:
        # A route keeps its name for life, because callers know it. A later change of policy.route is for new models.
        name = route.name if route else (policy.route or rollout.model)
        started = replace(
            rollout,
            route=name,
            policy=policy,
            strategy=choose_strategy(rollout.asked_strategy, policy, first=route is None or route.champion is None),
            state=next_state(rollout.state, Signal.BEGIN),
            from_version=route.champion if route else None,
            reason=rollout.asked_reason,
            changed_at=self.clock(),
        )
        with self.store.write() as records:
            if route is None and (other := records.routes.get(name)):
                raise VersionUnusable(f"route {name} belongs to model {other.model}; set another in the rollout policy")
            new = route or Route(name, rollout.model, salt=derived_id("salt", name, rollout.id).hex[:16])
            records.routes.save(route, replace(new, policy=policy))
            records.versions.save(version)
            records.rollouts.save(rollout, started)
        log.info("rollout %s of %s version %s starts", rollout.id, rollout.model, rollout.to_version)

    def _note(self, rollout: Rollout, reason: str) -> bool:
        if rollout.reason != reason:
            with self.store.write() as records:
                records.rollouts.save(rollout, replace(rollout, reason=reason))
        return False

    def _end(self, rollout: Rollout, signal: Signal, reason: str) -> bool:
        state = next_state(rollout.state, signal)
        with self.store.write() as records:
            records.rollouts.save(rollout, replace(rollout, state=state, reason=reason, changed_at=self.clock()))
        log.warning("rollout %s of %s did not start: %s", rollout.id, rollout.model, reason)
        return True
