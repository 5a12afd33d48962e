"""Plans of the routes that carry a model, from the state computed in the current round."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from modelyard_contracts import documents
from modelyard_contracts.manifest import Price
from modelyard_contracts.routes import VersionLeaf
from modelyard_deployer.domain.expansion import NotReady, expand
from modelyard_deployer.domain.membership import lead
from modelyard_deployer.domain.ports import PriceOf, Workloads
from modelyard_deployer.domain.publication import leaves_of
from modelyard_deployer.domain.routes import Route, Version
from modelyard_deployer.domain.snapshot import ModelState
from modelyard_deployer.domain.traffic import shares, variant
from modelyard_deployer.domain.votes import Ballot, ballot
from modelyard_deployer.domain.workloads import VersionKey, Workload


@dataclass(frozen=True)
class Plans:
    """States and versions of all models that the routes may carry."""

    states: Mapping[str, ModelState]
    versions: Mapping[VersionKey, Version]
    workloads: Workloads
    replicas: int
    price_of: PriceOf

    def planned(self, route: Route) -> Route:
        """Return the route with its new plan; with the previous plan and a `problem` if a leaf is not ready.

        The plan is emptied when no version of the route's own model may serve any more.
        """
        leaves = _Leaves(self, leaves_of(route.plan))
        try:
            plan = documents.write(expand(route.specification, leaves)).decode()
        except NotReady as error:
            unserved = route.own and not leaves.shares(route.model)
            return replace(route, problem=str(error), plan="" if unserved else route.plan)
        return replace(route, problem="", plan=plan)


@dataclass(frozen=True)
class _Leaves:
    plans: Plans
    published: Mapping[VersionKey, VersionLeaf]

    def shares(self, model: str) -> dict[int, float]:
        return shares(self._state(model), lambda version: self._ready(model, version))

    def ballot(self, model: str) -> Ballot | None:
        state = self._state(model)
        leading = lead(state.serving, state.active)
        known = self.plans.versions.get(VersionKey(model, leading)) if leading is not None else None
        if state.vote is None or state.serving is None or leading is None or known is None:
            return None
        if leading not in self.shares(model):  # a rollout moved all traffic to another version
            return None
        return ballot(
            state.vote,
            leading,
            lambda version: bool(self._observe(model, version).urls),
            state.serving.policy,
            classifies=known.file.manifest.signature.output.task.classifies,
        )

    def variant(self, model: str, version: int) -> str:
        return variant(self._state(model), version, self.shares(model))

    def leaf(self, model: str, version: int) -> VersionLeaf:
        """A version without ready replicas keeps its last published addresses until a replica is ready.

        Without addresses the route could not be published during a short restart.
        """
        key = VersionKey(model, version)
        known, last = self.plans.versions.get(key), self.published.get(key)
        urls = self.plans.workloads.observe(key, self.plans.replicas).urls or (last.urls if last else ())
        if known is None or not urls:
            raise NotReady(f"version {version} of {model} has no ready replica yet")
        manifest = known.file.manifest
        return VersionLeaf(
            model=model,
            version=version,
            digest=known.digest,
            urls=urls,
            feature_schema_id=manifest.feature_schema_id,
            price=self._price(known, last),
        )

    def _price(self, version: Version, last: VersionLeaf | None) -> Price:
        """The price now; while it is not known, the one published last."""
        found = self.plans.price_of(version)
        if found is not None:
            return found
        return last.price if last else version.file.manifest.price

    def _ready(self, model: str, version: int) -> bool:
        return self._observe(model, version).ready

    def _observe(self, model: str, version: int) -> Workload:
        return self.plans.workloads.observe(VersionKey(model, version), self.plans.replicas)

    def _state(self, model: str) -> ModelState:
        return self.plans.states.get(model, ModelState())
