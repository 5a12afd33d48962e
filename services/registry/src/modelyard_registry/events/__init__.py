"""Events of other services that the registry reads."""

from modelyard_registry.events.handlers import handlers

__all__ = ["handlers"]
