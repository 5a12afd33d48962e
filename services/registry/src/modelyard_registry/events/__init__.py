"""Topics: one event, one use case."""

from modelyard_registry.events.handlers import GROUP, handlers

__all__ = ["GROUP", "handlers"]
