"""A Faust worker that counts each event once, under at-least-once delivery and kill -9.

counting.py BOOTSTRAP NAME EVENTS_TOPIC OUTPUT_TOPIC DATA_DIR

Every table value carries, per input partition, the last offset that is in it; a repeated event is skipped. Every
OUTPUT_EVERY-th event of a key leaves one record whose id is derived from its cause.
"""

import sys
from pathlib import Path
from typing import Any

import faust

OUTPUT_EVERY = 20
bootstrap, name, events_topic, output_topic, data_dir = sys.argv[1:6]
app = faust.App(
    name, broker=f"kafka://{bootstrap}", value_serializer="raw", store="memory://", web_enabled=False,
    processing_guarantee="at_least_once", topic_partitions=4, broker_session_timeout=6.0,
    broker_heartbeat_interval=0.5, stream_wait_empty=False, datadir=Path(data_dir), broker_commit_interval=0.5,
)  # fmt: skip
events = app.topic(events_topic, value_serializer="raw", key_serializer="raw", partitions=4)
output = app.topic(output_topic, value_serializer="raw", key_serializer="raw")
exact = app.Table(f"{name}-exact", default=lambda: [0, -1], key_type=str, value_type=None, partitions=4)
plain = app.Table(f"{name}-plain", default=int, key_type=str, value_type=int, partitions=4)


@app.agent(events)
async def count(stream: Any) -> None:
    async for event in stream.events():
        key, offset = event.key.decode(), event.message.offset
        plain[key] += 1
        counted, last = exact[key]
        if offset <= last:
            continue
        if (counted + 1) % OUTPUT_EVERY == 0:
            cause = f"{event.message.partition}-{offset}".encode()
            await (await output.send(key=cause, value=cause))  # acknowledged before the event counts as done
        exact[key] = [counted + 1, offset]


if __name__ == "__main__":
    sys.argv = [sys.argv[0], "worker", "-l", "warn", "--without-web"]
    app.main()
