"""HTTP in: rollouts, routes and replicas."""

from modelyard_deployer.api.app import add_routes

__all__ = ["add_routes"]
