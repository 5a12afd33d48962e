"""Facts about a request that a plan may ask for."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(slots=True)
class Facts:
    """Missing facts are None or absent."""

    request_id: str
    """The prediction id; the unit of a split when the request has no other."""
    entity: str | None = None
    session: str | None = None
    workspace: str = "default"
    text_length: int | None = None
    """Characters of the request's texts."""
    headers: Mapping[str, str] = field(default_factory=dict)
    """By lower-case name."""
    features: Mapping[str, Any] = field(default_factory=dict)
    """By column name."""

    def get(self, name: str) -> Any:
        """The value of a fact by its name in conditions, such as `header:x-tier`; None when it is missing."""
        source, _, key = name.partition(":")
        if source == "header":
            return self.headers.get(key.lower())
        if source == "feature":
            return self.features.get(key)
        return getattr(self, source)

    def unit(self, kind: str) -> str:
        """The value that a split hashes: entity, session or request."""
        if kind == "entity":
            return self.entity or self.request_id
        if kind == "session":
            return self.session or self.request_id
        return self.request_id
