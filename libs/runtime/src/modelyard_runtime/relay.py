"""The outbox relay: sends queued events in order per key; none is lost, however the process ends.

One relay per database at a time: it holds a lock (a file's beside SQLite, an advisory one in PostgreSQL) and sends in
Kafka transactions under an id derived from the database. A relay that lost the lock without noticing is fenced by its
successor, so an old value can never follow a newer one, which a compacted topic would keep. Readers with
read_committed see each round whole; a crash between Kafka's commit and ours repeats the round, with the same event ids.
"""

import asyncio
import json
import logging
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from aiokafka import AIOKafkaProducer
from aiokafka.errors import IllegalOperation, KafkaError, ProducerFenced
from sqlalchemy import delete, func, select, update

from modelyard_contracts.topics import all_topics
from modelyard_runtime.brokers import Bootstrap, client_settings
from modelyard_runtime.errors import BrokerAway, ModelyardError
from modelyard_runtime.headers import CE_SOURCE, to_wire
from modelyard_runtime.health import Readiness
from modelyard_runtime.kafka.access_errors import explain, start_client
from modelyard_runtime.kafka.aiokafka_internals import stop_producer
from modelyard_runtime.kafka.topics import ensure_topics
from modelyard_runtime.metrics import Metrics
from modelyard_runtime.relay_lock import RelayLock
from modelyard_runtime.signing import EventSigner
from modelyard_runtime.tables import OUTBOX
from modelyard_runtime.wakeup import Wakeup, pause

if TYPE_CHECKING:
    from modelyard_runtime.database import Database

POLL_S: Final = 0.2
ROUND_ROWS: Final = 500
KEEP_SENT: Final = timedelta(days=1)
PRUNE_EVERY_S: Final = 300.0
TRANSACTION_TIMEOUT_MS: Final = 10_000
RETRY_MAX_S: Final = 5.0
log = logging.getLogger(__name__)


class OutboxRelay:
    """Run `run` as a background task of the service; woken by commits on `database`, and polling every 200 ms."""

    def __init__(
        self,
        database: "Database",
        bootstrap: Bootstrap,
        service: str,
        *,
        readiness: Readiness | None = None,
        signer: EventSigner | None = None,
    ) -> None:
        """signer: signs events when they are sent, with the key that is current then."""
        self._database = database
        self._bootstrap = bootstrap
        self._service, self._signer = service, signer
        self._readiness = readiness or Readiness()
        self._wakeup = Wakeup()
        self._producer: Any = None
        self._known: set[str] = set()
        self._lock = RelayLock(database.engine)
        self._pruned_at = 0.0
        metrics = Metrics(service)
        self._unsent = metrics.gauge("outbox_unsent", "Events queued and not yet acknowledged")
        self._age = metrics.gauge("outbox_age_seconds", "Age of the oldest event not yet acknowledged")
        self._sent = metrics.counter("outbox_sent_total", "Events acknowledged by the broker")
        database.on_queued(self._wakeup.notify)

    async def run(self, stop: asyncio.Event) -> None:
        """Relay until `stop`; sends the remaining events before it returns. Reconnects for ever."""
        pause_s = POLL_S
        try:
            while not stop.is_set():
                try:
                    more = await self._lead() and await self._round()
                    self._readiness.set("outbox", True)
                    pause_s = POLL_S
                except Exception as error:  # the relay never gives up, and reports
                    why = explain(error, self._bootstrap)
                    log.warning("outbox of %s waits %.1f s: %s", self._service, pause_s, why)
                    self._readiness.set("outbox", False, why)
                    await self._drop_producer()
                    await pause(stop, pause_s)
                    pause_s = min(pause_s * 2, RETRY_MAX_S)
                    continue
                if not more:
                    await self._wakeup.pause(stop, POLL_S)
            await self._last_round()
        finally:
            await self._drop_producer()
            await asyncio.to_thread(self._lock.release)

    async def _last_round(self) -> None:
        """Send the events committed just before the stop; those that fail are sent after the next start."""
        try:
            async with asyncio.timeout(5):
                while self._lock.held and await self._round():
                    pass
        except (TimeoutError, ModelyardError, KafkaError) as error:
            log.warning("outbox of %s: left for the next start: %r", self._service, error)

    async def _lead(self) -> bool:
        """Whether this is the relay of the database; otherwise another process is, until it ends."""
        leads = await asyncio.to_thread(self._lock.acquire)
        if not leads:
            await self._drop_producer()
        return leads

    async def _round(self) -> bool:
        """Send the oldest unsent events and mark them; returns whether there may be more."""
        rows = await asyncio.to_thread(self._read)
        if rows:
            await self._ensure({row.topic for row in rows})
            await self._send(rows)
            await asyncio.to_thread(self._mark, [row.position for row in rows])
            self._sent.inc(len(rows))
        await self._prune()
        return len(rows) == ROUND_ROWS

    def _read(self) -> list[Any]:
        unsent = OUTBOX.c.sent_at.is_(None)
        with self._database.read() as connection:
            rows = list(connection.execute(select(OUTBOX).where(unsent).order_by(OUTBOX.c.position).limit(ROUND_ROWS)))
            count = len(rows)
            if count == ROUND_ROWS:
                count = connection.execute(select(func.count()).select_from(OUTBOX).where(unsent)).scalar_one()
        self._unsent.set(count)
        self._age.set((self._database.clock() - rows[0].queued_at).total_seconds() if rows else 0.0)
        return rows

    async def _send(self, rows: list[Any]) -> None:
        producer = await self._connected()
        try:
            async with producer.transaction():
                answers = [await self._post(producer, row) for row in rows]
                await asyncio.gather(*answers)
        except (ProducerFenced, IllegalOperation) as error:
            await asyncio.to_thread(self._lock.release)
            raise BrokerAway("another relay of this database took over") from error

    async def _post(self, producer: Any, row: Any) -> Any:
        headers, key = {**json.loads(row.headers), CE_SOURCE: self._service}, row.key.encode()
        if self._signer is not None:
            headers = self._signer.sign(row.topic, key, headers, row.body)
        return await producer.send(row.topic, row.body, key=key, headers=to_wire(headers))

    def _mark(self, positions: list[int]) -> None:
        with self._database.transaction() as tx:
            tx.connection.execute(
                update(OUTBOX).where(OUTBOX.c.position.in_(positions)).values(sent_at=self._database.clock())
            )

    async def _connected(self) -> Any:
        if self._producer is None:
            producer = AIOKafkaProducer(
                **client_settings(self._bootstrap),
                transactional_id=self._lock.transactional_id(self._service),
                transaction_timeout_ms=TRANSACTION_TIMEOUT_MS,
                max_request_size=16 * 1_048_576,
                request_timeout_ms=10_000,
            )
            self._producer = producer  # before the start, so that a failed one is stopped too
            await start_client(producer, self._bootstrap)
        return self._producer

    async def _ensure(self, topics: set[str]) -> None:
        if new := topics - self._known:
            await ensure_topics(self._bootstrap, [spec for spec in all_topics() if spec.name in new])
            self._known |= new

    async def _drop_producer(self) -> None:
        producer, self._producer = self._producer, None
        self._known = set()
        if producer is not None:
            await stop_producer(producer)

    async def _prune(self) -> None:
        now = asyncio.get_running_loop().time()
        if now - self._pruned_at > PRUNE_EVERY_S:
            self._pruned_at = now
            await asyncio.to_thread(self._delete_old)

    def _delete_old(self) -> None:
        with self._database.transaction() as tx:
            tx.connection.execute(delete(OUTBOX).where(OUTBOX.c.sent_at < self._database.clock() - KEEP_SENT))
