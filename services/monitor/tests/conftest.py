"""The world of the monitor's tests: a ClickHouse in this process, everything else in memory."""

import itertools
from collections.abc import Iterator
from typing import Any

import pytest

from modelyard_contracts.codec import Codec
from modelyard_monitor.domain.watching import Unwatched
from modelyard_monitor.ingest.batches import PartitionLocks
from modelyard_monitor.ingest.counter import Counter
from modelyard_monitor.ingest.labels import LabelIngest
from modelyard_monitor.ingest.late_labels import LateJoiner
from modelyard_monitor.ingest.predictions import PredictionIngest
from modelyard_monitor.store.clickhouse import ClickHouse
from modelyard_monitor.testing.fakes import Letters, Manifests, Sent
from modelyard_monitor.testing.samples import START, make_manifest
from modelyard_runtime.changes import MemoryChanges
from modelyard_runtime.clock import FakeClock
from modelyard_runtime.health import Readiness

from .world import World

_database = itertools.count()


@pytest.fixture(scope="session")
def engine() -> Iterator[Any]:
    pytest.importorskip("chdb", reason="the engine in the process needs the package chdb")
    import clickhouse_connect

    client = clickhouse_connect.get_client(interface="chdb")
    yield client
    client.close()


@pytest.fixture
def clickhouse(engine: Any) -> Iterator[ClickHouse]:
    store = ClickHouse(engine, f"ml{next(_database)}")
    store.migrate()
    yield store
    engine.command(f"DROP DATABASE {store.database}")


@pytest.fixture
def world(clickhouse: ClickHouse) -> World:
    manifests, sent, letters, clock = Manifests(), Sent(), Letters(), FakeClock(START)
    manifests.known[("m", 1)] = make_manifest()
    codec, unwatched, locks = Codec(), Unwatched(), PartitionLocks()
    return World(
        clickhouse,
        manifests,
        sent,
        letters,
        clock,
        PredictionIngest(clickhouse, Counter(clickhouse, manifests, unwatched, Readiness()), codec, sent, letters),
        LabelIngest(clickhouse, manifests, codec, sent, letters, locks, clock, grace_s=10),
        LateJoiner(clickhouse, manifests, sent, locks, days=10_000),
        unwatched,
        MemoryChanges(),
    )
