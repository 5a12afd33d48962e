"""How a producer is given up."""

import asyncio
from typing import Any


async def stop_producer(client: Any, timeout_s: float = 5.0) -> None:
    """Send what is queued and close; one that cannot is left alone: its errors were told when they came."""
    try:
        await asyncio.wait_for(client.stop(), timeout_s)
    except Exception:
        client._closed = True  # else it complains when it is collected
