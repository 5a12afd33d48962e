"""An idempotent producer that translates errors, and replaces its client after a fatal one."""

import asyncio
from collections.abc import Awaitable, Mapping, Sequence
from typing import Any, Final

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError, MessageSizeTooLargeError, ProducerFenced, RecordListTooLargeError

from modelyard_contracts import Message
from modelyard_contracts.codec import Codec
from modelyard_contracts.topics import all_topics
from modelyard_runtime.brokers import Bootstrap, client_settings
from modelyard_runtime.errors import BrokerAway, MessageTooLarge
from modelyard_runtime.headers import message_headers, to_wire
from modelyard_runtime.kafka.access_errors import explain, start_client
from modelyard_runtime.kafka.aiokafka_internals import stop_producer
from modelyard_runtime.kafka.topics import ensure_topics
from modelyard_runtime.signing import EventSigner

REQUEST_TIMEOUT_MS: Final = 30_000
STOP_TIMEOUT_S: Final = 10


class Producer:
    """Sends and waits for the acknowledgement of all in-sync replicas. For one event loop."""

    def __init__(
        self,
        bootstrap: Bootstrap,
        service: str,
        *,
        codec: Codec | None = None,
        compression: str | None = None,
        linger_ms: int = 0,
        max_request_bytes: int = 4 * 1_048_576,
        request_timeout_ms: int = REQUEST_TIMEOUT_MS,
        signer: EventSigner | None = None,
    ) -> None:
        """signer: signs what `send` sends on signed topics; None sends it unsigned."""
        self._bootstrap = bootstrap
        self._service = service
        self._codec = codec or Codec()
        self._signer = signer
        self._settings: dict[str, Any] = {
            "compression_type": compression,
            "linger_ms": linger_ms,
            "max_request_size": max_request_bytes,
            "request_timeout_ms": request_timeout_ms,
        }
        self._client: Any = None
        self._starting = asyncio.Lock()
        self._made: set[str] = set()

    async def start(self) -> None:
        """Connect; BrokerAway when Kafka cannot be reached. Sending connects too, if this was not called."""
        await self._connected()

    async def stop(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            await stop_producer(client, STOP_TIMEOUT_S)

    async def send(self, message: Message, key: str | None = None, headers: Mapping[str, str] | None = None) -> None:
        """Encode and send; returns when it is acknowledged. key: None takes the message's own.

        Creates the topic before the first message if it does not exist.
        """
        await self._ensure(message.TOPIC)
        value = self._codec.encode(message)
        own_key = message.key if key is None else key
        all_headers = {**message_headers(message, source=self._service), **(headers or {})}
        if self._signer is not None:
            all_headers = self._signer.sign(message.TOPIC, own_key.encode(), all_headers, value)
        await self.send_bytes(message.TOPIC, own_key, value, all_headers)

    async def send_bytes(
        self,
        topic: str,
        key: str | bytes | None,
        value: bytes | None,
        headers: Mapping[str, str] | Sequence[tuple[str, bytes | None]] = (),
        *,
        partition: int | None = None,
    ) -> None:
        """Send bytes unchanged. MessageTooLarge, or BrokerAway (it may have arrived: send the same again)."""
        await (await self.post_bytes(topic, key, value, headers, partition=partition))

    async def post_bytes(
        self,
        topic: str,
        key: str | bytes | None,
        value: bytes | None,
        headers: Mapping[str, str] | Sequence[tuple[str, bytes | None]] = (),
        *,
        partition: int | None = None,
    ) -> Awaitable[None]:
        """Queue without waiting for the acknowledgement; await the result for it. The order of calls is kept."""
        client = await self._connected()
        wire = to_wire(headers) if isinstance(headers, Mapping) else [(n, v or b"") for n, v in headers]
        raw_key = key.encode() if isinstance(key, str) else key
        try:
            sent = await client.send(topic, value, key=raw_key, partition=partition, headers=wire)
        except Exception as error:
            raise await self._meaning(client, topic, error) from error
        return self._acknowledged(client, topic, sent)

    async def _acknowledged(self, client: Any, topic: str, sent: Awaitable[Any]) -> None:
        try:
            await sent
        except Exception as error:
            raise await self._meaning(client, topic, error) from error

    async def _ensure(self, name: str) -> None:
        if name in self._made:
            return
        async with self._starting:  # the first of many senders creates it
            if name not in self._made and (ours := [spec for spec in all_topics() if spec.name == name]):
                await ensure_topics(self._bootstrap, ours)
            self._made.add(name)

    async def _connected(self) -> Any:
        async with self._starting:
            if self._client is None:
                where = client_settings(self._bootstrap)
                client = AIOKafkaProducer(**where, enable_idempotence=True, **self._settings)
                try:
                    await start_client(client, self._bootstrap)
                except (KafkaError, OSError, BrokerAway) as error:
                    await stop_producer(client, STOP_TIMEOUT_S)
                    if isinstance(error, BrokerAway):
                        raise
                    raise BrokerAway(f"Kafka at {self._bootstrap}: {explain(error, self._bootstrap)}") from error
                self._client = client
            return self._client

    async def _meaning(self, client: Any, topic: str, error: Exception) -> Exception:
        """Translate an error; after a fatal one the next call connects again."""
        if isinstance(error, MessageSizeTooLargeError | RecordListTooLargeError):
            return MessageTooLarge(f"{topic}: {error}")
        if not isinstance(error, KafkaError | OSError | asyncio.TimeoutError):
            return error
        if not getattr(error, "retriable", False) and self._client is client:
            self._client = None
            await stop_producer(client, STOP_TIMEOUT_S)
        return BrokerAway(f"{topic}: {explain(error, self._bootstrap)}")


__all__ = ["Producer", "ProducerFenced"]
