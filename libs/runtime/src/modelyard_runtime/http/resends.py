"""Recording at the registry who has dead letters handled again, and why."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass
from typing import Final

from modelyard_runtime.access.introspection import post_json
from modelyard_runtime.errors import Unavailable

PATH: Final = "/v1/audit/resends"


@dataclass(frozen=True)
class Resending:
    """Letters of a topic, up to the position `through`, that a person has handled again."""

    topic: str
    through: int
    actor: str
    reason: str


RecordResending = Callable[[Resending], Awaitable[None]]
"""Writes it to the audit history. Unavailable if that is impossible; nothing is then handled again."""


def registry_record(registry_url: str, service_key: Callable[[], str]) -> RecordResending:
    """Return a function that records at the registry, as the service that holds the key."""
    url = registry_url.rstrip("/") + PATH

    def send(found: Resending) -> None:
        headers = {"Authorization": f"Bearer {service_key()}", "Content-Type": "application/json"}
        try:
            post_json(url, json.dumps(asdict(found)).encode(), headers)
        except (OSError, ValueError) as error:
            raise Unavailable(
                f"the registry cannot record the reason, so nothing was handled again: {error}"
            ) from error

    async def record(found: Resending) -> None:
        await asyncio.to_thread(send, found)

    return record
