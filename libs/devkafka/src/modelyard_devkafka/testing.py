"""A minimal client for tests: one request in one version, one response. Works with any Kafka."""

from __future__ import annotations

import socket
import struct
from collections.abc import Sequence
from types import TracebackType

from aiokafka.record.default_records import DefaultRecordBatchBuilder

from modelyard_devkafka.wire.admin_apis import API_VERSIONS, CREATE_TOPICS
from modelyard_devkafka.wire.api import Api
from modelyard_devkafka.wire.data_apis import FETCH, PRODUCE
from modelyard_devkafka.wire.primitives import text
from modelyard_devkafka.wire.schema import Message, codec

_, _write_text = text(flexible=False)


class ConnectionLost(Exception):
    """The broker closed the connection instead of answering."""


class RawClient:
    """One connection."""

    def __init__(self, bootstrap: str, *, client_id: str = "raw", timeout_seconds: float = 30.0) -> None:
        host, _, port = bootstrap.rpartition(":")
        self._socket = socket.create_connection((host, int(port)), timeout=timeout_seconds)
        self._client_id, self._correlation = client_id, 0

    def __enter__(self) -> RawClient:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._socket.close()

    def ask(self, api: Api, version: int, **fields: object) -> Message:
        """Send a request and return the response. Raises ConnectionLost or MalformedMessage."""
        self.send(api, version, **fields)
        return self.receive(api, version)

    def send(self, api: Api, version: int, **fields: object) -> None:
        self._correlation += 1
        out = [struct.pack(">hhi", api.key, version, self._correlation)]
        _write_text(out, self._client_id)
        if api.flexible(version):
            out.append(b"\0")
        out += codec(api.request, version, api.flexible(version)).encode(fields)
        frame = b"".join(out)
        self.send_bytes(struct.pack(">i", len(frame)) + frame)

    def send_bytes(self, data: bytes) -> None:
        self._socket.sendall(data)

    def receive(self, api: Api, version: int) -> Message:
        """Return the next response; fails if bytes are left over."""
        (size,) = struct.unpack(">i", self._exactly(4))
        frame = self._exactly(size)
        at = 5 if api.flexible(version) and api is not API_VERSIONS else 4
        reader = api.writes(version)
        message, end = reader.read(memoryview(frame), at)
        if end != len(frame):
            raise AssertionError(f"{api.name} v{version}: {len(frame) - end} bytes left in the reply")
        return message  # type: ignore[no-any-return]

    def _exactly(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            try:
                chunk = self._socket.recv(size - len(data))
            except ConnectionError as problem:
                raise ConnectionLost(str(problem)) from problem
            if not chunk:
                raise ConnectionLost("end of stream")
            data += chunk
        return data

    # Requests that most tests need

    def create_topic(self, name: str, partitions: int = 1, **configs: object) -> int:
        """Return the error code; configs as keywords, with _ for the dot."""
        entries = [{"name": key.replace("_", "."), "value": str(value)} for key, value in configs.items()]
        topic = {"name": name, "num_partitions": partitions, "replication_factor": 1, "configs": entries}
        reply = self.ask(CREATE_TOPICS, 3, topics=[topic], timeout_ms=10_000, validate_only=False)
        return int(reply["topics"][0]["error_code"])

    def produce(
        self, topic: str, records: bytes | bytearray, *, index: int = 0, transactional_id: str | None = None
    ) -> Message:
        """Return the response for the partition."""
        item = {"name": topic, "partitions": [{"index": index, "records": bytes(records)}]}
        reply = self.ask(PRODUCE, 8, transactional_id=transactional_id, acks=-1, timeout_ms=10_000, topics=[item])
        return reply["topics"][0]["partitions"][0]  # type: ignore[no-any-return]

    def fetch(
        self, topic: str, offset: int, *, index: int = 0, committed: bool = False, max_wait_ms: int = 0,
        max_bytes: int = 1 << 20,
    ) -> Message:  # fmt: skip
        """Return the response for the partition."""
        item = {"name": topic, "partitions": [{"index": index, "fetch_offset": offset, "max_bytes": max_bytes}]}
        reply = self.ask(
            FETCH, 11, replica_id=-1, max_wait_ms=max_wait_ms, min_bytes=1, max_bytes=50 << 20, session_epoch=-1,
            isolation_level=int(committed), topics=[{**item, "partitions": [_with_defaults(item)]}], rack_id="",
        )  # fmt: skip
        return reply["topics"][0]["partitions"][0]  # type: ignore[no-any-return]


def _with_defaults(item: Message) -> Message:
    return {"current_leader_epoch": -1, "log_start_offset": -1, **item["partitions"][0]}


def record_batch(
    values: Sequence[bytes | None],
    *,
    keys: Sequence[bytes | None] | None = None,
    producer: tuple[int, int] = (-1, -1),
    sequence: int = -1,
    transactional: bool = False,
    timestamp_ms: int = 1_700_000_000_000,
    codec_id: int = 0,
) -> bytes:
    """Return a batch as a producer sends it; `producer` is (producer id, epoch)."""
    builder = DefaultRecordBatchBuilder(2, codec_id, int(transactional), *producer, sequence, 1 << 30)
    for offset, value in enumerate(values):
        key = keys[offset] if keys is not None else None
        builder.append(offset, timestamp_ms, key, value, [])
    return bytes(builder.build())
