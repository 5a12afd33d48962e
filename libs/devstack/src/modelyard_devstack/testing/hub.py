"""A model hub on loopback with the API shapes of Hugging Face and ModelScope, and faults to order.

Large files are redirected to a second server, as hubs do it. No emulator of a package cuts connections or sends wrong
bytes, and both matter here.
"""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import parse_qs, unquote, urlsplit

from modelyard_devstack.testing.emulators import JsonHandler, served

COMMIT: Final = "0123456789abcdef0123456789abcdef01234567"
COMMITTED_AT: Final = "2026-01-02T03:04:05.000Z"
COMMITTED_S: Final = 1_767_323_045
LFS_BYTES: Final = 10_000
"""Files from this size on are large: they have a SHA-256 and are redirected."""
PIECE: Final = 1 << 16


@dataclass
class Repo:
    """One repository. files: by path. gated: readable with the token only."""

    files: dict[str, bytes] = field(default_factory=dict)
    card: dict[str, Any] = field(default_factory=dict)
    gated: bool = False


@dataclass
class Call:
    """A request that arrived. host: `hub`, or `cdn` for the server of large files."""

    host: str
    path: str
    headers: dict[str, str]


@dataclass
class FakeHub:
    """The servers' content, faults and log. Every fault is counted down as it happens."""

    repos: dict[str, Repo] = field(default_factory=dict)
    token: str = "hub-token"  # noqa: S105  of the emulator
    url: str = ""
    cdn_url: str = ""
    calls: list[Call] = field(default_factory=list)
    cuts: int = 0
    """Downloads whose connection ends in mid-file."""
    cut_at: float = 0.5
    """Share of what was asked for that arrives before the cut."""
    wrong: int = 0
    """Downloads that send other bytes."""
    busy: int = 0
    """Calls that are answered with 503."""
    ranges: bool = True
    """Whether parts of files can be asked for."""
    page_files: int = 1_000
    """Files per page of a list."""

    def downloads(self, path: str) -> list[Call]:
        """Requests for the bytes of a file, without those that were redirected."""
        large = any(len(repo.files.get(path, b"")) >= LFS_BYTES for repo in self.repos.values())
        return [call for call in self.calls if path in unquote(call.path) and call.host == ("cdn" if large else "hub")]


@contextmanager
def fake_hub(**repos: Repo) -> Iterator[FakeHub]:
    """Serve repositories until the end of the block; the first `__` of a name is its slash."""
    hub = FakeHub({name.replace("__", "/", 1): repo for name, repo in repos.items()})
    with served(_Handler, hub=hub, host="hub") as url, served(_Handler, hub=hub, host="cdn") as cdn_url:
        hub.url, hub.cdn_url = url, cdn_url
        yield hub


class _Handler(JsonHandler):
    hub: FakeHub
    host: str

    def do_GET(self) -> None:
        hub, url = self.hub, urlsplit(self.path)
        hub.calls.append(Call(self.host, self.path, {name.lower(): value for name, value in self.headers.items()}))
        if hub.busy > 0:
            hub.busy -= 1
            self.answer(503, {})
        elif self.host == "cdn":
            repo, _, path = unquote(url.path)[1:].partition("//")
            self._send(hub.repos[repo].files[path])
        elif url.path.startswith("/api/v1/models/"):
            self._modelscope(unquote(url.path).removeprefix("/api/v1/models/"), parse_qs(url.query))
        elif url.path.startswith("/api/models/"):
            self._describe(unquote(url.path).removeprefix("/api/models/"), parse_qs(url.query))
        else:
            repo, _, rest = unquote(url.path)[1:].partition("/resolve/")
            self._file(repo, rest.partition("/")[2])

    def _repo(self, name: str) -> Repo | None:
        """The repository, unless it is missing or gated, which is answered."""
        repo = self.hub.repos.get(name)
        allowed = self.headers.get("authorization") == f"Bearer {self.hub.token}"
        if repo is None:
            self.answer(404 if allowed else 401, {"error": "missing"}, {"x-error-code": "RepoNotFound"})
        elif repo.gated and not allowed:
            self.answer(401, {"error": "gated"}, {"x-error-code": "GatedRepo"})
            return None
        return repo

    def _describe(self, path: str, query: dict[str, list[str]]) -> None:
        name, _, revision = path.partition("/revision/")
        if revision:
            repo = self._repo(name)
            if repo is not None and revision in ("main", COMMIT):
                gated = "manual" if repo.gated else False
                info = {"id": name, "sha": COMMIT, "gated": gated, "cardData": repo.card, "lastModified": COMMITTED_AT}
                self.answer(200, info)
            elif repo is not None:
                self.answer(404, {"error": "no revision"}, {"x-error-code": "RevisionNotFound"})
            return
        name = path.partition("/tree/")[0]
        if (repo := self._repo(name)) is not None:
            start = int(query.get("cursor", ["0"])[0])
            entries = [_hf_entry(file, data) for file, data in repo.files.items()][start:]
            more = len(entries) > self.hub.page_files
            link = f"{self.hub.url}/api/models/{path}?cursor={start + self.hub.page_files}"
            self.answer(200, entries[: self.hub.page_files], {"link": f'<{link}>; rel="next"'} if more else {})

    def _modelscope(self, path: str, query: dict[str, list[str]]) -> None:
        name = "/".join(path.split("/")[:2])
        repo = self.hub.repos.get(name)
        if repo is None:
            self.answer(200, {"Code": 10010205001, "Success": False, "Message": "the model does not exist"})
        elif path.endswith("/repo/files"):
            files = [_modelscope_entry(file, data) for file, data in repo.files.items()]
            self.answer(200, {"Code": 200, "Success": True, "Data": {"Files": files}})
        elif path.endswith("/repo"):
            self._file(name, query["FilePath"][0])
        else:
            described = {"License": repo.card.get("license", ""), "BaseModel": [], "ApprovalMode": int(repo.gated)}
            self.answer(200, {"Code": 200, "Success": True, "Data": described})

    def _file(self, name: str, path: str) -> None:
        repo = self._repo(name)
        if repo is None:
            return
        if path not in repo.files:
            self.answer(404, {}, {"x-error-code": "EntryNotFound"})
        elif len(repo.files[path]) >= LFS_BYTES:
            self.answer(302, {}, {"location": f"{self.hub.cdn_url}/{name}//{path}"})
        else:
            self._send(repo.files[path])

    def _send(self, data: bytes) -> None:
        start = int(self.headers.get("range", "bytes=0-")[6:-1]) if self.hub.ranges else 0
        wrong, cut = self.hub.wrong > 0, self.hub.cuts > 0
        self.hub.wrong, self.hub.cuts = max(self.hub.wrong - 1, 0), max(self.hub.cuts - 1, 0)
        body = memoryview(bytes(len(data)) if wrong else data)[start:]
        self.send_response(206 if start else 200)
        self.send_header("content-length", str(len(body)))
        if start:
            self.send_header("content-range", f"bytes {start}-{len(data) - 1}/{len(data)}")
        self.end_headers()
        end = int(len(body) * self.hub.cut_at) if cut else len(body)
        for place in range(0, end, PIECE):
            self.wfile.write(body[place : min(place + PIECE, end)])
        self.close_connection = True


def _hf_entry(path: str, data: bytes) -> dict[str, Any]:
    blob = hashlib.sha1(b"blob %d\0" % len(data), usedforsecurity=False)
    blob.update(data)
    entry = {"type": "file", "oid": blob.hexdigest(), "size": len(data), "path": path}
    if len(data) < LFS_BYTES:
        return entry
    return entry | {"lfs": {"oid": hashlib.sha256(data).hexdigest(), "size": len(data), "pointerSize": 134}}


def _modelscope_entry(path: str, data: bytes) -> dict[str, Any]:
    name, digest = path.rpartition("/")[2], hashlib.sha256(data).hexdigest()
    facts = {"Name": name, "Path": path, "Type": "blob", "Size": len(data), "Sha256": digest}
    return facts | {"Revision": COMMIT, "CommittedDate": COMMITTED_S}
