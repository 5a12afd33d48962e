"""The API of ModelScope. A list of files states the commit that changed each; the newest of them is the snapshot's."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote, urlencode

from modelyard.errors import ApiError
from modelyard_own.hubs.snapshot import Snapshot
from modelyard_own.origin import Origin
from modelyard_own.remote import Connection, RemoteFile, count, joined, records, text


class ModelScope:
    """Repositories of ModelScope."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection

    def snapshot(self, repo: str, revision: str) -> Snapshot:
        """List the files of a revision, and describe the repository."""
        listed = self._data(repo, "/repo/files", {"Revision": revision, "Recursive": "True"})
        entries = [entry for entry in records(listed.get("Files")) if entry.get("Type") != "tree"]
        if not entries:
            raise ApiError(0, "empty", f"{repo}: has no file at the revision {revision}", "check --revision")
        newest = max(entries, key=lambda entry: count(entry, "CommittedDate"))
        commit, changed_s = text(newest, "Revision"), count(newest, "CommittedDate")
        if not re.fullmatch(r"[0-9a-f]{40}", commit):
            raise ApiError(0, "no_commit", f"{repo}: the hub names no commit of {revision}", "is it a model hub?")
        info = self._data(repo, "", {"Revision": revision})
        origin = Origin(
            uri=f"{self.connection.endpoint}/models/{repo}",
            revision=commit,
            license=joined(info, "License"),
            base_model=joined(info, "BaseModel"),
            gated=bool(info.get("ApprovalMode")),
        )
        return Snapshot(repo, origin, tuple(map(_file, entries)), _moment(changed_s))

    def url_of(self, snapshot: Snapshot, file: RemoteFile) -> str:
        """Address of a file at that commit."""
        query = urlencode({"Revision": snapshot.commit, "FilePath": file.path})
        return f"{self._api(snapshot.repo)}/repo?{query}"

    def _api(self, repo: str) -> str:
        return f"{self.connection.endpoint}/api/v1/models/{quote(repo)}"

    def _data(self, repo: str, path: str, parameters: Mapping[str, str]) -> Mapping[str, Any]:
        """`Data` of an answer; failures have a `Code` in an answer with status 200."""
        found, _ = self.connection.json(f"{self._api(repo)}{path}", repo, parameters)
        if not isinstance(found, Mapping) or found.get("Code") != 200 or not isinstance(found.get("Data"), Mapping):
            said = text(found, "Message") if isinstance(found, Mapping) else ""
            raise ApiError(0, "refused", f"{repo}: refused", said or "no such repository or revision; check the name")
        data: Mapping[str, Any] = found["Data"]
        return data


def _moment(seconds: int) -> datetime | None:
    """A time of the hub; None if it states none, or one that no calendar has."""
    try:
        return datetime.fromtimestamp(seconds, UTC) if seconds else None
    except (OverflowError, ValueError, OSError):
        return None


def _file(entry: Mapping[str, Any]) -> RemoteFile:
    return RemoteFile(text(entry, "Path"), count(entry, "Size"), f"sha256:{text(entry, 'Sha256')}")
