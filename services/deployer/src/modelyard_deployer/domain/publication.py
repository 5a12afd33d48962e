"""The event that publishes a route."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache

from modelyard_contracts import RoutePublished, derived_id, documents
from modelyard_contracts.routes import RoutePlan, VersionLeaf, walk
from modelyard_deployer.domain.rollouts import Rollout
from modelyard_deployer.domain.routes import Route, Version
from modelyard_deployer.domain.workloads import VersionKey


@dataclass(frozen=True)
class Cause:
    """Why a route is published."""

    reason: str
    rollout: Rollout | None = None


def leaves_of(plan: str) -> dict[VersionKey, VersionLeaf]:
    """Leaves of a published plan by version."""
    if not plan:
        return {}
    return {VersionKey(leaf.model, leaf.version): leaf for leaf in _leaves(plan)}


@lru_cache(maxsize=1_024)
def _leaves(plan: str) -> tuple[VersionLeaf, ...]:
    """Every round of the reconciler asks for the leaves of all routes of a model, most of which are unchanged."""
    root = documents.read(RoutePlan, plan).root
    return tuple(node for _, node in walk(root) if isinstance(node, VersionLeaf))


def publication(route: Route, versions: Mapping[VersionKey, Version], cause: Cause, at: datetime) -> RoutePublished:
    """The event for the plan and sequence of `route`."""
    rollout = cause.rollout
    known = [versions[key] for key in leaves_of(route.plan)]
    manifests = {version.file.manifest.feature_schema_id: version.file.manifest for version in known}
    return RoutePublished(
        event_id=derived_id("route", route.name, route.sequence),
        occurred_at=at,
        correlation_id=rollout.correlation_id if rollout else derived_id("route", route.name),
        cause_id=derived_id("rollout", rollout.id, rollout.revision) if rollout else None,
        route=route.name,
        model=route.model,
        sequence=route.sequence,
        salt=route.salt,
        plan=route.plan,
        signatures={key: documents.write(manifest.signature).decode() for key, manifest in manifests.items()},
        timeout_ms=route.specification.timeout_ms,
        rollout_id=rollout.id if rollout else None,
        reason=cause.reason,
    )
