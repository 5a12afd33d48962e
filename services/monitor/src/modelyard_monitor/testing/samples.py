"""Sample messages and manifests, and messages as Kafka records."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any, Final
from uuid import uuid4

import numpy as np

from modelyard_contracts import FeedbackReceived, Message, PredictionLogged
from modelyard_contracts.codec import encode
from modelyard_contracts.documents import digest_of
from modelyard_contracts.manifest import FileEntry, ManifestFile, ModelManifest, ReferenceProfile, TrainingLineage
from modelyard_contracts.signature import Column, ColumnType, Output, Signature, Task, new_schema_id
from modelyard_profiles import reference_categories, reference_numbers
from modelyard_runtime.kafka import Received

START = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
"""The current hour: the tables drop rows that are older than their TTL."""
COLUMNS: Final = (
    Column(name="a"),
    Column(name="b"),
    Column(name="c", type=ColumnType.CATEGORY),
    Column(name="d", type=ColumnType.TEXT),
)
FILES: Final = {"model.skops": b"not loaded in these tests"}
"""Bytes of the files in the manifests."""
CLASSES_OF: Final = {Task.BINARY: ("0", "1"), Task.MULTICLASS: ("0", "1", "2")}


@cache
def make_manifest(
    model: str = "m", seed: int = 0, rows: int = 4_000, error_rate: float | None = 0.2, task: Task = Task.BINARY
) -> ModelManifest:
    """Return a manifest with two numeric columns (standard normal, uniform), a category and a text.

    Scores are uniform and classes equally frequent; the values of a regression are normal with mean 10.
    """
    rng = np.random.default_rng(seed)
    classes = CLASSES_OF.get(task, ())
    scores = rng.uniform(size=rows) if classes else rng.normal(10.0, size=rows)
    signature = Signature(columns=COLUMNS, output=Output(task=task, classes=classes))
    return ModelManifest(
        model=model,
        task=task,
        flavour="sklearn",
        files=tuple(FileEntry(path=path, digest=digest_of(data), size_bytes=len(data)) for path, data in FILES.items()),
        signature=signature,
        feature_schema_id=new_schema_id(signature),
        reference=ReferenceProfile(
            rows=rows,
            features=(
                reference_numbers("a", rng.normal(size=rows)),
                reference_numbers("b", rng.uniform(size=rows)),
                reference_categories("c", {"x": rows // 2, "y": rows // 2}),
                reference_numbers("d", rng.integers(1, 40, size=rows).astype(float)),
            ),
            score=reference_numbers("score", scores),
            classes=reference_categories("classes", {name: rows // len(classes) for name in classes})
            if classes
            else None,
            error_rate=error_rate if classes else None,
            mean_absolute_error=None if classes else 0.8,
        ),
        training=TrainingLineage(recipe="test"),
    )


def digest_of_manifest(manifest: ModelManifest) -> str:
    """Return the digest of the bytes that a registry would store."""
    return ManifestFile.write(manifest).digest


@cache
def _usual_digest() -> str:
    return digest_of_manifest(make_manifest())


def prediction(index: int = 0, **fields: Any) -> PredictionLogged:
    """Return a prediction of model m, version 1, with class `1`."""
    given: dict[str, Any] = {
        "event_id": uuid4(),
        "occurred_at": START + timedelta(seconds=index),
        "prediction_id": f"p{index}",
        "model": "m",
        "model_version": 1,
        "model_digest": _usual_digest(),
        "route": "m",
        "num_features": (0.1, 0.5),
        "cat_features": ("x", "some text"),
        "class": "1",
        "score": 0.7,
        "scores": (0.3, 0.7),
        "latency_ms": 5.0,
    }
    return PredictionLogged(**{**given, **fields})


def label(index: int = 0, truth: str | None = "1", **fields: Any) -> FeedbackReceived:
    """Return the label of `prediction(index)`, a minute after it."""
    given = {
        "event_id": uuid4(),
        "occurred_at": START + timedelta(seconds=index + 60),
        "prediction_id": f"p{index}",
        "label": truth,
    }
    return FeedbackReceived(**{**given, **fields})


def records(
    messages: Sequence[Message | bytes | None], first: int = 0, partition: int = 0, at: datetime = START
) -> list[Received]:
    """Return the messages as records of one partition from offset `first` on, all received at `at`."""
    topic = next((m.TOPIC for m in messages if isinstance(m, Message)), PredictionLogged.TOPIC)
    values = [encode(m) if isinstance(m, Message) else m for m in messages]
    stamp = int(at.timestamp() * 1000)
    return [Received(topic, partition, first + i, None, value, (), stamp) for i, value in enumerate(values)]
