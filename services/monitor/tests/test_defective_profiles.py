"""One defective reference profile leaves its own version unwatched, says so, and disturbs no other."""

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import httpx
import pytest

from modelyard_contracts import SliceSource, SliceSummarised
from modelyard_contracts.codec import Codec
from modelyard_contracts.documents import digest_of
from modelyard_contracts.manifest import ManifestFile
from modelyard_monitor.clients.registry import Registry
from modelyard_monitor.detect.detector import Detector
from modelyard_monitor.detect.snapshot import Snapshots
from modelyard_monitor.domain.rules import Rules
from modelyard_monitor.domain.watching import Unwatched
from modelyard_monitor.ingest.counter import Counter
from modelyard_monitor.ingest.predictions import PredictionIngest
from modelyard_monitor.store.queries import ReportQueries
from modelyard_monitor.testing.fakes import KEYS, Sent
from modelyard_monitor.testing.samples import START, label, make_manifest, prediction, records
from modelyard_monitor.usecases.reports import Reports
from modelyard_runtime.health import Readiness

from .world import World

Json = dict[str, Any]
GOOD = ManifestFile.write(make_manifest()).data


def feature(change: Json, place: int = 0) -> Callable[[Json], None]:
    return lambda manifest: manifest["reference"]["features"][place].update(change)


def reference(change: Json) -> Callable[[Json], None]:
    return lambda manifest: manifest["reference"].update(change)


def listed(count: Any) -> list[Any]:
    counts = json.loads(GOOD)["reference"]["features"][0]["counts"]
    return [*counts[:3], count, *counts[4:]]


EDGES = json.loads(GOOD)["reference"]["features"][0]["edges"]
DEFECTS: dict[str, Callable[[Json], None] | bytes] = {
    "a count beyond 64 bits": feature({"counts": listed(2**64)}),
    "a count beyond 4,300 digits": GOOD.replace(b'"counts":[', b'"counts":[' + b"9" * 5_000 + b",", 1),
    "a count below zero": feature({"counts": listed(-1)}),
    "a count that is text": feature({"counts": listed("many")}),
    "a count that is a fraction": feature({"counts": listed(1.5)}),
    "a count that is null": feature({"counts": listed(None)}),
    "NaN as an edge": feature({"edges": [float("nan"), *EDGES[1:]]}),
    "infinity as an edge": feature({"edges": [*EDGES[:-1], float("inf")]}),
    "1e400 as an edge": GOOD.replace(b'"edges":[', b'"edges":[1e400,', 1),
    "edges not sorted": feature({"edges": EDGES[::-1]}),
    "an edge twice": feature({"edges": [EDGES[0], EDGES[0], *EDGES[2:]]}),
    "more edges than counts": feature({"edges": [*EDGES, EDGES[-1] + 1]}),
    "fewer counts than bins": feature({"counts": [1, 2, 3]}),
    "no counts": feature({"counts": []}),
    "edges that are one number": feature({"edges": 3}),
    "a category twice": feature({"categories": ["x", "x"]}, place=2),
    "categories of a number": feature({"edges": [], "categories": ["x"], "counts": [0, 0, 0, 4]}),
    "edges of a category": feature({"categories": [], "edges": [1.0], "counts": [0, 0, 0, 4, 4]}, place=2),
    "a feature that is no column": feature({"name": "nobody"}),
    "a feature twice": feature({"name": "b"}),
    "features that are an object": reference({"features": {}}),
    "categories as scores": reference({"score": {"name": "s", "categories": ["x"], "counts": [0, 0, 0, 4]}}),
    "edges as classes": reference({"classes": {"name": "c", "edges": [1.0], "counts": [0, 0, 0, 4, 4]}}),
    "an error rate of NaN": reference({"error_rate": float("nan")}),
    "an error rate of 7": reference({"error_rate": 7}),
    "an error below zero": reference({"mean_absolute_error": -1.0}),
    "no rows": reference({"rows": 0}),
    "rows beyond 64 bits": reference({"rows": 2**70}),
    "a reference that is a list": lambda manifest: manifest.update(reference=[1]),
    "no reference": lambda manifest: manifest.update(reference=None),
    "another task than the signature's": lambda manifest: manifest.update(task="regression"),
    "nested too deeply": b'{"reference":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "half a document": GOOD[: len(GOOD) // 2],
    "not UTF-8": b'{"model":"\xff"}',
    "nothing": b"",
}


def defective(defect: Callable[[Json], None] | bytes) -> bytes:
    if isinstance(defect, bytes):
        return defect
    manifest = json.loads(GOOD)
    defect(manifest)
    return json.dumps(manifest).encode()


def registry(data: bytes) -> Registry:
    """Holds the good manifest as version 1 of m, and these bytes as version 2."""
    held = {"/v1/models/m/versions/1/manifest": GOOD, "/v1/models/m/versions/2/manifest": data}
    transport = httpx.MockTransport(lambda asked: httpx.Response(200, content=held[asked.url.path]))
    return Registry("http://registry", "key", transport=transport)


def traffic(data: bytes) -> list[Any]:
    versions = [
        {"model_version": 1, "model_digest": digest_of(GOOD)},
        {"model_version": 2, "model_digest": digest_of(data)},
    ]
    return [prediction(i, **versions[i % 2]) for i in range(600)]


@pytest.mark.parametrize("defect", DEFECTS.values(), ids=DEFECTS)
async def test_a_defective_profile_disturbs_no_other_version_also_after_a_restart(
    world: World, defect: Callable[[Json], None] | bytes
) -> None:
    data = defective(defect)
    world.clock.advance(60)
    for start in range(2):  # the second time with caches that are empty
        source, unwatched, readiness = registry(data), Unwatched(), Readiness()
        counter = Counter(world.clickhouse, source, unwatched, readiness)
        ingest = PredictionIngest(world.clickhouse, counter, Codec(), world.sent, world.letters)
        await ingest.store(records(traffic(data), first=start * 600))
        await world.labels.store(records([label(i) for i in range(600)], first=start * 600))

        [counted] = world.clickhouse.rows("SELECT uniqExact(model_version) AS v, sum(n) AS n FROM {db}.feature_bins")
        assert (counted["v"], counted["n"]) == (1, (start + 1) * 300 * 6)
        [(version, reason)] = unwatched.reasons().items()
        assert version[1] == 2 and reason
        assert readiness.ready and "1 versions are not watched" in str(readiness.as_dict())
        health = Reports(ReportQueries(world.clickhouse), unwatched).health("m", START - timedelta(days=1))
        assert [(one.version, one.predictions, one.unwatched) for one in health] == [(1, 300, ""), (2, 300, reason)]

    detector = Detector({}, Snapshots(lambda: KEYS), registry(data), Sent(), Rules(), world.clickhouse.database)
    seen = {}
    for offset, piece in enumerate(world.sent.messages):
        assert isinstance(piece, SliceSummarised)
        await detector.handle(piece, (0, offset))
        seen[piece.model_version, piece.source] = bool(piece.features)
    assert seen[1, SliceSource.PREDICTIONS] and not seen[2, SliceSource.PREDICTIONS]
    assert detector.applied() == {0: len(world.sent.messages) - 1}
