"""Answers of real services, recorded once and replayed: the same pages with the same data on every machine.

`python -m services.console.tests.browser.record` records them again from a running stack; see record.py.
"""

import gzip
import json
import queue
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qsl, urlencode
from zlib import crc32

import httpx

RECORDING: Final = Path(__file__).with_name("recording.json.gz")
SERVICES: Final = ("registry", "trainer", "evaluator", "deployer", "router", "monitor")
HOSTILE: Final = (
    '<script>document.title="hit"</script><img src=x onerror=alert(1)> "q" \' & größe \N{RIGHT-TO-LEFT OVERRIDE}abc'
    + "w" * 60
)
CODES: Final = frozenset(
    {
        *(
            "state",
            "stage",
            "verdict",
            "scan_verdict",
            "change",
            "task",
            "kind",
            "type",
            "strategy",
            "action",
            "severity",
            "metric",
            "test",
            "trigger",
        ),
        *(
            "previous_stage",
            "rows_from",
            "flavour",
            "output",
            "input",
            "sort",
            "status",
            "answer",
            "dtype",
            "media_type",
            "endpoint",
            "secret",
            "currency",
        ),
    }
)
"""Fields that hold constants or have a fixed form; all others may be any text of a person."""


def key_of(service: str, request: httpx.Request) -> str:
    """Name of an answer: service, method, path and the parameters in order."""
    query = urlencode(sorted(parse_qsl(request.url.query.decode())))
    return f"{service} {request.method} {request.url.path}" + (f"?{query}" if query else "")


@dataclass
class Recording:
    """Answers by key, and the moment at which they were given."""

    at: datetime
    answers: dict[str, dict[str, Any]] = field(default_factory=dict)

    @classmethod
    def load(cls, path: Path = RECORDING) -> "Recording":
        found = json.loads(gzip.decompress(path.read_bytes()))
        return cls(datetime.fromisoformat(found["at"]), found["answers"])

    def save(self, path: Path = RECORDING) -> None:
        text = json.dumps({"at": self.at.isoformat(), "answers": self.answers}, sort_keys=True)
        path.write_bytes(gzip.compress(text.encode(), mtime=0))


class Recorder(httpx.BaseTransport):
    """Passes calls on and keeps the answers."""

    def __init__(self, service: str, recording: Recording, inner: httpx.BaseTransport) -> None:
        self._service, self._recording, self._inner = service, recording, inner

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        answer = self._inner.handle_request(request)
        if request.url.path != "/v1/changes":
            answer.read()
            kept = {"status": answer.status_code, "type": answer.headers.get("content-type", ""), "text": answer.text}
            if digest := answer.headers.get("x-modelyard-digest"):
                kept["digest"] = digest
            self._recording.answers[key_of(self._service, request)] = kept
        return answer


class Feed(httpx.SyncByteStream):
    """A change feed: silent until something is pushed, open until the end of the test."""

    def __init__(self, pushed: "queue.SimpleQueue[bytes | None]") -> None:
        self._pushed = pushed

    def __iter__(self) -> Iterator[bytes]:
        yield b": nothing yet\n\n"
        while (chunk := self._pushed.get()) is not None:
            yield chunk


@dataclass
class Replay:
    """Replays a recording. away: services that do not answer. hostile: texts of people are replaced by HOSTILE.

    on_action: answers what is not GET, from the request; None: 204.
    """

    recording: Recording
    away: set[str] = field(default_factory=set)
    hostile: bool = False
    on_action: Callable[[httpx.Request], httpx.Response | None] | None = None
    sent: list[httpx.Request] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    feeds: dict[str, "queue.SimpleQueue[bytes | None]"] = field(
        default_factory=lambda: {name: queue.SimpleQueue() for name in SERVICES}
    )

    def push(self, service: str, type_: str, **data: Any) -> None:
        """Report a change to those who follow a service."""
        self.feeds[service].put(f"event: {type_}\nid: 1\ndata: {json.dumps(data)}\n\n".encode())

    def end(self) -> None:
        """End all feeds."""
        for feed in self.feeds.values():
            feed.put(None)

    def transport(self, service: str) -> httpx.MockTransport:
        return httpx.MockTransport(lambda request: self._answer(service, request))

    def _answer(self, service: str, request: httpx.Request) -> httpx.Response:
        if service in self.away:
            raise httpx.ConnectError("connection refused")
        if request.url.path == "/v1/changes":
            return httpx.Response(200, stream=Feed(self.feeds[service]))
        if request.method not in ("GET", "HEAD"):
            self.sent.append(request)
            return (self.on_action and self.on_action(request)) or httpx.Response(204)
        found = self.recording.answers.get(key_of(service, request))
        if found is None:
            self.missing.append(key_of(service, request))
            problem = {"title": "Not Found", "code": "not_found", "detail": "this was not recorded"}
            return httpx.Response(404, json=problem)
        return self._replayed(found)

    def _replayed(self, found: dict[str, Any]) -> httpx.Response:
        headers = {"content-type": found["type"]}
        if "digest" in found:  # the client checks the digest of these bytes
            return httpx.Response(
                found["status"], text=found["text"], headers={**headers, "x-modelyard-digest": found["digest"]}
            )
        text = found["text"]
        if self.hostile and "json" in found["type"]:
            text = json.dumps(poisoned(json.loads(text)))
        return httpx.Response(found["status"], text=text, headers=headers)


def poisoned(value: Any, name: str = "") -> Any:
    """The same document with every text of people replaced. Ids, digests, times and constants stay.

    Equal texts stay equal and different ones different, such as the names of classes and columns.
    """
    if isinstance(value, dict):
        return {key: poisoned(item, key) for key, item in value.items()}
    if isinstance(value, list):
        return [poisoned(item, name) for item in value]
    if isinstance(value, str) and value and _is_text(name, value):
        return f"{HOSTILE} {crc32(value.encode())}"
    return value


def _is_text(name: str, value: str) -> bool:
    if (
        name in CODES
        or name.endswith(("_id", "_at", "digest", "url", "from", "until", "after"))
        or name in ("at", "id", "since")
    ):
        return False
    return not (value[:4].isdigit() and "T" in value)
