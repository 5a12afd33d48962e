"""HTTP in: rollouts, routes and replicas."""

from fastapi import FastAPI

from modelyard_deployer.api.rollouts import add_rollouts
from modelyard_deployer.api.routes import add_routes as add_published_routes
from modelyard_deployer.domain.ports import Deps


def add_routes(app: FastAPI, deps: Deps) -> None:
    """Add every endpoint of the service."""
    add_rollouts(app, deps)
    add_published_routes(app, deps)
