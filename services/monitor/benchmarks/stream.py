"""CPU of broker, engine, monitor and its detect worker under a steady stream, and with none.

    python services/monitor/benchmarks/stream.py [PREDICTIONS_PER_S] [SECONDS]

Each prediction is labelled two seconds later; sends are posted every 50 ms, as a router's are. A second is shared by
all that runs on the machine; per cent are of one core.
"""

import asyncio
import json
import os
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from modelyard_contracts import FeedbackReceived, PredictionLogged
from modelyard_contracts.codec import encode
from modelyard_devstack.testing.processes import DevServer
from modelyard_monitor.testing.processes import monitor_process, own_clickhouse
from modelyard_monitor.testing.samples import FILES, label, make_manifest, prediction
from modelyard_registry.testing import InProcessRegistry
from modelyard_runtime.kafka import Producer, ensure_topics

SEND_EVERY_S: Final = 0.05
LABEL_AFTER_S: Final = 2.0
SETTLE_S: Final = 8.0
TICKS_PER_S: Final = os.sysconf("SC_CLK_TCK")


def cpu_s(pid: int) -> float:
    """Seconds of CPU that a process has used, its threads included."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICKS_PER_S


def child_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/task/{pid}/children").read_text().split()[0])


async def used(pids: dict[str, int], seconds: float) -> dict[str, float]:
    """Per cent of a core by process over the next `seconds`."""
    before, began = {name: cpu_s(pid) for name, pid in pids.items()}, time.monotonic()
    await asyncio.sleep(seconds)
    spent = time.monotonic() - began
    return {name: round((cpu_s(pid) - before[name]) / spent * 100, 1) for name, pid in pids.items()}


async def stream(bootstrap: str, rate_per_s: float) -> None:
    """Until cancelled."""
    producer = Producer(bootstrap, "router", linger_ms=5, compression="lz4")
    began, sent, labelled = time.monotonic(), 0, 0
    try:
        while True:
            due = int((time.monotonic() - began) * rate_per_s)
            now = datetime.now(UTC)
            for i in range(sent, due):
                body = encode(prediction(i, occurred_at=now, **{"class": "1" if i % 7 else "0"}))
                await producer.post_bytes(PredictionLogged.TOPIC, f"p{i}", body)
            for i in range(labelled, max(labelled, due - int(LABEL_AFTER_S * rate_per_s))):
                await producer.post_bytes(FeedbackReceived.TOPIC, f"p{i}", encode(label(i, occurred_at=now)))
                labelled = i + 1
            sent = due
            await asyncio.sleep(SEND_EVERY_S)
    finally:
        await producer.stop()


async def measure(bootstrap: str, pids: dict[str, int], rate_per_s: float, seconds: float) -> dict[str, object]:
    await ensure_topics(bootstrap)
    await asyncio.sleep(SETTLE_S)
    pids["detect"] = child_of(pids["monitor"])
    idle = await used(pids, seconds)
    sending = asyncio.create_task(stream(bootstrap, rate_per_s))
    await asyncio.sleep(SETTLE_S)
    busy = await used(pids, seconds)
    if sending.done():
        sending.result()  # its error
    sending.cancel()
    await asyncio.wait({sending})
    return {"predictions_per_s": rate_per_s, "seconds": seconds, "idle_percent": idle, "busy_percent": busy}


def main() -> None:
    rate_per_s = float(sys.argv[1]) if len(sys.argv) > 1 else 170.0
    seconds = float(sys.argv[2]) if len(sys.argv) > 2 else 30.0
    with tempfile.TemporaryDirectory() as name, InProcessRegistry(Path(name) / "registry") as registry:
        folder = Path(name)
        registry.given_version(make_manifest(), FILES)
        (folder / "kafka").mkdir()
        kafka = DevServer("modelyard_devkafka", folder / "kafka").start()
        server = own_clickhouse(folder).start()
        monitor = monitor_process(
            folder, bootstrap=kafka.bootstrap, clickhouse=server.url, registry=registry.serve(), key=registry.admin_key
        ).start(ready=False)
        try:
            time.sleep(SETTLE_S)
            pids = {"broker": kafka.pid, "engine": server.pid, "monitor": monitor.pid}
            print(json.dumps(asyncio.run(measure(kafka.bootstrap, pids, rate_per_s, seconds))))
        finally:
            monitor.stop()
            kafka.kill()
            server.kill()


if __name__ == "__main__":
    main()
