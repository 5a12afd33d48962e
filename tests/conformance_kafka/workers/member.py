"""member.py BOOTSTRAP TOPIC GROUP SESSION_MS: joins, prints `joined`, and stays until it is killed."""

import asyncio
import sys

from aiokafka import AIOKafkaConsumer


async def main(bootstrap: str, topic: str, group: str, session_ms: str) -> None:
    consumer = AIOKafkaConsumer(
        topic, bootstrap_servers=bootstrap, group_id=group, session_timeout_ms=int(session_ms),
        heartbeat_interval_ms=500, enable_auto_commit=False,
    )  # fmt: skip
    await consumer.start()
    print("joined", flush=True)
    while True:
        await consumer.getmany(timeout_ms=500)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
