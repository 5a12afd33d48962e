"""Writes numbered events through the outbox and relays them, until it is killed; run again it goes on.

Usage: relaying.py DATABASE_URL BOOTSTRAP MODEL_PREFIX EVENTS_PER_MODEL
"""

import asyncio
import sys

from sqlalchemy import text

from modelyard_contracts import TrainingRunRequested, derived_id
from modelyard_runtime.clock import system_clock
from modelyard_runtime.database import Database, create_runtime_tables, open_engine
from modelyard_runtime.relay import OutboxRelay

MODELS = 3


def write(database: Database, prefix: str, events: int) -> None:
    """Bump a model's counter and queue the event of it, in one transaction."""
    for number in range(events):
        for index in range(MODELS):
            model = f"{prefix}-{index}"
            with database.transaction() as tx:
                bumped = tx.connection.execute(
                    text("UPDATE counters SET n = n + 1 WHERE model = :m AND n = :n"), {"m": model, "n": number}
                )
                if bumped.rowcount:
                    tx.outbox.add(event(model, number), key=model)


def event(model: str, number: int) -> TrainingRunRequested:
    return TrainingRunRequested(
        event_id=derived_id(model, number),
        occurred_at=system_clock(),
        correlation_id=derived_id(model),
        model=model,
        requested_by="test",
        reason=str(number),
    )


async def main() -> None:
    url, bootstrap, prefix, events = sys.argv[1:]
    engine = open_engine(url)
    with engine.begin() as connection:
        create_runtime_tables(connection)
        connection.execute(text("CREATE TABLE IF NOT EXISTS counters (model text PRIMARY KEY, n integer)"))
        for index in range(MODELS):
            connection.execute(
                text("INSERT INTO counters VALUES (:m, 0) ON CONFLICT DO NOTHING"), {"m": f"{prefix}-{index}"}
            )
    database = Database(engine, system_clock)
    relay = OutboxRelay(database, bootstrap, "relaytest")
    stop = asyncio.Event()
    running = asyncio.create_task(relay.run(stop))
    print("ready now", flush=True)
    await asyncio.to_thread(write, database, prefix, int(events))
    print("all written", flush=True)
    await running


asyncio.run(main())
