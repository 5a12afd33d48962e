"""Acknowledgements: which route tables this router has applied or refused."""

import asyncio
import logging
from collections import deque
from typing import Final, Protocol

from modelyard_contracts import RouteApplied, RoutePublished, derived_id
from modelyard_contracts.topics import topic
from modelyard_runtime.brokers import Bootstrap
from modelyard_runtime.clock import Clock
from modelyard_runtime.errors import ModelyardError
from modelyard_runtime.kafka import Producer
from modelyard_runtime.kafka.topics import ensure_topics
from modelyard_runtime.signing import EventSigner
from modelyard_runtime.wakeup import Wakeup, pause

RETRY_MIN_S: Final = 0.2
RETRY_MAX_S: Final = 3.0
IDLE_S: Final = 60.0
log = logging.getLogger(__name__)


class Acknowledgements(Protocol):
    """The acknowledgements that Kafka has, over restarts."""

    def has(self, route: str, sequence: int, accepted: bool) -> bool: ...

    def add(self, route: str, sequence: int, accepted: bool) -> None: ...

    def save(self) -> None: ...


class Announcer:
    """Emits RouteApplied in order and once, retrying until Kafka has it.

    A crash may repeat one, under the same event id: readers drop it.
    """

    def __init__(
        self,
        bootstrap: Bootstrap,
        router_id: str,
        clock: Clock,
        acknowledged: Acknowledgements,
        signer: EventSigner | None = None,
    ) -> None:
        self._bootstrap, self._router_id, self._clock = bootstrap, router_id, clock
        self._acknowledged, self._signer = acknowledged, signer
        self._unsent: deque[RouteApplied] = deque()
        self._wakeup = Wakeup()

    def announce(self, published: RoutePublished, *, accepted: bool, reason: str = "") -> None:
        """Queue an acknowledgement that Kafka does not have yet; it is sent from `run`."""
        if self._acknowledged.has(published.route, published.sequence, accepted):
            return
        self._unsent.append(
            RouteApplied(
                event_id=derived_id("route-applied", self._router_id, published.route, published.sequence, accepted),
                occurred_at=self._clock(),
                correlation_id=published.correlation_id,
                cause_id=published.event_id,
                route=published.route,
                model=published.model,
                sequence=published.sequence,
                router_id=self._router_id,
                accepted=accepted,
                reason=reason,
            )
        )
        self._wakeup.notify()

    async def run(self, stop: asyncio.Event) -> None:
        """Send queued acknowledgements until `stop`."""
        producer = Producer(self._bootstrap, "router", request_timeout_ms=10_000, signer=self._signer)
        try:
            await _ensure_topic(self._bootstrap, stop)
            while not stop.is_set():
                if self._unsent:
                    await self._send_all(producer, stop)
                    await asyncio.to_thread(self._acknowledged.save)
                if not self._unsent:
                    await self._wakeup.pause(stop, IDLE_S)
        finally:
            await producer.stop()

    async def _send_all(self, producer: Producer, stop: asyncio.Event) -> None:
        pause_s = RETRY_MIN_S
        while self._unsent and not stop.is_set():
            try:
                await producer.send(self._unsent[0])
                sent = self._unsent.popleft()
                self._acknowledged.add(sent.route, sent.sequence, sent.accepted)
                pause_s = RETRY_MIN_S
            except ModelyardError as error:
                log.warning("route acknowledgements cannot be sent yet: %s", error)
                await pause(stop, pause_s)
                pause_s = min(pause_s * 2, RETRY_MAX_S)


async def _ensure_topic(bootstrap: Bootstrap, stop: asyncio.Event) -> None:
    """Create the topic as soon as the broker can be reached."""
    pause_s = RETRY_MIN_S
    while not stop.is_set():
        try:
            await ensure_topics(bootstrap, [topic(RouteApplied.TOPIC)])
            return
        except ModelyardError:
            await pause(stop, pause_s)
            pause_s = min(pause_s * 2, RETRY_MAX_S)
