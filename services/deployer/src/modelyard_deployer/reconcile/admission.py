"""Start a pending rollout when its turn has come, or end it if its version may not serve."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace

from modelyard_contracts import RolloutChanged, RolloutStrategy, VersionStage, derived_id, documents
from modelyard_contracts.external import not_served
from modelyard_contracts.manifest import learner_of
from modelyard_contracts.policies import GatePolicy, RolloutPolicy
from modelyard_contracts.references import Reference
from modelyard_contracts.routes import RouteSpec
from modelyard_deployer.domain.errors import RegistryUnavailable, VersionUnusable
from modelyard_deployer.domain.live_share import begun, check_share
from modelyard_deployer.domain.membership import can_vote, same_learner, why_not
from modelyard_deployer.domain.ports import Records, Registry, Store
from modelyard_deployer.domain.rollouts import Kind, Rollout
from modelyard_deployer.domain.routes import Route, Serving, Version, own_spec
from modelyard_deployer.domain.snapshot import Snapshot
from modelyard_deployer.domain.states import Signal, next_state
from modelyard_deployer.domain.steps import choose_strategy
from modelyard_deployer.domain.superseding import DEPLOYER, outclassed
from modelyard_deployer.domain.workloads import VersionKey
from modelyard_deployer.reconcile.upcoming import SERVABLE, Upcoming
from modelyard_runtime.clock import Clock

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Admission:
    store: Store
    registry: Registry
    clock: Clock
    upcoming: Upcoming

    def admit(self, snapshot: Snapshot, rollout: Rollout) -> bool:
        """Return True when the rollout moved to `preparing` or a final state; False when it waits for the registry."""
        if rollout.abort_reason is not None:
            return self._end(rollout, Signal.ABORT, rollout.abort_reason)
        champion = snapshot.serving.champion if snapshot.serving else None
        if champion == rollout.to_version:
            return self._serves_already(rollout)
        if (
            champion is not None
            and not _weights_decide(snapshot, rollout)
            and outclassed(rollout, champion, snapshot.comparisons)
        ):
            return self._outclassed(rollout, champion)
        try:
            version, policy = self._version_and_policy(snapshot, rollout)
            gate = self.registry.gate(rollout.model) if rollout.live_share else None
            if gate is not None:
                check_share(gate, champion)
            self._start(snapshot, rollout, version, policy, gate)
        except RegistryUnavailable as error:
            return self._note(rollout, f"the registry is unavailable: {error}")
        except VersionUnusable as error:
            return self._end(rollout, Signal.FAIL, str(error))
        return True

    def expect(self, key: VersionKey) -> None:
        """Read a version whose rollout waits, in the background, so that its replicas can start meanwhile."""
        self.upcoming.request(key)

    def _serves_already(self, rollout: Rollout) -> bool:
        reason = f"version {rollout.to_version} serves already; nothing changed"
        if rollout.kind is Kind.ROLL_BACK:
            return self._end(rollout, Signal.RETURN, reason, {"seconds": 0.0})
        return self._end(rollout, Signal.COMPLETE, reason)

    def _outclassed(self, rollout: Rollout, champion: int) -> bool:
        reason = f"version {champion}, which serves now, is better on the same rows"
        return self._end(rollout, Signal.ABORT, reason, {RolloutChanged.SUPERSEDED_BY: float(champion)})

    def _version_and_policy(self, snapshot: Snapshot, rollout: Rollout) -> tuple[Version, RolloutPolicy]:
        """Read both; a roll-back uses stored copies, because it must work while the registry is down."""
        if rollout.kind is Kind.ROLL_BACK and snapshot.serving:
            with self.store.read() as records:
                known = records.versions.get(VersionKey(rollout.model, rollout.to_version))
            if known is not None:
                return known, snapshot.serving.policy
        version = self.registry.version(rollout.model, rollout.to_version)
        undecided = rollout.live_share and version.stage == VersionStage.REGISTERED
        if version.stage not in SERVABLE and not undecided:
            raise VersionUnusable(f"version {rollout.to_version} is {version.stage}; approve it first")
        manifest = version.file.manifest
        if (why := not_served(manifest.flavour, manifest.options)) is not None:
            raise VersionUnusable(f"version {rollout.to_version} cannot be served: {why}")
        policy = self.registry.policy(rollout.model)
        return version, policy.model_copy(update={"timeout_ms": policy.waiting_ms(manifest)})

    def _start(
        self, snapshot: Snapshot, rollout: Rollout, version: Version, policy: RolloutPolicy, gate: GatePolicy | None
    ) -> None:
        """gate: policy that gives the version a live share; None for an ordinary rollout."""
        serving = snapshot.serving
        # A route is never renamed, because clients depend on its name; policy.route applies to new models only.
        name = serving.route if serving else _route_name(rollout.model, policy)
        first = serving is None or serving.champion is None
        adaptive = not first and gate is None and _joins_vote(snapshot, rollout, version, policy)
        starts = adaptive and rollout.kind is Kind.START
        replaces = _replaced(snapshot, version) if starts else None
        champion = serving.champion if serving else None
        strategy = choose_strategy(rollout.asked_strategy, policy, first=first)
        started = replace(
            rollout,
            route=name,
            policy=policy,
            strategy=RolloutStrategy.FULL if adaptive else strategy,
            adaptive=adaptive,
            keeps_champion=starts and learner_of(version.file.manifest) is not None and replaces != champion,
            replaces=replaces,
            state=next_state(rollout.state, Signal.BEGIN),
            from_version=serving.champion if serving else None,
            reason=rollout.asked_reason,
            changed_at=self.clock(),
        )
        if gate is not None:
            started = begun(started, gate, self.clock())
        with self.store.write() as records:
            new = serving or Serving(rollout.model, name)
            records.serving.save(serving, replace(new, policy=policy))
            self._set_route(records, rollout, name, policy)
            records.versions.save(version)
            records.rollouts.save(rollout, started)
        log.info("rollout %s of %s version %s started", rollout.id, rollout.model, rollout.to_version)

    def _set_route(self, records: Records, rollout: Rollout, name: str, policy: RolloutPolicy) -> None:
        """Create the model's own route with its first rollout; later ones only update the timeout."""
        route = records.routes.get(name)
        if route is None:
            salt = derived_id("salt", name, rollout.id).hex[:16]
            spec = own_spec(rollout.model, policy.timeout_ms)
            records.routes.save(None, Route(name, rollout.model, salt=salt, spec=spec, own=True))
        elif not route.own or route.model != rollout.model:
            raise VersionUnusable(
                f"route {name} belongs to model {route.model}; set another route in the rollout policy"
            )
        elif route.spec != (spec := _with_timeout(route.specification, policy.timeout_ms)):
            records.routes.save(route, replace(route, spec=spec))

    def _note(self, rollout: Rollout, reason: str) -> bool:
        if rollout.reason != reason:
            with self.store.write() as records:
                records.rollouts.save(rollout, replace(rollout, reason=reason))
        return False

    def _end(self, rollout: Rollout, signal: Signal, reason: str, evidence: Mapping[str, float] | None = None) -> bool:
        state = next_state(rollout.state, signal)
        ended = replace(rollout, state=state, reason=reason, evidence=evidence or {}, changed_at=self.clock())
        with self.store.write() as records:
            records.rollouts.save(rollout, ended)
        log.warning("rollout %s of %s did not start: %s", rollout.id, rollout.model, reason)
        return True


def _weights_decide(snapshot: Snapshot, rollout: Rollout) -> bool:
    """Whether labels, not the evaluator's comparison, say which version answers: it votes, or has the most votes."""
    adaptive = snapshot.serving is not None and snapshot.serving.policy.strategy == "adaptive"
    return adaptive or (rollout.requested_by == DEPLOYER and rollout.asked_strategy is RolloutStrategy.FULL)


def _joins_vote(snapshot: Snapshot, rollout: Rollout, version: Version, policy: RolloutPolicy) -> bool:
    """Whether a rollout brings its version into a vote; one with a strategy of its own moves traffic as asked."""
    if policy.strategy != "adaptive" or not can_vote(version):
        return False
    if rollout.kind is Kind.START and rollout.asked_strategy is not None:
        return False
    champion = snapshot.serving.champion if snapshot.serving else None
    beside = snapshot.versions.get(VersionKey(rollout.model, champion)) if champion is not None else None
    return not why_not(version, beside)


def _replaced(snapshot: Snapshot, version: Version) -> int | None:
    """The member that is an older snapshot of the same online learner."""
    numbers = snapshot.vote.versions if snapshot.vote else ()
    members = [snapshot.versions.get(VersionKey(version.model, number)) for number in numbers]
    return same_learner(version, [member for member in members if member is not None])


def _route_name(model: str, policy: RolloutPolicy) -> str:
    """Return the policy's route in the workspace of the model; by default the name of the model."""
    if policy.route is None:
        return model
    return str(Reference(Reference.parse(model).workspace, policy.route))


def _with_timeout(spec: RouteSpec, timeout_ms: int) -> str:
    return documents.write(spec.model_copy(update={"timeout_ms": timeout_ms})).decode()
