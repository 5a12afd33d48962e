"""Connections of the models of providers that replicas here serve: one file per replica, which holds the key.

The model server gets no key in its environment or arguments. It reads the file again when it changes, so a changed
connection, or a rotated key, reaches a running replica with the next `refresh`.
"""

import logging
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Final
from uuid import UUID

from pydantic import ValidationError

from modelyard_contracts.connections import Connection, ConnectionAccess
from modelyard_contracts.external import connection_of
from modelyard_contracts.manifest import ModelManifest
from modelyard_deployer.domain.errors import RegistryUnavailable
from modelyard_runtime.provider_keys import ProviderKeys

SUFFIX: Final = ".connection"
FILE: Final = "access.json"
REFRESH_S: Final = 5.0
Read = Callable[[str], tuple[int, Connection | None]]
"""Revision and content of a connection by its reference, None if it was deleted; RegistryUnavailable."""
log = logging.getLogger(__name__)


class ConnectionFiles:
    """`<replica>.connection/access.json` in `home`. The folder holds nothing else, so that a replaced file is seen."""

    def __init__(self, home: Path, read: Read, keys: ProviderKeys) -> None:
        self._home, self._read, self._keys = home, read, keys
        self._known: dict[str, Connection | None] = {}

    @property
    def known(self) -> Mapping[str, Connection | None]:
        """Reference to the connection as it was read last, None if it was deleted; without those never read."""
        return self._known

    def file(self, replica_id: UUID, manifest: ModelManifest) -> Path | None:
        """The file of a replica, written anew; None for a version without a connection. OSError if the disk refuses."""
        reference = connection_of(manifest)
        if reference is None:
            return None
        file = self._home / f"{replica_id}{SUFFIX}" / FILE
        file.parent.mkdir(mode=0o700, exist_ok=True)
        _write(file, self._access(reference))
        return file.resolve()

    def refresh(self) -> None:
        """Rewrite the files whose connection or key has changed. While the registry does not answer, they stay."""
        fresh: dict[str, ConnectionAccess] = {}
        for file, before in self._existing():
            if before.name not in fresh:
                fresh[before.name] = self._access(before.name)
            after = fresh[before.name]
            if after != before:
                _write(file, after)
                log.info("the connection %s of a replica is now at revision %d", after.name, after.revision)

    def _access(self, reference: str) -> ConnectionAccess:
        try:
            revision, connection = self._read(reference)
        except RegistryUnavailable:
            known = next((access for _, access in self._existing() if access.name == reference), None)
            if known is None or known.connection is None:
                problem = "the registry does not answer, so its address is not known yet; try again"
                return ConnectionAccess(name=reference, problem=problem)
            revision, connection = known.revision, known.connection
        self._known[reference] = connection
        return self._keys.access(reference, revision, connection)

    def _existing(self) -> Iterator[tuple[Path, ConnectionAccess]]:
        for file in sorted(self._home.glob(f"*{SUFFIX}/{FILE}")):
            try:
                yield file, ConnectionAccess.model_validate_json(file.read_bytes())
            except (OSError, ValidationError):  # just removed, or of another release
                continue


def _write(file: Path, access: ConnectionAccess) -> None:
    """Replace the file at once; only this user may read it, from its first byte on."""
    new = file.with_suffix(".new")
    new.unlink(missing_ok=True)
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as opened:
        opened.write(access.model_dump_json())
    new.replace(file)
