"""The API of the Hugging Face Hub, and of its mirrors."""

import re
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any, Final
from urllib.parse import quote

from modelyard.errors import ApiError
from modelyard_own.hubs.snapshot import Snapshot
from modelyard_own.origin import Origin
from modelyard_own.remote import GIT, Connection, RemoteFile, count, joined, records, text

MAX_PAGES: Final = 100
_NEXT: Final = re.compile(r'<([^>]+)>\s*;\s*rel="next"')


class HuggingFace:
    """Repositories of the Hub."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection

    def snapshot(self, repo: str, revision: str) -> Snapshot:
        """Resolve the revision to a commit and list its files."""
        info, _ = self.connection.json(f"{self._api(repo)}/revision/{quote(revision, safe='')}", repo)
        commit = text(info, "sha") if isinstance(info, Mapping) else ""
        if not re.fullmatch(r"[0-9a-f]{40}", commit):
            raise ApiError(0, "no_commit", f"{repo}: the hub names no commit of {revision}", "is it a model hub?")
        return Snapshot(repo, self._origin(repo, info, commit), tuple(self._files(repo, commit)), _moment(info))

    def url_of(self, snapshot: Snapshot, file: RemoteFile) -> str:
        """Address of a file at that commit; large files are redirected to another host."""
        return f"{self.connection.endpoint}/{quote(snapshot.repo)}/resolve/{snapshot.commit}/{quote(file.path)}"

    def _api(self, repo: str) -> str:
        return f"{self.connection.endpoint}/api/models/{quote(repo)}"

    def _origin(self, repo: str, info: Mapping[str, Any], commit: str) -> Origin:
        stated = info.get("cardData")
        card: Mapping[str, Any] = stated if isinstance(stated, Mapping) else {}
        license_ = joined(card, "license")
        return Origin(
            uri=f"{self.connection.endpoint}/{repo}",
            revision=commit,
            license=joined(card, "license_name") or license_ if license_ == "other" else license_,
            base_model=joined(card, "base_model"),
            gated=bool(info.get("gated")),
        )

    def _files(self, repo: str, commit: str) -> Iterator[RemoteFile]:
        url = f"{self._api(repo)}/tree/{commit}"
        parameters: Mapping[str, str] | None = {"recursive": "true", "expand": "false"}
        for _ in range(MAX_PAGES):
            found, headers = self.connection.json(url, repo, parameters)
            yield from (_file(entry) for entry in records(found) if entry.get("type") == "file")
            following = _NEXT.search(headers.get("link", ""))
            if following is None:
                return
            url, parameters = following[1], None
        raise ApiError(0, "too_large", f"{repo}: has more files than a model has", "import another repository")


def _file(entry: Mapping[str, Any]) -> RemoteFile:
    lfs = entry.get("lfs")
    if isinstance(lfs, Mapping):
        return RemoteFile(text(entry, "path"), count(lfs, "size"), f"sha256:{text(lfs, 'oid')}")
    return RemoteFile(text(entry, "path"), count(entry, "size"), f"{GIT}{text(entry, 'oid')}")


def _moment(info: Mapping[str, Any]) -> datetime | None:
    try:
        return datetime.fromisoformat(text(info, "lastModified"))
    except ValueError:
        return None
