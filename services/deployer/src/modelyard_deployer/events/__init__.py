"""Topics in: one event, one use case."""

from modelyard_deployer.events.handlers import handle, handlers

__all__ = ["handle", "handlers"]
