"""Tokens of the model servers."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from modelyard_contracts.keyring import KeyRingFile

RING: Final = "serving-tokens"


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

    def environment(self, folder: Path) -> dict[str, str]:
        """Environment variables of a model server; of our files it reads only the key ring's copy in `folder`."""
        found = {"MODELYARD_SERVING_TOKEN": self.fixed} if self.fixed else {}
        copy = self.refresh(folder)
        return found | ({"SERVING_TOKEN_FILE": str(copy)} if copy else {})

    def refresh(self, folder: Path) -> Path | None:
        """Copy the key ring to `folder`, which holds nothing else, if it has changed; None without a key ring."""
        if self.file is None:
            return None
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        copy = folder.resolve() / RING
        content = self.file.read_bytes()
        if not copy.exists() or copy.read_bytes() != content:
            temporary = folder.parent / f"{RING}.new"
            temporary.touch(mode=0o600)
            temporary.write_bytes(content)
            temporary.replace(copy)
        return copy
