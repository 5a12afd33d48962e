"""Idempotent and transactional producers."""

from __future__ import annotations

from modelyard_devkafka.errors import Code, Refused
from modelyard_devkafka.handlers.call import Call, same_code, wheres
from modelyard_devkafka.handlers.groups import committed_offsets
from modelyard_devkafka.wire.schema import Message

_FENCED_CODE_SINCE = 2  # older versions of these APIs know INVALID_PRODUCER_EPOCH only


def init_producer_id(call: Call, request: Message) -> Message:
    transactions, name = call.broker.transactions, request["transactional_id"]
    try:
        if name is None:
            producer_id, epoch = transactions.new_producer(), 0
        else:
            producer_id, epoch = transactions.begin_session(name, request["transaction_timeout_ms"])
    except Refused as refused:
        return {"error_code": refused.code}
    return {"error_code": Code.NONE, "producer_id": producer_id, "producer_epoch": epoch}


def _code(call: Call, refused: Refused, since: int = _FENCED_CODE_SINCE) -> Code:
    if refused.code is Code.PRODUCER_FENCED and call.version < since:
        return Code.INVALID_PRODUCER_EPOCH
    return refused.code


def _who(request: Message) -> tuple[str, int, int]:
    return request["transactional_id"], request["producer_id"], request["producer_epoch"]


def add_partitions_to_txn(call: Call, request: Message) -> Message:
    """All partitions or none."""
    named = [
        {"name": topic["name"], "partitions": [{"index": index} for index in topic["partitions"]]}
        for topic in request["topics"]
    ]
    unknown = {where for where in wheres(request) if not call.broker.topics.exists(*where)}
    if unknown:
        return {"topics": [_refused_topic(topic, unknown) for topic in named]}
    try:
        call.broker.transactions.add_partitions(*_who(request), list(wheres(request)))
    except Refused as refused:
        return {"topics": same_code({"topics": named}, _code(call, refused))}
    return {"topics": same_code({"topics": named}, Code.NONE)}


def _refused_topic(topic: Message, unknown: set[tuple[str, int]]) -> Message:
    name, partitions = topic["name"], []
    for item in topic["partitions"]:
        missing = (name, item["index"]) in unknown
        code = Code.UNKNOWN_TOPIC_OR_PARTITION if missing else Code.OPERATION_NOT_ATTEMPTED
        partitions.append({"index": item["index"], "error_code": code})
    return {"name": name, "partitions": partitions}


def add_offsets_to_txn(call: Call, request: Message) -> Message:
    try:
        call.broker.transactions.add_group(*_who(request), request["group_id"])
    except Refused as refused:
        return {"error_code": _code(call, refused)}
    return {"error_code": Code.NONE}


def txn_offset_commit(call: Call, request: Message) -> Message:
    """From v3 on, the request carries member id and generation, so a stalled member is refused (KIP-447)."""
    group_id = request["group_id"]
    try:
        call.broker.groups.check_commit(
            group_id, request["member_id"] or "", request["group_instance_id"], request["generation_id"],
            transactional=True,
        )  # fmt: skip
        offsets, topics = committed_offsets(call, request)
        call.broker.transactions.add_offsets(*_who(request), group_id, offsets)
    except Refused as refused:
        return {"topics": same_code(request, _code(call, refused, since=99))}
    return {"topics": topics}


def end_txn(call: Call, request: Message) -> Message:
    try:
        call.broker.transactions.end(*_who(request), committed=request["committed"])
    except Refused as refused:
        return {"error_code": _code(call, refused)}
    return {"error_code": Code.NONE}
