"""Apply the migrations at startup, waiting for a ClickHouse that is still starting."""

import asyncio
from typing import Final

from modelyard_monitor.store.clickhouse import ClickHouse
from modelyard_monitor.store.connection import ClickHouseAway
from modelyard_runtime.errors import StartupError
from modelyard_runtime.log import get_logger

log = get_logger(__name__)

WAIT_AT_MOST_S: Final = 60.0
RETRY_S: Final = 1.0


async def migrate_when_available(clickhouse: ClickHouse, url: str) -> None:
    """Apply the migrations; StartupError when ClickHouse does not answer within a minute."""
    deadline = asyncio.get_running_loop().time() + WAIT_AT_MOST_S
    while True:
        try:
            return await asyncio.to_thread(clickhouse.migrate)
        except ClickHouseAway as error:
            if asyncio.get_running_loop().time() > deadline:
                raise StartupError(
                    f"CLICKHOUSE_URL: no ClickHouse at {url} ({error}); start it or correct the URL"
                ) from error
            log.warning("waiting for ClickHouse", error=str(error))
            await asyncio.sleep(RETRY_S)
