"""Consumer groups and their offsets."""

from __future__ import annotations

from modelyard_devkafka.broker import NODE_ID
from modelyard_devkafka.errors import Code, Refused
from modelyard_devkafka.groups.group import Group, JoinRequest, MemberIdRequired, State
from modelyard_devkafka.groups.offsets import NOTHING, Committed, Where
from modelyard_devkafka.handlers.call import Call, each_partition, same_code
from modelyard_devkafka.storage.partition import now_ms
from modelyard_devkafka.wire.schema import Message

_SESSION_MS = range(500, 1_800_001)  # group.min and group.max.session.timeout.ms
_MAX_METADATA_BYTES = 4096


def find_coordinator(call: Call, request: Message) -> Message:
    return {"error_code": Code.NONE, "node_id": NODE_ID, "host": call.broker.host, "port": call.broker.port}


async def join_group(call: Call, request: Message) -> Message:
    """Responds once the generation is complete."""
    refused = {"protocol_name": "", "leader": "", "member_id": request["member_id"], "members": []}
    if request["session_timeout_ms"] not in _SESSION_MS:
        return {**refused, "error_code": Code.INVALID_SESSION_TIMEOUT}
    coordinator = call.broker.groups
    try:
        group = coordinator.group(request["group_id"], create=not request["member_id"])
        reply = group.join(_join_request(call, request))
    except MemberIdRequired as required:
        return {**refused, "error_code": required.code, "member_id": required.member_id}
    except Refused as problem:
        return {**refused, "error_code": problem.code}
    coordinator.store(group)
    return await reply


def _join_request(call: Call, request: Message) -> JoinRequest:
    session_ms = request["session_timeout_ms"]
    return JoinRequest(
        member_id=request["member_id"],
        instance_id=request["group_instance_id"],
        client_id=call.client_id,
        host=call.host,
        session_ms=session_ms,
        rebalance_ms=session_ms if request["rebalance_timeout_ms"] < 0 else request["rebalance_timeout_ms"],
        protocol_type=request["protocol_type"],
        protocols=[(p["name"], bytes(p["metadata"] or b"")) for p in request["protocols"]],
        id_first=call.version >= 4,
    )


async def sync_group(call: Call, request: Message) -> Message:
    """Responds once the leader has assigned partitions."""
    assignments = {a["member_id"]: bytes(a["assignment"] or b"") for a in request["assignments"]}
    coordinator = call.broker.groups
    try:
        group = coordinator.group(request["group_id"])
        reply = group.sync(request["member_id"], request["group_instance_id"], request["generation_id"], assignments)
    except Refused as refused:
        return {"error_code": refused.code, "assignment": b""}
    coordinator.store(group)
    return {"assignment": b"", **await reply}


def heartbeat(call: Call, request: Message) -> Message:
    try:
        group = call.broker.groups.group(request["group_id"])
        group.heartbeat(request["member_id"], request["group_instance_id"], request["generation_id"])
    except Refused as refused:
        return {"error_code": refused.code}
    return {"error_code": Code.NONE}


def leave_group(call: Call, request: Message) -> Message:
    try:
        group = call.broker.groups.group(request["group_id"])
        if call.version < 3:
            group.leave(request["member_id"], None)
            return {"error_code": Code.NONE}
    except Refused as refused:
        return {"error_code": refused.code, "members": []}
    return {"error_code": Code.NONE, "members": [_left(group, member) for member in request["members"]]}


def _left(group: Group, member: Message) -> Message:
    try:
        group.leave(member["member_id"], member["group_instance_id"])
    except Refused as refused:
        return {**member, "error_code": refused.code}
    return {**member, "error_code": Code.NONE}


def committed_offsets(call: Call, request: Message) -> tuple[dict[Where, Committed], list[Message]]:
    """Return the valid offsets, and the response with a code for each."""
    offsets: dict[Where, Committed] = {}

    def one(topic: str, item: Message) -> Message:
        metadata = item["committed_metadata"] or ""
        if len(metadata) > _MAX_METADATA_BYTES:
            raise Refused(Code.OFFSET_METADATA_TOO_LARGE)
        call.broker.topics.partition(topic, item["index"])
        offsets[topic, item["index"]] = Committed(
            item["committed_offset"], metadata, item["committed_leader_epoch"], now_ms()
        )
        return {}

    return offsets, each_partition(request, one)


def offset_commit(call: Call, request: Message) -> Message:
    coordinator, group_id = call.broker.groups, request["group_id"]
    try:
        coordinator.check_commit(
            group_id, request["member_id"], request["group_instance_id"], request["generation_id"],
            transactional=False,
        )  # fmt: skip
    except Refused as refused:
        return {"topics": same_code(request, refused.code)}
    offsets, topics = committed_offsets(call, request)
    coordinator.commit(group_id, offsets)
    return {"topics": topics}


def offset_fetch(call: Call, request: Message) -> Message:
    """Return -1 for unknown groups and partitions; creates no group."""
    offsets, group_id = call.broker.groups.offsets, request["group_id"]
    asked: dict[str, list[int]] = {}
    for name, indexes in _asked_or_all(call, request):
        asked.setdefault(name, []).extend(indexes)

    def one(name: str, index: int) -> Message:
        if request["require_stable"] and offsets.unstable(group_id, (name, index)):
            return {"index": index, "error_code": Code.UNSTABLE_OFFSET_COMMIT, "metadata": ""}
        kept = offsets.of(group_id).get((name, index), NOTHING)
        return {
            "index": index, "committed_offset": kept.offset, "committed_leader_epoch": kept.leader_epoch,
            "metadata": kept.metadata, "error_code": Code.NONE,
        }  # fmt: skip

    topics = [{"name": name, "partitions": [one(name, i) for i in indexes]} for name, indexes in asked.items()]
    return {"topics": topics, "error_code": Code.NONE}


def _asked_or_all(call: Call, request: Message) -> list[tuple[str, list[int]]]:
    if request["topics"] is not None:
        return [(topic["name"], topic["partitions"]) for topic in request["topics"]]
    return [(name, [index]) for name, index in sorted(call.broker.groups.offsets.of(request["group_id"]))]


def offset_delete(call: Call, request: Message) -> Message:
    coordinator, group_id = call.broker.groups, request["group_id"]
    if group_id not in coordinator.known():
        return {"error_code": Code.GROUP_ID_NOT_FOUND, "topics": []}
    group = coordinator.groups.get(group_id)

    def one(topic: str, item: Message) -> Message:
        call.broker.topics.partition(topic, item["index"])
        if group is not None and group.state is not State.EMPTY:
            raise Refused(Code.GROUP_SUBSCRIBED_TO_TOPIC)
        coordinator.offsets.forget(group_id, [(topic, item["index"])])
        return {}

    return {"error_code": Code.NONE, "topics": each_partition(request, one)}


def describe_groups(call: Call, request: Message) -> Message:
    return {"groups": [_described(call, group_id) for group_id in request["groups"] or ()]}


def _described(call: Call, group_id: str) -> Message:
    known, group = call.broker.groups.known(), call.broker.groups.groups.get(group_id)
    reply = {"error_code": Code.NONE, "group_id": group_id, "protocol_type": "", "protocol_data": "", "members": []}
    if group is None:
        return {**reply, "group_state": State.EMPTY.value if group_id in known else "Dead"}
    protocol = group.protocol if group.state is State.STABLE else ""
    members = [
        {
            "member_id": m.id, "group_instance_id": m.instance_id, "client_id": m.client_id, "client_host": m.host,
            "member_metadata": m.metadata(protocol), "member_assignment": m.assignment,
        }
        for m in group.members.values()
    ]  # fmt: skip
    return {
        **reply, "group_state": group.state.value, "protocol_type": group.protocol_type, "protocol_data": protocol,
        "members": members,
    }  # fmt: skip


def list_groups(call: Call, request: Message) -> Message:
    wanted = {state.lower() for state in request["states_filter"] or ()}
    groups = []
    for group_id, group in call.broker.groups.known().items():
        state = State.EMPTY.value if group is None else group.state.value
        kind = "" if group is None else group.protocol_type
        if not wanted or state.lower() in wanted:
            groups.append({"group_id": group_id, "protocol_type": kind, "group_state": state})
    return {"error_code": Code.NONE, "groups": groups}


def delete_groups(call: Call, request: Message) -> Message:
    return {"groups": [_deleted(call, group_id) for group_id in request["groups"] or ()]}


def _deleted(call: Call, group_id: str) -> Message:
    try:
        call.broker.groups.delete(group_id)
    except Refused as refused:
        return {"group_id": group_id, "error_code": refused.code}
    return {"group_id": group_id, "error_code": Code.NONE}
