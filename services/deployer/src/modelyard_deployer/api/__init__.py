"""HTTP endpoints: rollouts, routes, votes, replicas and their change feed."""

from uuid import UUID

from fastapi import FastAPI

from modelyard_deployer.api.rollouts import add_rollouts, shown
from modelyard_deployer.api.routes import add_replicas
from modelyard_deployer.api.routes import add_routes as add_route_endpoints
from modelyard_deployer.api.views import RolloutView, RouteView
from modelyard_deployer.api.votes import add_votes
from modelyard_deployer.domain.ports import Deps
from modelyard_runtime.changes import ChangeSource
from modelyard_runtime.http.changes import add_change_feed


def add_routes(app: FastAPI, deps: Deps, changes: ChangeSource) -> None:
    """Add every endpoint of the service."""
    add_rollouts(app, deps)
    add_route_endpoints(app, deps)
    add_replicas(app, deps)
    add_votes(app, deps)

    def rollout(subject: str) -> RolloutView | None:
        with deps.store.read() as records:
            found = records.rollouts.get(UUID(subject))
            return shown(deps, found) if found else None

    def route(subject: str) -> RouteView | None:
        with deps.store.read() as records:
            found = records.routes.get(subject)
            return RouteView.of(records, found) if found and not found.deleted else None

    add_change_feed(app, changes, "rollout", {"rollout": rollout, "route": route})
