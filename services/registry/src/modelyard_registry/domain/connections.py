"""Connections to providers: resources without versions, replaced as a whole by compare and swap."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Protocol

from modelyard_registry.domain.values import Origin, Resource, ResourceKey
from modelyard_runtime.errors import Conflict

MAX_USERS: Final = 20
"""Versions that an answer or a refusal names."""


@dataclass(frozen=True)
class StoredConnection:
    """The newest revision of a connection."""

    key: ResourceKey
    revision: int
    document: dict[str, Any] | None
    """None: it was deleted; its revision continues."""
    changed_at: datetime
    changed_by: str


class Connections(Protocol):
    """Connections by resource; writes under the lock of the resource."""

    def get(self, resource: Resource) -> StoredConnection | None: ...  # also a deleted one
    def save(self, resource: Resource, revision: int, document: dict[str, Any] | None, origin: Origin) -> None: ...
    def page(
        self, after: ResourceKey | None, limit: int, workspaces: Collection[str] | None
    ) -> Sequence[StoredConnection]: ...  # by workspace and name, without deleted ones; workspaces None: all


class StaleConnection(Conflict):
    """Another change of the connection came first."""

    code = "stale_connection"

    def __init__(self, key: ResourceKey, expected: int, current: int) -> None:
        now = f"is at revision {current}" if current else "does not exist (revision 0)"
        super().__init__(
            f"the connection {key.reference} {now}, not at {expected}; read it again, then decide again",
            field="expected_revision",
        )
        self.current = current


class ConnectionInUse(Conflict):
    """Versions name the connection."""

    code = "connection_in_use"

    def __init__(self, key: ResourceKey, users: Sequence[str]) -> None:
        named = ", ".join(users[:MAX_USERS]) + (" and more" if len(users) > MAX_USERS else "")
        super().__init__(
            f"the connection {key.reference} is used by {named}", remedy="retire these versions first, then delete it"
        )
