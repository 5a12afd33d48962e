"""A property: over random streams, the SQL of every event gives the number in it, whatever the names and values are."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from modelyard_contracts import Message
from modelyard_contracts.codec import Codec
from modelyard_contracts.manifest import ModelManifest, ReferenceProfile
from modelyard_contracts.signature import Column, ColumnType, Output, Signature, Task, new_schema_id
from modelyard_devstack.testing.processes import DevServer
from modelyard_monitor.domain.rules import Rules
from modelyard_monitor.domain.watching import Unwatched
from modelyard_monitor.ingest.batches import PartitionLocks
from modelyard_monitor.ingest.counter import Counter
from modelyard_monitor.ingest.labels import LabelIngest
from modelyard_monitor.ingest.late_labels import LateJoiner
from modelyard_monitor.ingest.predictions import PredictionIngest
from modelyard_monitor.store.connection import connect
from modelyard_monitor.testing.fakes import Letters, Manifests, Sent
from modelyard_monitor.testing.processes import READER, own_clickhouse, store_of
from modelyard_monitor.testing.samples import START, digest_of_manifest, label, make_manifest, prediction, records
from modelyard_profiles import reference_categories, reference_numbers
from modelyard_runtime.changes import MemoryChanges
from modelyard_runtime.clock import FakeClock
from modelyard_runtime.health import Readiness

from .test_evidence import Found, detected, number, rows_of
from .world import World

NAMES = (
    "it's",
    'quo"ted',
    "back\\slash",
    "größe\nin m",
    "{x:String}",
    "num",
    "cat",
    "%s",
    "-- a",
    "😀",
    "score",
    "a,b",
)
CATEGORIES = ("x", "it's", "back\\", "", "NULL", "tab\there", "😀", "{db}")
BROKEN = (None, float("inf"), float("nan"), 1e306)
SEEDS = range(10)


@dataclass
class Stream:
    """A random model, and random traffic of two of its variants in the same batches."""

    seed: int

    def __post_init__(self) -> None:
        self.rng = np.random.default_rng(self.seed)
        self.task = list(Task)[self.seed % 3]
        names = [NAMES[i] for i in self.rng.permutation(len(NAMES))]
        kinds = [ColumnType.NUMBER, ColumnType.CATEGORY, ColumnType.TEXT, ColumnType.INTEGER, ColumnType.CATEGORY]
        kinds = kinds[: int(self.rng.integers(2, 6))]
        self.columns = [Column(name=name, type=kind) for name, kind in zip(names, kinds, strict=False)]
        self.classes = {Task.BINARY: ("no", "it's"), Task.MULTICLASS: ("no", "it's", "back\\")}.get(self.task, ())
        self.categories = [CATEGORIES[i] for i in self.rng.permutation(len(CATEGORIES))[:4]]
        self.manifest = self._manifest()
        self.digest = digest_of_manifest(self.manifest)
        self.rules = Rules(
            psi_window_rows=int(self.rng.integers(100, 400)),
            micro_batch_rows=int(self.rng.integers(10, 60)),
            error_window_labels=int(self.rng.choice([200, 100_000])),
            rearm_rows=int(self.rng.choice([0, 300])),
        )
        self.broken, self.failing, self.misfit = (float(x) for x in self.rng.uniform(0, 0.4, size=3))

    def _manifest(self) -> ModelManifest:
        usual = make_manifest(task=self.task)
        signature = Signature(columns=tuple(self.columns), output=Output(task=self.task, classes=self.classes))
        features = [
            reference_categories(one.name, dict.fromkeys(self.categories[:3], 500))
            if one.type is ColumnType.CATEGORY
            else reference_numbers(one.name, self.rng.normal(5.0, 2.0, size=1_500).round(int(self.rng.integers(3))))
            for one in self.columns
        ]
        assert usual.reference is not None
        classes = reference_categories("classes", dict.fromkeys(self.classes, 500)) if self.classes else None
        unknown = {"error_rate": None, "mean_absolute_error": None} if self.seed % 2 else {}
        given = {**usual.reference.model_dump(), "features": features, "classes": classes, **unknown}
        changes = {"signature": signature, "feature_schema_id": new_schema_id(signature)}
        return usual.model_copy(update={**changes, "reference": ReferenceProfile.model_validate(given)})

    def row(self, moved: bool) -> dict[str, Any]:
        """The fields of one request."""
        numbers: list[float | None] = []
        texts: list[str | None] = []
        for one in self.columns:
            missing = moved and self.rng.uniform() < self.broken
            if one.type is ColumnType.CATEGORY:
                shares = (0.1, 0.2, 0.2, 0.5) if moved else (0.4, 0.3, 0.3, 0.0)
                texts.append(None if missing else self.categories[self.rng.choice(4, p=shares)])
            elif one.type is ColumnType.TEXT:
                texts.append(None if missing else "ü" * int(self.rng.integers(1, 30 if moved else 10)))
            else:
                value = float(self.rng.normal(7.0 if moved else 5.0, 2.0))
                numbers.append(BROKEN[self.rng.integers(len(BROKEN))] if missing else value)
        row = {"num_features": tuple(numbers), "cat_features": tuple(texts), **self._answer(moved)}
        if moved and self.rng.uniform() < self.failing:
            return {**row, "class": None, "score": None, "status": str(self.rng.choice(["timeout", "rejected"]))}
        if self.rng.uniform() < self.misfit / (1 if moved else 20):
            return {**row, "num_features": (1.0,) * 9, "cat_features": ()}
        if not texts and self.rng.uniform() < 0.1:
            names = [one.name for one in self.columns]
            by_name = {name: value for name, value in zip(names, numbers, strict=True) if value is not None}
            return {**row, "num_features": (), "features_by_name": by_name}
        return row

    def _answer(self, moved: bool) -> dict[str, Any]:
        if not self.classes:
            return {"class": None, "scores": (), "score": float(self.rng.normal(11.0 if moved else 10.0))}
        likely = int(self.rng.integers(len(self.classes))) if not moved or self.rng.uniform() < 0.5 else 0
        return {"class": self.classes[likely], "score": float(self.rng.uniform() ** (3 if moved else 1))}

    def truth(self, index: int, row: dict[str, Any], moved: bool) -> Message:
        """The label of a request, of which some do not match."""
        if self.rng.uniform() < (self.misfit if moved else 0.01):
            return label(index, str(self.rng.choice(["NO", "", "unknown"])))
        if not self.classes:
            return label(index, None, value=(row["score"] or 10.0) + self.rng.normal(scale=3.0 if moved else 1.0))
        wrong = self.rng.uniform() < (0.6 if moved else 0.2)
        others = [name for name in self.classes if name != row["class"]]
        return label(index, others[0] if wrong or row["class"] is None else row["class"])


async def play(world: World, stream: Stream, batches: int = 36) -> list[Found]:
    """Store a stream in batches over three partitions, some labels before their predictions; return what is found."""
    world.manifests.known["m", 1] = stream.manifest
    world.clock.advance(60)  # labels do not wait
    first, index = [0, 0, 0], 0
    for batch in range(batches):
        size, partition, moved = int(stream.rng.integers(20, 140)), int(stream.rng.integers(3)), batch >= batches // 2
        rows = [stream.row(moved) for _ in range(size)]
        asked: list[Message] = [
            prediction(index + i, model_digest=stream.digest, variant="canary" if i % 4 == 0 else "stable", **fields)
            for i, fields in enumerate(rows)
        ]
        asked[::9] = [prediction(index + i, model="other") for i in range(0, size, 9)]  # another model in between
        truths = [stream.truth(index + i, fields, moved) for i, fields in enumerate(rows)]
        late = stream.rng.uniform() < 0.2
        stores = [(world.predictions.store, asked), (world.labels.store, truths)]
        for store, messages in reversed(stores) if late else stores:
            await store(records(messages, first=first[partition], partition=partition))
        if late:
            await world.late.join(partition)
        first[partition], index = first[partition] + size, index + size
    return list(await detected(world, stream.rules))


def check(found: list[Found], client: Any) -> None:
    """Execute the SQL of every event as it is."""
    for event in found:
        assert event.sql, event.reason
        result = client.query(event.sql)
        row = dict(zip(result.column_names, result.result_rows[0], strict=True))
        assert next(iter(row.values())) == pytest.approx(number(event), rel=1e-6, abs=1e-9), (event.reason, event.sql)
        assert row.get("rows", row.get("labels", rows_of(event))) == rows_of(event), (event.reason, event.sql)
    assert len({event.event_id for event in found}) == len(found)


@pytest.mark.slow
@pytest.mark.parametrize("seed", SEEDS)
async def test_over_random_streams_every_event_can_be_computed_again(world: World, engine: Any, seed: int) -> None:
    found = await play(world, Stream(seed))
    check(found, engine)
    assert len({(type(one), number(one)) for one in found}) >= 3, (
        "the stream moves, so that there is something to check"
    )


@pytest.fixture
def server(tmp_path: Path) -> Iterator[DevServer]:
    started = own_clickhouse(tmp_path).start()
    yield started
    started.kill()


@pytest.mark.slow
@pytest.mark.server
async def test_the_reader_of_the_local_clickhouse_can_run_the_sql_of_every_event(server: DevServer) -> None:
    store = store_of(server)
    store.migrate()
    manifests, sent, letters, locks, clock = Manifests(), Sent(), Letters(), PartitionLocks(), FakeClock(START)
    unwatched, codec = Unwatched(), Codec()
    world = World(
        store,
        manifests,
        sent,
        letters,
        clock,
        PredictionIngest(store, Counter(store, manifests, unwatched, Readiness()), codec, sent, letters),
        LabelIngest(store, manifests, codec, sent, letters, locks, clock, grace_s=10),
        LateJoiner(store, manifests, sent, locks, days=10_000),
        unwatched,
        MemoryChanges(),
    )
    found = await play(world, Stream(0), batches=24)
    check(found, connect(server.url, *READER))
    assert found
