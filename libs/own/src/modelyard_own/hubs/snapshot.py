"""A repository of a hub at one commit."""

from dataclasses import dataclass
from datetime import datetime

from modelyard_own.origin import Origin
from modelyard_own.remote import RemoteFile


@dataclass(frozen=True)
class Snapshot:
    """A repository at one commit. made_at: time of the commit, if the hub states it."""

    repo: str
    origin: Origin
    files: tuple[RemoteFile, ...]
    made_at: datetime | None = None

    @property
    def commit(self) -> str:
        return self.origin.revision
