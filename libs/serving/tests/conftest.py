"""A model without a flavour: its score is the first number, so tests can say what comes out."""

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from modelyard_contracts.manifest import (
    Feature,
    FeatureKind,
    FeatureSchema,
    FileEntry,
    ModelManifest,
    TrainingLineage,
    digest_of,
    signed,
)
from modelyard_serving.app import Limits, ModelApp
from modelyard_serving.batching import Batcher
from modelyard_serving.loading import LoadedModel, load

TOKEN = "a-serving-token"

SCHEMA = FeatureSchema(
    features=(
        Feature(name="price"),
        Feature(name="colour", kind=FeatureKind.CATEGORICAL),
        Feature(name="demand", nullable=False),
    ),
    classes=("down", "up"),
)


@dataclass
class FakePredictor:
    """p(up) = price, 0 when it is missing; a price of 666 breaks the whole batch."""

    classes: tuple[str, ...] = ("down", "up")
    batches: list[int] = field(default_factory=list)

    def predict(self, numeric: Any, categorical: Any) -> Any:
        assert len(numeric) == len(categorical)
        self.batches.append(len(numeric))
        if (numeric[:, 0] == 666).any():
            raise RuntimeError("a bad row")
        up = np.nan_to_num(numeric[:, 0])
        return np.column_stack([1 - up, up])


def write_model(folder: Path, schema: FeatureSchema = SCHEMA) -> ModelManifest:
    (folder / "weights.bin").write_bytes(b"weights")
    manifest = ModelManifest(
        model="elec",
        flavour="fake",
        files=(FileEntry(path="weights.bin", digest=digest_of(b"weights"), size_bytes=7),),
        **signed(schema),
        training=TrainingLineage(recipe="test"),
    )
    (folder / "manifest.json").write_bytes(manifest.canonical())
    return manifest


@dataclass
class Caller:
    """Calls the ASGI program in this process."""

    app: ModelApp

    async def __call__(
        self,
        method: str,
        path: str,
        body: Any = b"",
        *,
        token: str | None = TOKEN,
        headers: Mapping[str, str] | None = None,
        parts: Sequence[bytes] | None = None,
    ) -> tuple[int, Any]:
        """parts: all that comes of a body that does not end."""
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        sent: list[Any] = []
        given = {"content-length": str(len(raw)), **(headers or {})}
        if token is not None:
            given["authorization"] = f"Bearer {token}"
        scope = {
            "type": "http",
            "method": method,
            "path": path,
            "headers": [(name.encode(), value.encode()) for name, value in given.items()],
        }

        coming = list(parts or [])

        async def receive() -> Any:
            if coming:
                return {"type": "http.request", "body": coming.pop(0), "more_body": True}
            if parts is not None:
                await asyncio.Event().wait()
            return {"type": "http.request", "body": raw, "more_body": False}

        async def send(message: Any) -> None:
            sent.append(message)

        await self.app(scope, receive, send)
        return sent[0]["status"], json.loads(sent[1]["body"])


@dataclass
class World:
    app: ModelApp
    call: Caller
    predictor: FakePredictor
    model: LoadedModel


@pytest.fixture
def world(tmp_path: Path) -> Any:
    write_model(tmp_path)
    predictor = FakePredictor()
    model = load(tmp_path, "3", lambda manifest, folder: predictor)
    app = ModelApp(TOKEN, Limits(max_body_bytes=4_000, max_rows=100))
    batcher = Batcher(predictor.predict, max_batch_rows=64, max_waiting_rows=200)
    app.install(model, batcher)
    predictor.batches.clear()
    yield World(app, Caller(app), predictor, model)
    batcher.close()


def num(*rows: list[float | None]) -> dict[str, Any]:
    flat = [value for row in rows for value in row]
    return {"name": "num", "shape": [len(rows), 2], "datatype": "FP64", "data": flat}


def cat(*values: str | None) -> dict[str, Any]:
    return {"name": "cat", "shape": [len(values), 1], "datatype": "BYTES", "data": list(values)}
