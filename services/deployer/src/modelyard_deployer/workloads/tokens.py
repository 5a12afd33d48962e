"""Tokens of the model servers."""

from dataclasses import dataclass
from pathlib import Path

from modelyard_contracts.keyring import KeyRingFile


@dataclass(frozen=True)
class ServingTokens:
    """Tokens that model servers accept."""

    fixed: str
    """Derived from the admin key, for deployments without a key ring; empty if unset."""
    file: Path | None = None
    ring: KeyRingFile | None = None

    def current(self) -> str:
        """The token to send."""
        return self.ring.ring.current.value if self.ring else self.fixed

    def environment(self) -> dict[str, str]:
        """Environment variables of a model server."""
        found = {"MODELYARD_SERVING_TOKEN": self.fixed} if self.fixed else {}
        return found | ({"SERVING_TOKEN_FILE": str(self.file.resolve())} if self.file else {})
