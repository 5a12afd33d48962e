"""Keys of providers of models, for the processes that call them: found by the name that a connection states.

Only keys in the operator's folder, or variables that the operator listed, are available. Otherwise a caller who may
change a connection could have any environment variable of this service sent to an address of their choice.
"""

import os
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from modelyard_contracts.connections import Connection, ConnectionAccess

MAX_KEY_BYTES = 16 << 10


class KeyMissing(Exception):
    """There is no such key here; the text has the remedy."""


@dataclass(frozen=True)
class ProviderKeys:
    """folder: one file per key, named like it. listed: environment variables that are available as keys."""

    folder: Path | None = None
    listed: Collection[str] = ()
    environment: Mapping[str, str] = field(default_factory=lambda: os.environ, repr=False)

    def value(self, name: str) -> str:
        """The key of this name, as it is now; KeyMissing without one."""
        found = self._in_folder(name)
        if found is None and name in self.listed:
            found = self.environment.get(name)
        if found is None or not found.strip():
            where = "PROVIDER_KEYS_DIR, which is not set" if self.folder is None else str(self.folder / name)
            raise KeyMissing(
                f"there is no key for the secret {name} here; write it to the file {where}, or list the environment "
                "variable in PROVIDER_KEYS"
            )
        return found.strip()

    def access(self, name: str, revision: int, connection: Connection | None) -> ConnectionAccess:
        """A connection with its key, for the process that calls; without one, `problem` says why."""
        known = {"name": name, "revision": revision, "connection": connection}
        try:
            key = self.value(connection.secret) if connection is not None and connection.secret else ""
        except KeyMissing as error:
            return ConnectionAccess.model_validate({**known, "problem": str(error)})
        return ConnectionAccess.model_validate({**known, "key": key})

    def _in_folder(self, name: str) -> str | None:
        try:
            data = (self.folder / name).read_bytes() if self.folder is not None else None
        except OSError:
            return None
        if data is None or len(data) > MAX_KEY_BYTES:
            return None
        return data.decode("utf-8", "replace")
