"""The file that lists the versions which a shared process serves. The model server reads it again when it changes."""

import json
import os
from pathlib import Path
from typing import Any, Final
from uuid import UUID

from modelyard_deployer.domain.routes import Version
from modelyard_deployer.domain.workloads import VersionKey

SUFFIX: Final = ".members"


class MembersFiles:
    """`<host>.members` in `home`, replaced by atomic rename. One host is changed by one thread at a time."""

    def __init__(self, home: Path) -> None:
        self._home = home

    def file(self, host_id: UUID) -> Path:
        return self._home / f"{host_id}{SUFFIX}"

    def add(self, host_id: UUID, version: Version, folder: Path) -> None:
        """List a version; it takes the place of an earlier entry of the same version."""
        others = [one for one in self._read(host_id) if one["version"] != str(version.version)]
        own = {"version": str(version.version), "folder": str(folder.resolve()), "digest": version.digest}
        self._write(host_id, version.model, [*others, own])

    def remove(self, host_id: UUID, key: VersionKey) -> None:
        listed = self._read(host_id)
        others = [one for one in listed if one["version"] != str(key.version)]
        if others != listed:
            self._write(host_id, key.model, others)

    def _read(self, host_id: UUID) -> list[dict[str, Any]]:
        try:
            members: list[dict[str, Any]] = json.loads(self.file(host_id).read_bytes())["members"]
        except (
            OSError,
            ValueError,
            LookupError,
        ):  # not there yet, or damaged: missing members are started again
            return []
        return members

    def _write(self, host_id: UUID, model: str, members: list[dict[str, Any]]) -> None:
        file = self.file(host_id)
        before = file.stat().st_mtime_ns if file.exists() else 0
        temporary = file.with_suffix(".members-new")
        temporary.write_text(json.dumps({"model": model, "members": members}))
        if temporary.stat().st_mtime_ns <= before:  # the same tick of the clock: the server would not notice the change
            os.utime(temporary, ns=(before + 1, before + 1))
        temporary.replace(file)
