"""Topics, their configuration, and the broker's capabilities."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from modelyard_devkafka import configs
from modelyard_devkafka.broker import NODE_ID
from modelyard_devkafka.errors import Code, Refused
from modelyard_devkafka.handlers.call import Call
from modelyard_devkafka.topics import DEFAULT_PARTITIONS, check_name
from modelyard_devkafka.wire.schema import Message

_TOPIC, _BROKER = 2, 4
_OWN, _DEFAULT, _STATIC = 1, 5, 4  # source of a configured value
_SET, _DELETE, _APPEND, _SUBTRACT = range(4)


def create_topics(call: Call, request: Message) -> Message:
    return {"topics": [_named(topic["name"], partial(_create, call, topic, request)) for topic in request["topics"]]}


def _named(name: str, act: Callable[[], None]) -> Message:
    try:
        act()
    except Refused as refused:
        return {"name": name, "error_code": refused.code, "error_message": refused.message}
    return {"name": name, "error_code": Code.NONE, "error_message": None}


def _create(call: Call, topic: Message, request: Message) -> None:
    check_name(topic["name"])
    own = {entry["name"]: entry["value"] for entry in topic["configs"]}
    call.broker.topics.create(topic["name"], _partition_count(topic), own, validate_only=bool(request["validate_only"]))


def _partition_count(topic: Message) -> int:
    """Return partitions and replication factor; -1 means the broker's default. Raises Refused."""
    partitions, factor, assigned = topic["num_partitions"], topic["replication_factor"], topic["assignments"]
    if assigned:
        if (partitions, factor) != (-1, -1):
            raise Refused(Code.INVALID_REQUEST, "give either assignments or partitions and replication factor")
        if sorted(a["partition_index"] for a in assigned) != list(range(len(assigned))):
            raise Refused(Code.INVALID_REPLICA_ASSIGNMENT, "partitions are numbered from 0 without gaps")
        if any(a["broker_ids"] != [NODE_ID] for a in assigned):
            raise Refused(Code.INVALID_REPLICA_ASSIGNMENT, f"the only broker is {NODE_ID}")
        return len(assigned)
    if factor not in (-1, 1):
        raise Refused(Code.INVALID_REPLICATION_FACTOR, f"replication factor {factor}: there is one broker")
    return DEFAULT_PARTITIONS if partitions == -1 else int(partitions)


def delete_topics(call: Call, request: Message) -> Message:
    topics = call.broker.topics
    return {"topics": [_named(name, partial(topics.delete, name)) for name in request["topics"] or ()]}


def create_partitions(call: Call, request: Message) -> Message:
    def grow(topic: Message) -> None:
        call.broker.topics.add_partitions(topic["name"], topic["count"], validate_only=bool(request["validate_only"]))

    return {"topics": [_named(topic["name"], partial(grow, topic)) for topic in request["topics"]]}


def describe_configs(call: Call, request: Message) -> Message:
    return {"resources": [_resource(item, partial(_described, call, item)) for item in request["resources"]]}


def _resource(item: Message, act: Callable[[], Message | None]) -> Message:
    reply = {"resource_type": item["resource_type"], "resource_name": item["resource_name"], "error_message": None}
    try:
        return {**reply, "error_code": Code.NONE, **(act() or {})}
    except Refused as refused:
        return {**reply, "error_code": refused.code, "error_message": refused.message, "configs": []}


def _described(call: Call, item: Message) -> Message:
    wanted = item["configuration_keys"]
    if item["resource_type"] == _BROKER:
        values = {"auto.create.topics.enable": "false", "num.partitions": str(DEFAULT_PARTITIONS)}
        entries = [_entry(key, value, configs.STRING, _STATIC, read_only=True) for key, value in values.items()]
    elif item["resource_type"] == _TOPIC:
        config = call.broker.topics.get(item["resource_name"]).config
        entries = [
            _entry(key, config.value(key), known.kind, _OWN if key in config.own else _DEFAULT)
            for key, known in configs.TOPIC_KEYS.items()
        ]
    else:
        raise Refused(Code.INVALID_REQUEST, f"no resources of type {item['resource_type']}")
    return {"configs": [entry for entry in entries if not wanted or entry["name"] in wanted]}


def _entry(name: str, value: str, kind: int, source: int, *, read_only: bool = False) -> Message:
    return {
        "name": name, "value": value, "read_only": read_only, "is_default": source == _DEFAULT,
        "config_source": source, "is_sensitive": False, "synonyms": [], "config_type": kind, "documentation": None,
    }  # fmt: skip


def alter_configs(call: Call, request: Message) -> Message:
    """Replace a topic's own values."""

    def alter(item: Message) -> None:
        own = {entry["name"]: entry["value"] for entry in item["configs"]}
        _configure(call, item, own, request)

    return {"resources": [_resource(item, partial(alter, item)) for item in request["resources"]]}


def incremental_alter_configs(call: Call, request: Message) -> Message:
    """Change single values; append and subtract apply to lists."""

    def alter(item: Message) -> None:
        _check_type(item)
        own: dict[str, str | None] = dict(call.broker.topics.get(item["resource_name"]).config.own)
        for entry in item["configs"]:
            _change(own, entry)
        _configure(call, item, own, request)

    return {"resources": [_resource(item, partial(alter, item)) for item in request["resources"]]}


def _change(own: dict[str, str | None], entry: Message) -> None:
    key, operation, value = entry["name"], entry["config_operation"], entry["value"]
    if key not in configs.TOPIC_KEYS:
        raise Refused(Code.INVALID_CONFIG, f"Unknown topic config name: {key}")
    if operation == _SET:
        own[key] = value
    elif operation == _DELETE:
        own.pop(key, None)
    elif operation not in (_APPEND, _SUBTRACT):
        raise Refused(Code.INVALID_REQUEST, f"Unknown operation {operation} for configuration {key}")
    elif configs.TOPIC_KEYS[key].kind != configs.LIST:
        raise Refused(Code.INVALID_CONFIG, f"Can't append or subtract: {key} is not a list")
    else:
        parts = [part for part in (own.get(key) or configs.TOPIC_KEYS[key].default).split(",") if part]
        given = [part.strip() for part in (value or "").split(",")]
        kept = [part for part in parts if part not in given]
        own[key] = ",".join(kept if operation == _SUBTRACT else parts + [part for part in given if part not in parts])


def _configure(call: Call, item: Message, own: dict[str, str | None], request: Message) -> None:
    _check_type(item)
    call.broker.topics.configure(item["resource_name"], own, validate_only=bool(request["validate_only"]))


def _check_type(item: Message) -> None:
    if item["resource_type"] != _TOPIC:
        raise Refused(Code.INVALID_REQUEST, "only topics can be configured")
