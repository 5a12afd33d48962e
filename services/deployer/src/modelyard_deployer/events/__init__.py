"""Event handlers: one event, one use case."""

from modelyard_deployer.events.handlers import Event, handle, handlers

__all__ = ["Event", "handle", "handlers"]
