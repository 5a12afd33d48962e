"""A provider of models on loopback, by the rules of OpenAI: chats, embeddings, and every way to misbehave."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from modelyard_contracts.documents import digest_of, write
from modelyard_contracts.external import ConnectedModel
from modelyard_contracts.manifest import FileEntry, ModelManifest, Permissions, TrainingLineage
from modelyard_contracts.signature import Column, ColumnType, Output, Signature, Task, new_schema_id
from modelyard_devstack.testing.emulators import JsonHandler, served

KEY: Final = "sk-live-0123456789-abcdefghij"
"""The key that it accepts."""
DIMENSION: Final = 3


@dataclass
class FakeProvider:
    """Answers a chat with the words of its last message, one per piece; a text with [length, 1, 0].

    status: of every answer, with `headers` and `body`, instead of an answer. raw: sent with 200 instead of an answer.
    stall_after: pieces after which it stops to send. usage: whether it reports tokens.
    """

    url: str = ""
    key: str = KEY
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: Any = field(default_factory=lambda: {"error": {"message": "as the test asks"}})
    raw: bytes | None = None
    raw_type: str = "text/event-stream"
    stall_after: int | None = None
    streams: bool = True
    usage: bool = True
    calls: list[dict[str, Any]] = field(default_factory=list)
    """Bodies of the requests, with the path as `path`."""
    running: int = 0
    most_running: int = 0
    released: threading.Event = field(default_factory=threading.Event)
    """Ends what stalls."""
    lock: threading.Lock = field(default_factory=threading.Lock)


def bought_manifest(folder: Path, connection: str, task: Task = Task.TEXT, **options: str) -> ModelManifest:
    """A version of the model `small-1`, whose file is written to `folder`."""
    data = write(ConnectedModel(model="small-1"))
    (folder / "api.json").write_bytes(data)
    output = Output(task=task, name="answer", dimension=DIMENSION if task is Task.EMBEDDING else None)
    signature = Signature(input="text", columns=(Column(name="text", type=ColumnType.TEXT),), output=output)
    return ModelManifest(
        model="help",
        task=task,
        flavour="external-api",
        files=(FileEntry(path="api.json", digest=digest_of(data), size_bytes=len(data)),),
        signature=signature,
        feature_schema_id=new_schema_id(signature),
        training=TrainingLineage(recipe="bought"),
        options={"model": "api.json", "connection": connection, **options},
        permissions=Permissions(network=True, reason="contract 7"),
    )


@contextmanager
def fake_provider(**facts: Any) -> Iterator[FakeProvider]:
    """Serve until the end of the block; `url` is the endpoint, below which `/chat/completions` is."""
    provider = FakeProvider(**facts)
    with served(_Handler, provider=provider) as host:
        provider.url = f"{host}/v1"
        try:
            yield provider
        finally:
            provider.released.set()


class _Handler(JsonHandler):
    provider: FakeProvider

    def do_POST(self) -> None:
        provider = self.provider
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        with provider.lock:
            provider.calls.append({"path": self.path, **body})
            provider.running += 1
            provider.most_running = max(provider.most_running, provider.running)
        try:
            self._answer(body)
        except OSError:
            pass  # the caller left
        finally:
            with provider.lock:
                provider.running -= 1

    def _answer(self, body: dict[str, Any]) -> None:
        provider = self.provider
        if self.headers.get("authorization") != f"Bearer {provider.key}":
            self.answer(401, {"error": {"message": f"wrong key: {self.headers.get('authorization')}"}})
        elif provider.status != 200:
            self.answer(provider.status, provider.body, provider.headers)
        elif provider.raw is not None:
            self.answer(200, provider.raw, {"content-type": provider.raw_type})
        elif self.path.endswith("/embeddings"):
            self._embed(body["input"])
        elif self.path.endswith("/chat/completions"):
            self._chat(body)
        else:
            self.answer(404, {"error": {"message": f"no {self.path}"}})

    def _embed(self, texts: list[str]) -> None:
        data = [{"index": place, "embedding": [len(text), 1, 0]} for place, text in enumerate(texts)]
        tokens = sum(len(text.split()) for text in texts)
        self.answer(200, {"data": data[::-1], "usage": {"prompt_tokens": tokens, "total_tokens": tokens}})

    def _chat(self, body: dict[str, Any]) -> None:
        words = body["messages"][-1]["content"].split()
        limit = int(body.get("max_tokens") or body["max_completion_tokens"])
        reason, words = ("length" if len(words) > limit else "stop"), words[:limit]
        asked = sum(len(message["content"].split()) for message in body["messages"])
        usage = {"prompt_tokens": asked, "completion_tokens": len(words)}
        if not self.provider.streams:
            choice = {"index": 0, "message": {"role": "assistant", "content": " ".join(words)}, "finish_reason": reason}
            self.answer(200, {"choices": [choice], **({"usage": usage} if self.provider.usage else {})})
            return
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.end_headers()
        self._event({"choices": [{"index": 0, "delta": {"role": "assistant", "content": None}}]})
        for count, word in enumerate(words):
            if count == self.provider.stall_after:
                self.provider.released.wait(30)
            self._event({"choices": [{"index": 0, "delta": {"content": f"{word} "}, "finish_reason": None}]})
        self._event({"choices": [{"index": 0, "delta": {}, "finish_reason": reason}]})
        if self.provider.usage:
            self._event({"choices": [], "usage": usage})
        self.wfile.write(b"data: [DONE]\n\n")

    def _event(self, document: dict[str, Any]) -> None:
        self.wfile.write(b"data: " + json.dumps(document).encode() + b"\n\n")
        self.wfile.flush()
