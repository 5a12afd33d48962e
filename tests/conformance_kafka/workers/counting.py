"""A Faust worker that counts each event once, under at-least-once delivery and kill -9.

counting.py BOOTSTRAP NAME EVENTS_TOPIC OUTPUT_TOPIC DATA_DIR

By the monitor's own means: every table value carries the input partition and the last offset that is in it, a worker
resumes after the newest of them; a repeated event is skipped, and a gap makes the consumer seek back.
Every OUTPUT_EVERY-th event of a key leaves one record whose id is derived from its cause.
"""

import sys
from pathlib import Path
from typing import Any

import faust

from modelyard_monitor.detect.confirmed_table import ConfirmedTable, read_in_order
from modelyard_monitor.detect.slice_order import in_order, newest

OUTPUT_EVERY = 20
bootstrap, name, events_topic, output_topic, data_dir = sys.argv[1:6]
app = faust.App(
    name, broker=f"kafka://{bootstrap}", value_serializer="raw", store="memory://", web_enabled=False,
    processing_guarantee="at_least_once", topic_partitions=4, broker_session_timeout=6.0,
    broker_heartbeat_interval=0.5, stream_wait_empty=False, datadir=Path(data_dir), broker_commit_interval=0.5,
    consumer_auto_offset_reset="earliest", Table=ConfirmedTable,
)  # fmt: skip
progress = read_in_order(app, events_topic, lambda: newest({partition: last} for _, partition, last in exact.values()))
events = app.topic(events_topic, value_serializer="raw", key_serializer="raw", partitions=4)
output = app.topic(output_topic, value_serializer="raw", key_serializer="raw")
exact: Any = app.Table(f"{name}-exact", default=lambda: [0, 0, -1], key_type=str, value_type=None, partitions=4)


@app.agent(events)
async def count(stream: Any) -> None:
    async for event in stream.events():
        await in_order(event, progress, app.consumer, add)


async def add(event: Any) -> None:
    key, partition, offset = event.key.decode(), event.message.partition, event.message.offset
    counted, _, last = exact[key]
    if offset <= last:  # delivered again after a rebalance
        return
    if (counted + 1) % OUTPUT_EVERY == 0:
        cause = f"{partition}-{offset}".encode()
        await (await output.send(key=cause, value=cause))  # acknowledged before the event counts as done
    exact[key] = [counted + 1, partition, offset]
    await exact.confirmed()


if __name__ == "__main__":
    sys.argv = [sys.argv[0], "worker", "-l", "warn", "--without-web"]
    app.main()
