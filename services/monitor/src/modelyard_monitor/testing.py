"""What tests of the monitor are built from: a registry, senders and dead letters in memory, and messages to store."""

import json
import sys
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final, Self
from uuid import uuid4

import numpy as np

from modelyard_contracts import FeedbackReceived, Message, PredictionLogged
from modelyard_contracts.codec import encode
from modelyard_contracts.manifest import (
    Feature,
    FeatureKind,
    FeatureSchema,
    FileEntry,
    ModelManifest,
    ReferenceProfile,
    TrainingLineage,
    signed,
)
from modelyard_devstack.testing.processes import DevServer, Process
from modelyard_monitor.clickhouse import ClickHouse, connect
from modelyard_monitor.ingest.labels import LabelIngest
from modelyard_monitor.ingest.late import LateJoiner
from modelyard_monitor.ingest.predictions import PredictionIngest
from modelyard_profiles import reference_categories, reference_numbers
from modelyard_runtime.clock import FakeClock
from modelyard_runtime.kafka import Received

START = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
"""Of today, as the tables forget what is older than their TTL."""
FEATURES = ("a", "b")
ADMIN_KEY: Final = "an admin key of the tests, long enough"
WRITER: Final = ("writer", "w" * 16)
"""User and password of `own_clickhouse`."""


@cache
def make_manifest(model: str = "m", seed: int = 0, rows: int = 4_000, error_rate: float | None = 0.2) -> ModelManifest:
    """Two numeric features (standard normal, uniform) and one categorical one."""
    rng = np.random.default_rng(seed)
    features = (
        reference_numbers("a", rng.normal(size=rows)),
        reference_numbers("b", rng.uniform(size=rows)),
        reference_categories("c", {"x": rows // 2, "y": rows // 2}),
    )
    schema = FeatureSchema(
        features=(*(Feature(name=name) for name in FEATURES), Feature(name="c", kind=FeatureKind.CATEGORICAL)),
        classes=("0", "1"),
    )
    return ModelManifest(
        model=model,
        flavour="sklearn",
        files=(FileEntry(path="model.skops", digest="sha256:" + "0" * 64, size_bytes=1),),
        **signed(schema),
        reference=ReferenceProfile(
            rows=rows,
            features=features,
            score=reference_numbers("score", rng.uniform(size=rows)),
            error_rate=error_rate,
        ),
        training=TrainingLineage(recipe="test"),
    )


@dataclass
class Sent:
    """A producer that keeps what it is given."""

    messages: list[Message] = field(default_factory=list)

    async def send(self, message: Message, key: str | None = None) -> None:
        self.messages.append(message)


@dataclass
class Letters:
    """Dead letters in memory."""

    letters: list[tuple[int, str]] = field(default_factory=list)

    async def add(self, received: Received, reason: str) -> None:
        self.letters.append((received.offset, reason))

    def good(self, topic: str, partition: int, records: int = 1) -> None:
        pass


@dataclass
class Manifests:
    """A registry in memory."""

    known: dict[tuple[str, int], ModelManifest] = field(default_factory=dict)
    error: Exception | None = None

    def manifest(self, model: str, version: int, digest: str) -> ModelManifest | None:
        if self.error:
            raise self.error
        found = self.known.get((model, version))
        return found if found and found.digest == digest else None


@dataclass
class World:
    """Everything the ingest touches, and short ways to say things to it."""

    clickhouse: ClickHouse
    manifests: Manifests
    sent: Sent
    letters: Letters
    clock: FakeClock
    predictions: PredictionIngest
    labels: LabelIngest
    late: LateJoiner

    def count(self, table: str) -> int:
        [row] = self.clickhouse.rows(f"SELECT count() AS n FROM {{db}}.{table}")  # noqa: S608
        return int(row["n"])

    def is_exact(self, table: str) -> bool:
        sql = f"SELECT count() AS n, uniqExact(_topic, _partition, _offset) AS u FROM {{db}}.{table}"  # noqa: S608
        [row] = self.clickhouse.rows(sql)
        return bool(row["n"] == row["u"])


@cache
def _usual_digest() -> str:
    return make_manifest().digest


def prediction(index: int = 0, **fields: Any) -> PredictionLogged:
    """A prediction of model m, version 1; `class_` is `1`."""
    given: dict[str, Any] = {
        "event_id": uuid4(),
        "occurred_at": START + timedelta(seconds=index),
        "prediction_id": f"p{index}",
        "model": "m",
        "model_version": 1,
        "model_digest": _usual_digest(),
        "route": "m",
        "num_features": (0.1, 0.5),
        "cat_features": ("x",),
        "class": "1",
        "score": 0.7,
        "scores": (0.3, 0.7),
        "latency_ms": 5.0,
    }
    return PredictionLogged(**{**given, **fields})


def label(index: int = 0, truth: str | None = "1", **fields: Any) -> FeedbackReceived:
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
    """The messages as they lie in one partition from offset `first` on, all received at `at`."""
    topic = next((m.TOPIC for m in messages if isinstance(m, Message)), PredictionLogged.TOPIC)
    values = [encode(m) if isinstance(m, Message) else m for m in messages]
    stamp = int(at.timestamp() * 1000)
    return [Received(topic, partition, first + i, None, value, (), stamp) for i, value in enumerate(values)]


class FakeRegistry:
    """A registry over HTTP that knows some manifests; a context manager."""

    def __init__(self, manifests: dict[tuple[str, int], ModelManifest], port: int = 0) -> None:
        known = {f"/v1/models/{m}/versions/{v}/manifest": found.canonical() for (m, v), found in manifests.items()}

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                body = known.get(self.path)
                self.send_response(404 if body is None else 200)
                self.send_header("content-length", str(len(body or b"")))
                self.end_headers()
                self.wfile.write(body or b"")

            def log_message(self, *_: Any) -> None:
                """Quiet."""

        self._server = ThreadingHTTPServer(("127.0.0.1", port), Handler)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()


def own_clickhouse(folder: Path) -> DevServer:
    """A local ClickHouse with its data below `folder`, not yet started."""
    data = folder / "clickhouse"
    data.mkdir()
    passwords = folder / "passwords.json"
    passwords.write_text(json.dumps({WRITER[0]: WRITER[1], "reader": "r" * 16}))
    return DevServer("modelyard_devclickhouse", data, "--passwords-file", str(passwords))


def store_of(server: DevServer) -> ClickHouse:
    """The tables that a monitor keeps in a started `own_clickhouse`."""
    return ClickHouse(connect(server.url, *WRITER), "ml")


def monitor_process(folder: Path, *, bootstrap: str, clickhouse: str, registry: str, **settings: str) -> Process:
    """`python -m modelyard_monitor`, not yet started, on any port; settings: its own, such as flush_s="0.3"."""
    key = folder / "admin.key"
    key.write_text(ADMIN_KEY)
    env = {
        "KAFKA_BOOTSTRAP_SERVERS": bootstrap,
        "CLICKHOUSE_URL": clickhouse,
        "CLICKHOUSE_USER": WRITER[0],
        "CLICKHOUSE_PASSWORD": WRITER[1],
        "REGISTRY_URL": registry,
        "MODELYARD_ADMIN_KEY_FILE": str(key),
        "MONITOR_PORT": "0",
        "MONITOR_DATA_DIR": str(folder / "monitor"),
        "OMP_NUM_THREADS": "1",
        **{f"MONITOR_{name.upper()}": value for name, value in settings.items()},
    }
    return Process([sys.executable, "-m", "modelyard_monitor"], env)
