"""Models without a flavour: their answers follow from the input, so that tests know what to expect."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Generator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from modelyard_contracts.inference.generate import Prompt
from modelyard_contracts.manifest import FileEntry, ManifestFile, ModelManifest, TrainingLineage, digest_of
from modelyard_contracts.signature import Column, ColumnType, Output, Signature, Task, new_schema_id
from modelyard_flavours.errors import BadParameter
from modelyard_serving.app import ModelApp
from modelyard_serving.loading import LoadedModel, load
from modelyard_serving.requests import Limits
from modelyard_serving.tokens import Tokens

TOKEN = "a-serving-token"
COLUMNS = (
    Column(name="price"),
    Column(name="colour", type=ColumnType.CATEGORY),
    Column(name="demand", nullable=False),
)
BINARY = Signature(columns=COLUMNS, output=Output(task=Task.BINARY, classes=("down", "up")))
THREE = Signature(columns=COLUMNS, output=Output(task=Task.MULTICLASS, classes=("low", "middle", "high")))
VALUE = Signature(columns=COLUMNS, output=Output(task=Task.REGRESSION, unit="EUR"))
VECTOR = Signature(columns=COLUMNS, output=Output(task=Task.EMBEDDING, dimension=3))
TEXT = Signature(
    input="text", columns=(Column(name="text", type=ColumnType.TEXT),), output=Output(task=Task.TEXT, name="reply")
)


@dataclass
class FakePredictor:
    """Binary: p(up) = price, 0 if missing. Three classes: p(high) = price. Regression: 10 x price. Embedding:
    price x (1, 2, 3), of which the first `width` are returned.

    A price of 666 breaks the whole batch; the answer to -777, and from 1e39 on, is NaN.
    """

    signature: Signature = BINARY
    batches: list[int] = field(default_factory=list)
    width: int = 3

    def predict(self, numeric: Any, categorical: Any) -> Any:
        assert len(numeric) == len(categorical)
        self.batches.append(len(numeric))
        if (numeric[:, 0] == 666).any():
            raise RuntimeError("a bad row")
        price = np.nan_to_num(numeric[:, 0])
        price = np.where((price >= 1e39) | (price == -777), np.nan, price)
        if self.signature.task is Task.REGRESSION:
            return 10 * price
        if self.signature.task is Task.EMBEDDING:
            return np.outer(price, [1, 2, 3])[:, : self.width]
        rest = [(1 - price) / (len(self.signature.classes) - 1)] * (len(self.signature.classes) - 1)
        return np.column_stack([*rest, price])


@dataclass
class FakeGenerator:
    """Repeats the words of the text. `break` raises, `limit` ends it as too long, `endless` never ends.

    The parameter `pace` is refused.
    """

    closed: int = 0

    def generate(self, prompt: Prompt, parameters: Mapping[str, Any]) -> Iterator[str]:
        if "pace" in parameters:
            raise BadParameter("pace", "is not a known field; remove it")
        return self._words(prompt if isinstance(prompt, str) else " ".join(f"{m.role}:{m.content}" for m in prompt))

    def _words(self, text: str) -> Generator[str, None, str | None]:
        try:
            for word in text.split():
                if word == "limit":
                    return "length"
                if word == "break":
                    raise RuntimeError("broken")
                while word == "endless":
                    time.sleep(0.001)  # sleep: the pace of a model
                    yield word
                yield word + " "
        finally:
            self.closed += 1
        return None

    def count_tokens(self, prompt: Prompt) -> int:
        return len(prompt.split()) if isinstance(prompt, str) else len(prompt)


def write_model(folder: Path, signature: Signature = BINARY) -> ManifestFile:
    """A version whose only file is `weights.bin`."""
    (folder / "weights.bin").write_bytes(b"weights")
    file = ManifestFile.write(
        ModelManifest(
            model="elec",
            flavour="fake",
            files=(FileEntry(path="weights.bin", digest=digest_of(b"weights"), size_bytes=7),),
            signature=signature,
            task=signature.task,
            feature_schema_id=new_schema_id(signature),
            training=TrainingLineage(recipe="test"),
        )
    )
    (folder / "manifest.json").write_bytes(file.data)
    return file


class Exchange:
    """One request to the ASGI program, and its answer as it arrives."""

    def __init__(self) -> None:
        self.messages: asyncio.Queue[Any] = asyncio.Queue()
        self.left = asyncio.Event()
        self.status = 0
        self.headers: dict[str, str] = {}

    async def send(self, message: Any) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self.headers = {name.decode(): value.decode() for name, value in message["headers"]}
        await self.messages.put(message)

    async def chunk(self) -> bytes | None:
        """The next part of the body; None at its end."""
        while True:
            async with asyncio.timeout(20):
                message = await self.messages.get()
            if message["type"] == "http.response.body":
                body: bytes = message.get("body", b"")
                return body or (b"" if message.get("more_body") else None)


@dataclass
class Caller:
    """Calls the ASGI program in this process."""

    app: ModelApp

    @asynccontextmanager
    async def exchange(
        self,
        method: str,
        path: str,
        body: Any = b"",
        *,
        token: str | None = TOKEN,
        headers: Mapping[str, str] | Sequence[tuple[str, str]] = (),
        parts: Sequence[bytes] | None = None,
    ) -> AsyncIterator[Exchange]:
        """parts: pieces of a body that never ends. Leaving the block closes the connection."""
        exchange = Exchange()
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        sent = [("content-length", str(len(raw)))] if "content-length" not in dict(headers) else []
        sent += [("authorization", f"Bearer {token}")] if token is not None else []
        sent += list(headers.items() if isinstance(headers, Mapping) else headers)
        scope = {
            "type": "http",
            "method": method,
            "path": path,
            "headers": [(name.encode(), value.encode()) for name, value in sent],
        }
        incoming = [{"type": "http.request", "body": part, "more_body": True} for part in parts or ()]
        if parts is None:
            incoming = [{"type": "http.request", "body": raw, "more_body": False}]

        async def receive() -> Any:
            if incoming:
                return incoming.pop(0)
            await exchange.left.wait()
            return {"type": "http.disconnect"}

        running = asyncio.ensure_future(self.app(scope, receive, exchange.send))
        try:
            yield exchange
        finally:
            exchange.left.set()
            async with asyncio.timeout(20):
                await running

    async def __call__(self, method: str, path: str, body: Any = b"", **options: Any) -> tuple[int, Any]:
        """Status and JSON body of the answer."""
        async with self.exchange(method, path, body, **options) as exchange:
            data = b""
            while (chunk := await exchange.chunk()) is not None:
                data += chunk
                if chunk and exchange.headers["content-type"] == "application/json":
                    break
        return exchange.status, json.loads(data)


@dataclass
class World:
    """A model app with a loaded model."""

    app: ModelApp
    call: Caller
    model: LoadedModel

    @property
    def predictor(self) -> FakePredictor:
        assert isinstance(self.model.model_object, FakePredictor)
        return self.model.model_object

    @property
    def generator(self) -> FakeGenerator:
        assert isinstance(self.model.model_object, FakeGenerator)
        return self.model.model_object


def world_of(folder: Path, signature: Signature) -> World:
    """Load and install a model with this signature."""
    write_model(folder, signature)
    fake: Any = FakeGenerator() if signature.task is Task.TEXT else FakePredictor(signature)
    model = load(folder, "3", lambda manifest, folder: fake)
    app = ModelApp(Tokens(TOKEN), Limits(max_body_bytes=4_000, max_rows=100, max_batch_rows=64, max_waiting_rows=200))
    app.install(model)
    if isinstance(fake, FakePredictor):
        fake.batches.clear()
    return World(app, Caller(app), model)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = world_of(tmp_path, BINARY)
    yield world
    world.app.close()


@pytest.fixture
def text_world(tmp_path: Path) -> Iterator[World]:
    world = world_of(tmp_path, TEXT)
    yield world
    world.app.close()


def num(*rows: list[float | None]) -> dict[str, Any]:
    flat = [value for row in rows for value in row]
    return {"name": "num", "shape": [len(rows), 2], "datatype": "FP64", "data": flat}


def cat(*values: str | None) -> dict[str, Any]:
    return {"name": "cat", "shape": [len(values), 1], "datatype": "BYTES", "data": list(values)}
