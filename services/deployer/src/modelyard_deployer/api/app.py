"""All endpoints of the deployer."""

from fastapi import FastAPI

from modelyard_deployer.api import rollouts, routes
from modelyard_deployer.domain.ports import Deps


def add_routes(app: FastAPI, deps: Deps) -> None:
    """Add every endpoint of the service."""
    app.include_router(rollouts.router(deps))
    app.include_router(routes.router(deps))
