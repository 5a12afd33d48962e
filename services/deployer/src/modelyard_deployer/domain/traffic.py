"""The table that routers get and the versions that must run, from the state of a route and its rollout."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

from modelyard_contracts import RolloutState as State
from modelyard_contracts import RouteTarget
from modelyard_deployer.domain.rollouts import Kind, Rollout
from modelyard_deployer.domain.routes import Route, Version
from modelyard_deployer.domain.steps import ALL
from modelyard_deployer.domain.workloads import Workload

HISTORY_LENGTH: Final = 20
STABLE: Final = "stable"
CANARY: Final = "canary"


def shares(route: Route, rollout: Rollout | None, workloads: Mapping[int, Workload]) -> dict[int, float]:
    """Version to share of traffic, adding up to 1; empty while nothing may serve yet.

    A new version without a ready replica has no share, whatever its step; the stable version gets the rest.
    """
    new = rollout if rollout and rollout.state in (State.SHIFTING, State.HOLDING) else None
    if new is None:
        return {route.champion: 1.0} if route.champion is not None else {}
    if new.weight_percent >= ALL or route.champion is None:
        return {new.to_version: 1.0}
    share = new.weight_percent / ALL if workloads.get(new.to_version, Workload()).ready else 0.0
    return {route.champion: 1.0 - share} | ({new.to_version: share} if share else {})


def targets(
    route: Route,
    rollout: Rollout | None,
    versions: Mapping[int, Version],
    workloads: Mapping[int, Workload],
) -> tuple[RouteTarget, ...] | None:
    """Targets of the table; empty when nothing may serve, None while a version of it has no address yet.

    A version without ready replicas keeps the addresses it was last published with until new ones answer: an empty
    list would turn a short gap into a refusal.
    """
    wanted = shares(route, rollout, workloads)
    last = {target.version: target.urls for target in route.targets}
    stable = max(wanted, key=lambda version: (version == route.champion, wanted[version]), default=None)
    made = []
    for version, share in wanted.items():
        urls = workloads.get(version, Workload()).urls or last.get(version, ())
        if not urls:
            return None
        made.append(
            RouteTarget(
                variant=STABLE if version == stable else CANARY,
                version=version,
                digest=versions[version].digest,
                weight=share,
                urls=urls,
                feature_schema_id=versions[version].manifest.feature_schema.id,
            )
        )
    return tuple(made)


def wanted_versions(route: Route | None, rollout: Rollout | None, now: datetime) -> set[int]:
    """Versions that must have replicas: champion, version being rolled out, previous version while kept warm."""
    wanted: set[int] = set()
    if route and route.champion is not None:
        wanted.add(route.champion)
    if rollout and rollout.active:
        wanted.add(rollout.to_version)
    if route and route.previous is not None and route.warm_until and now < route.warm_until:
        wanted.add(route.previous)
    return wanted


def after(route: Route, rollout: Rollout, now: datetime) -> Route:
    """The route after `rollout` ended: its champion, history, and how long the previous version stays warm."""
    if rollout.state not in (State.PROMOTED, State.ROLLED_BACK) or rollout.to_version == route.champion:
        return route
    others = tuple(version for version in route.history if version != rollout.to_version)
    if rollout.kind is Kind.ROLL_BACK:
        # A second roll-back must not return to the version just rolled back, so it is not kept ready either.
        older = route.history[: route.history.index(rollout.to_version)] if others != route.history else others
        return replace(route, champion=rollout.to_version, history=older, warm_until=None)
    history = (*others, route.champion) if route.champion is not None else others
    warm_until = now + timedelta(seconds=rollout.policy.keep_warm_s)
    return replace(route, champion=rollout.to_version, history=history[-HISTORY_LENGTH:], warm_until=warm_until)
