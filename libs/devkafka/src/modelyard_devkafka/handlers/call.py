"""Context of a request."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass

from modelyard_devkafka.broker import Broker
from modelyard_devkafka.errors import Code, Refused
from modelyard_devkafka.groups.offsets import Where
from modelyard_devkafka.wire.schema import Message


@dataclass(frozen=True)
class Call:
    """The client and version of a request."""

    broker: Broker
    version: int
    client_id: str
    host: str


Handler = Callable[[Call, Message], Message | Awaitable[Message]]


def each_partition(request: Message, handle: Callable[[str, Message], Message]) -> list[Message]:
    """Return the response's topics: the result of `handle` per partition, or the code it was refused with."""
    return [
        {"name": topic["name"], "partitions": [_answer(topic["name"], item, handle) for item in topic["partitions"]]}
        for topic in request["topics"] or ()
    ]


def _answer(topic: str, item: Message, handle: Callable[[str, Message], Message]) -> Message:
    try:
        return {"index": item["index"], "error_code": Code.NONE, **handle(topic, item)}
    except Refused as refused:
        return {"index": item["index"], "error_code": refused.code, "error_message": refused.message}


def same_code(request: Message, code: Code) -> list[Message]:
    """Return the response's topics with one code for every partition."""
    return each_partition(request, lambda topic, item: {"error_code": code})


def wheres(request: Message) -> Iterator[Where]:
    """Yield topic and partition of every item; partitions may be records or numbers."""
    for topic in request["topics"] or ():
        for item in topic["partitions"]:
            yield topic["name"], item["index"] if isinstance(item, dict) else item
