"""Actions of operators on services, kept in the history of the default workspace."""

from typing import Final

from modelyard_contracts.references import DEFAULT_WORKSPACE
from modelyard_registry.domain.names import workspace_key
from modelyard_registry.domain.ports import Deps
from modelyard_registry.domain.values import Origin
from modelyard_registry.usecases.history import note

RESENT: Final = "dead_letters_resent"


def record_resend(deps: Deps, service: str, topic: str, through: int, origin: Origin) -> None:
    """Record that a person has dead letters of a service handled again. through: position of the newest one."""
    detail = {"service": service, "topic": topic, "through": through}
    with deps.storage.transaction() as unit:
        note(unit, unit.resources.lock(workspace_key(DEFAULT_WORKSPACE)), RESENT, origin, detail)
