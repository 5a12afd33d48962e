"""Who a change is made by, and what a caller may see."""

from modelyard_registry.domain.names import key_of
from modelyard_registry.domain.values import ResourceKey
from modelyard_runtime.access import Principal, Target, may


def actor_of(principal: Principal, claimed: str | None) -> str:
    """Only a service or the bootstrap administrator acts on behalf of another identity."""
    return claimed if claimed and principal.kind != "user" else principal.identity


def can_read(principal: Principal, key: ResourceKey) -> bool:
    return may(principal, "read", Target(key.workspace, key.kind, key.name)).allowed


def cursor(kind: str, after: str) -> ResourceKey | None:
    """The resource after which a page starts; None for the first page."""
    return key_of(kind, after, field="after") if after else None
