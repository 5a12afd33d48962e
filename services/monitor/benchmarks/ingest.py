"""Predictions per second and core through the real path, beside a per-record floor, in one run.

    python services/monitor/benchmarks/ingest.py [ROWS]

Real path: a broker in its own process, aiokafka, decode, counts, Arrow, HTTP insert into the engine in its own process,
slices sent. CPU time of this process alone is counted (user + system); broker and engine have their own.
The floor is what a per-record loop needs for half of that work: fastavro to dictionaries and bisect into bins, no Kafka
and no insert.
"""

import asyncio
import bisect
import io
import json
import sys
import tempfile
import time
from pathlib import Path

import fastavro

from modelyard_contracts import PredictionLogged
from modelyard_contracts.codec import Codec, encode
from modelyard_contracts.topics import avro_schema
from modelyard_devstack.testing.processes import DevServer
from modelyard_monitor.domain.watching import Unwatched
from modelyard_monitor.ingest.counter import Counter
from modelyard_monitor.ingest.exactly_once import ExactlyOnceIngest
from modelyard_monitor.ingest.predictions import PredictionIngest
from modelyard_monitor.settings import Settings
from modelyard_monitor.store.clickhouse import ClickHouse
from modelyard_monitor.store.connection import connect
from modelyard_monitor.testing.fakes import Manifests
from modelyard_monitor.testing.samples import START, make_manifest, prediction
from modelyard_runtime.health import Readiness
from modelyard_runtime.kafka import DeadLetters, Producer, ensure_topics

PARTITIONS = 4


async def fill(bootstrap: str, rows: int) -> list[bytes]:
    await ensure_topics(bootstrap)
    values = [encode(prediction(i, occurred_at=START, prediction_id=f"prediction-{i:026d}")) for i in range(2_000)]
    producer = Producer(bootstrap, "bench", linger_ms=20, compression="lz4")
    for first in range(0, rows, 2_000):
        posted = [
            await producer.post_bytes(PredictionLogged.TOPIC, None, value, partition=(first // 2_000 + i) % PARTITIONS)
            for i, value in enumerate(values[: rows - first])
        ]
        await asyncio.gather(*posted)
    await producer.stop()
    return values


async def drain(settings: Settings, clickhouse: ClickHouse, rows: int) -> tuple[float, float]:
    """CPU and wall seconds until all rows are stored."""
    producer = Producer(settings.kafka_bootstrap_servers, "monitor", linger_ms=5)
    letters = DeadLetters(settings.kafka_bootstrap_servers, "monitor")
    manifests = Manifests({("m", 1): make_manifest()})
    store = PredictionIngest(
        clickhouse, Counter(clickhouse, manifests, Unwatched(), Readiness()), Codec(), producer, letters
    )
    ingest = ExactlyOnceIngest(
        settings=settings,
        group="bench",
        stores={PredictionLogged.TOPIC: store.store},
        dead_letters=letters,
        readiness=Readiness(),
    )
    stop = asyncio.Event()
    cpu, wall = time.process_time(), time.perf_counter()
    running = asyncio.create_task(ingest.run(stop))
    while sum(ingest.stored.values()) < rows:  # noqa: ASYNC110  a benchmark may look twenty times a second
        await asyncio.sleep(0.05)
    spent = time.process_time() - cpu, time.perf_counter() - wall
    stop.set()
    await running
    await producer.stop()
    return spent


def floor(values: list[bytes]) -> float:
    """CPU seconds per record of the per-record loop."""
    schema = fastavro.parse_schema(avro_schema(PredictionLogged.TOPIC))
    reference = make_manifest().reference
    assert reference is not None  # noqa: S101  made one line above
    edges = [one.edges for one in reference.features[:2]]
    counts: dict[tuple[int, int], int] = {}
    began = time.process_time()
    for value in values:
        row = fastavro.schemaless_reader(io.BytesIO(value[5:]), schema, None)
        for index, number in enumerate(row["num_features"]):  # type: ignore[index,call-overload]
            key = (index, bisect.bisect_right(edges[index], number))
            counts[key] = counts.get(key, 0) + 1
    return (time.process_time() - began) / len(values)


def main() -> None:
    rows = int(sys.argv[1]) if len(sys.argv) > 1 else 400_000
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "key").write_text("a benchmark's admin key")
        (folder / "passwords").write_text(json.dumps({"writer": "w" * 16, "reader": "r" * 16}))
        for part in ("kafka", "clickhouse"):
            (folder / part).mkdir()
        kafka = DevServer("modelyard_devkafka", folder / "kafka").start()
        server = DevServer(
            "modelyard_devclickhouse", folder / "clickhouse", "--passwords-file", str(folder / "passwords")
        ).start()
        try:
            values = asyncio.run(fill(kafka.bootstrap, rows))
            clickhouse = ClickHouse(connect(server.url, "writer", "w" * 16), "ml")
            clickhouse.migrate()
            settings = Settings(kafka_bootstrap_servers=kafka.bootstrap, admin_key_file=folder / "key")  # type: ignore[call-arg,unused-ignore]
            cpu, wall = asyncio.run(drain(settings, clickhouse, rows))
            sql = "SELECT count() AS n, uniqExact(_partition, _offset) AS u FROM {db}.predictions"
            [row] = clickhouse.rows(sql)
        finally:
            kafka.kill()
            server.kill()
    assert row["n"] == row["u"] == rows, row  # noqa: S101  a benchmark of a wrong result is none
    each = floor(values)
    print(
        json.dumps(
            {
                "rows": rows,
                "stored": row["n"],
                "distinct": row["u"],
                "bytes_per_record": len(values[0]),
                "cpu_us_per_row": round(cpu / rows * 1e6, 2),
                "rows_per_cpu_s": round(rows / cpu),
                "rows_per_wall_s": round(rows / wall),
                "per_record_floor_us": round(each * 1e6, 2),
                "per_record_floor_rows_per_cpu_s": round(1 / each),
            }
        )
    )


if __name__ == "__main__":
    main()
