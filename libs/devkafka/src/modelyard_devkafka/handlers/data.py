"""Produce, Fetch, offsets of partitions, metadata."""

from __future__ import annotations

import asyncio
from functools import partial

from modelyard_devkafka.broker import NODE_ID
from modelyard_devkafka.errors import Code, Refused
from modelyard_devkafka.groups.offsets import Where
from modelyard_devkafka.handlers.call import Call, each_partition
from modelyard_devkafka.storage import batch as batches
from modelyard_devkafka.storage.partition import Partition
from modelyard_devkafka.topics import check_name
from modelyard_devkafka.wire.schema import Message

_LATEST, _EARLIEST = -1, -2
_READ_COMMITTED = 1


def produce(call: Call, request: Message) -> Message:
    """Append a batch and respond once it is in the file; no response with acks=0 (see the server)."""
    if call.version < 3:
        code = Code.UNSUPPORTED_VERSION  # offered because old librdkafka requires v0, as Kafka 4 does
    elif request["acks"] not in (-1, 0, 1):
        code = Code.INVALID_REQUIRED_ACKS
    else:
        return {"topics": each_partition(request, partial(_append, call, request["transactional_id"]))}
    return {"topics": each_partition(request, lambda topic, item: {"error_code": code, "base_offset": -1})}


def _append(call: Call, transactional_id: str | None, topic: str, item: Message) -> Message:
    index, records = item["index"], item["records"]
    partition = call.broker.topics.partition(topic, index)
    try:
        _check_transaction(call, transactional_id, (topic, index), records)
        done = partition.append(records)
    except Refused as refused:
        return {"error_code": refused.code, "error_message": refused.message, "base_offset": -1}
    return {
        "base_offset": done.base_offset,
        "log_append_time_ms": done.append_time_ms,
        "log_start_offset": partition.log_start,
    }


def _check_transaction(call: Call, name: str | None, where: Where, records: memoryview | None) -> None:
    if records is None or len(records) < batches.HEADER.size:
        raise Refused(Code.CORRUPT_MESSAGE, "no batch in the request")
    header = batches.header_at(records)
    if header.magic == 2 and header.transactional:
        if name is None:  # Kafka's answer as well, without access control
            raise Refused(Code.TRANSACTIONAL_ID_AUTHORIZATION_FAILED)
        call.broker.transactions.check_write(header.producer_id, header.producer_epoch, where)


async def fetch(call: Call, request: Message) -> Message:
    """Read from the given offsets; waits up to max_wait_ms for min_bytes and wakes on an append."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + request["max_wait_ms"] / 1000
    while True:
        topics, size, urgent = _collect(call, request)
        remaining = deadline - loop.time()
        if urgent or size >= request["min_bytes"] or remaining <= 0:
            return {"session_id": 0, "topics": topics}
        await _more(call, request, remaining)


def _wake(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)


async def _more(call: Call, request: Message, seconds: float) -> None:
    """Return when a partition may hold more records, or at the timeout."""
    loop = asyncio.get_running_loop()
    waiter: asyncio.Future[None] = loop.create_future()
    timer = loop.call_later(seconds, _wake, waiter)
    partitions = [partition for partition in _asked(call, request) if partition is not None]
    for partition in partitions:
        partition.waiters.add(waiter)
    try:
        await waiter
    finally:
        timer.cancel()
        for partition in partitions:
            partition.waiters.discard(waiter)


def _asked(call: Call, request: Message) -> list[Partition | None]:
    found: list[Partition | None] = []
    for topic in request["topics"]:
        for item in topic["partitions"]:
            try:
                found.append(call.broker.topics.partition(topic["name"], item["index"]))
            except Refused:
                found.append(None)
    return found


def _collect(call: Call, request: Message) -> tuple[list[Message], int, bool]:
    """Return the available records, their size, and whether to respond at once (an error)."""
    left, size, urgent = request["max_bytes"], 0, False
    committed = request["isolation_level"] == _READ_COMMITTED

    def one(topic: str, item: Message) -> Message:
        nonlocal left, size, urgent
        try:
            partition = call.broker.topics.partition(topic, item["index"])
            limit = min(item["max_bytes"], left)
            records, aborted = partition.read(item["fetch_offset"], limit, committed=committed, at_least_one=size == 0)
        except Refused as refused:
            urgent = True
            return {"error_code": refused.code, "records": b"", "aborted_transactions": None}
        left, size = left - len(records), size + len(records)
        return {
            "high_watermark": partition.next_offset,
            "last_stable_offset": partition.last_stable_offset,
            "log_start_offset": partition.log_start,
            "aborted_transactions": [a._asdict() for a in aborted] if committed else None,
            "records": records,
        }

    return each_partition(request, one), size, urgent


def list_offsets(call: Call, request: Message) -> Message:
    def one(topic: str, item: Message) -> Message:
        partition, wanted = call.broker.topics.partition(topic, item["index"]), item["timestamp"]
        if wanted == _EARLIEST:
            return {"offset": partition.log_start, "leader_epoch": batches.LEADER_EPOCH}
        if wanted == _LATEST:
            committed = request["isolation_level"] == _READ_COMMITTED
            end = partition.last_stable_offset if committed else partition.next_offset
            return {"offset": end, "leader_epoch": batches.LEADER_EPOCH}
        offset, timestamp = partition.offset_for_time(wanted)
        return {"offset": offset, "timestamp": timestamp}

    return {"topics": each_partition(request, one)}


def offset_for_leader_epoch(call: Call, request: Message) -> Message:
    """There is only one leader epoch."""

    def one(topic: str, item: Message) -> Message:
        partition = call.broker.topics.partition(topic, item["index"])
        if item["leader_epoch"] != batches.LEADER_EPOCH:
            return {}
        return {"leader_epoch": batches.LEADER_EPOCH, "end_offset": partition.next_offset}

    return {"topics": each_partition(request, one)}


def delete_records(call: Call, request: Message) -> Message:
    def one(topic: str, item: Message) -> Message:
        partition = call.broker.topics.partition(topic, item["index"])
        until = partition.next_offset if item["offset"] == -1 else item["offset"]
        if not 0 <= until <= partition.next_offset:
            raise Refused(Code.OFFSET_OUT_OF_RANGE)
        call.broker.topics.advance_start(call.broker.topics.get(topic), item["index"], until)
        return {"low_watermark": partition.log_start}

    return {"topics": each_partition(request, one)}


def metadata(call: Call, request: Message) -> Message:
    """Return metadata; never creates a topic."""
    names, broker = request["topics"], call.broker
    if names is None or (call.version == 0 and not names):
        names = [topic.name for topic in broker.topics]
    return {
        "brokers": [{"node_id": NODE_ID, "host": broker.host, "port": broker.port, "rack": None}],
        "cluster_id": broker.cluster_id,
        "controller_id": NODE_ID,
        "topics": [_described(call, name) for name in names],
    }


def _described(call: Call, name: str) -> Message:
    try:
        count = len(call.broker.topics.get(check_name(name)).partitions)
    except Refused as refused:
        return {"error_code": refused.code, "name": name, "partitions": []}
    node = [NODE_ID]
    return {
        "error_code": Code.NONE,
        "name": name,
        "partitions": [
            {"error_code": Code.NONE, "index": index, "leader_id": NODE_ID, "replica_nodes": node, "isr_nodes": node}
            for index in range(count)
        ],
    }
