"""Topic configuration: Kafka's keys, defaults and valid values."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Final

from modelyard_devkafka.errors import Code, Refused

BOOLEAN, STRING, INT, LONG, DOUBLE, LIST = 1, 2, 3, 5, 6, 7  # config types as DescribeConfigs numbers them
_INT_MAX, _LONG_MAX = 2**31 - 1, 2**63 - 1


@dataclass(frozen=True)
class Key:
    """One configuration key; `valid` returns whether a string is a valid value."""

    default: str
    kind: int
    valid: Callable[[str], bool]


def _number(default: int, low: int, high: int, kind: int) -> Key:
    def valid(text: str) -> bool:
        try:
            return low <= int(text) <= high
        except ValueError:
            return False

    return Key(str(default), kind, valid)


def _int(default: int, low: int = 0) -> Key:
    return _number(default, low, _INT_MAX, INT)


def _long(default: int, low: int = 0) -> Key:
    return _number(default, low, _LONG_MAX, LONG)


def _one_of(default: str, *values: str) -> Key:
    return Key(default, STRING, lambda text: text in values)


def _bool(default: str) -> Key:
    return Key(default, BOOLEAN, lambda text: text.lower() in ("true", "false"))


def _ratio(text: str) -> bool:
    try:
        return 0 <= float(text) <= 1
    except ValueError:
        return False


def _policy(text: str) -> bool:
    return all(part.strip() in ("delete", "compact", "") for part in text.split(","))


_WEEK_MS: Final = 604_800_000

# Honoured: cleanup.policy, delete.retention.ms, max.message.bytes, message.timestamp.type, min.cleanable.dirty.ratio,
# retention.*, segment.bytes, segment.ms. The rest is kept and described, and has no effect on a single node.
TOPIC_KEYS: Final[Mapping[str, Key]] = {
    "cleanup.policy": Key("delete", LIST, _policy),
    "compression.gzip.level": _int(-1, -1),
    "compression.lz4.level": _int(9, 1),
    "compression.type": _one_of("producer", "uncompressed", "zstd", "lz4", "snappy", "gzip", "producer"),
    "compression.zstd.level": _int(3, -131072),
    "delete.retention.ms": _long(86_400_000),
    "file.delete.delay.ms": _long(60_000),
    "flush.messages": _long(_LONG_MAX, 1),
    "flush.ms": _long(_LONG_MAX),
    "follower.replication.throttled.replicas": Key("", LIST, lambda text: True),
    "index.interval.bytes": _int(4096),
    "leader.replication.throttled.replicas": Key("", LIST, lambda text: True),
    "local.retention.bytes": _long(-2, -2),
    "local.retention.ms": _long(-2, -2),
    "max.compaction.lag.ms": _long(_LONG_MAX, 1),
    "max.message.bytes": _int(1_048_588),
    "message.timestamp.after.max.ms": _long(_LONG_MAX),
    "message.timestamp.before.max.ms": _long(_LONG_MAX),
    "message.timestamp.type": _one_of("CreateTime", "CreateTime", "LogAppendTime"),
    "min.cleanable.dirty.ratio": Key("0.5", DOUBLE, _ratio),
    "min.compaction.lag.ms": _long(0),
    "min.insync.replicas": _int(1, 1),
    "preallocate": _bool("false"),
    "remote.storage.enable": _bool("false"),
    "retention.bytes": _long(-1, -1),
    "retention.ms": _long(_WEEK_MS, -1),
    "segment.bytes": _int(16 * 1024 * 1024, 14),  # Kafka: 1 GiB; small, so that retention frees disk early
    "segment.index.bytes": _int(10_485_760, 4),
    "segment.jitter.ms": _long(0),
    "segment.ms": _long(_WEEK_MS, 1),
    "unclean.leader.election.enable": _bool("false"),
}


def check(key: str, value: str | None) -> str:
    """Return the value if it is valid. Raises Refused (INVALID_CONFIG), naming key and value."""
    known = TOPIC_KEYS.get(key)
    if known is None:
        raise Refused(Code.INVALID_CONFIG, f"Unknown topic config name: {key}")
    if value is None:
        raise Refused(Code.INVALID_CONFIG, f"Null value not supported for topic config: {key}")
    if not known.valid(value.strip()):
        raise Refused(Code.INVALID_CONFIG, f"Invalid value {value} for configuration {key}")
    return value.strip()


class TopicConfig:
    """A topic's own values over the defaults; the broker reads the properties below on every use."""

    def __init__(self, own: Mapping[str, str] | None = None) -> None:
        self.own: dict[str, str] = dict(own or {})

    def value(self, key: str) -> str:
        return self.own.get(key, TOPIC_KEYS[key].default)

    def replace(self, own: Mapping[str, str]) -> None:
        """Replace the values; effective from the next request."""
        self.own = dict(own)
        for name in [name for name, member in vars(type(self)).items() if isinstance(member, cached_property)]:
            self.__dict__.pop(name, None)

    @cached_property
    def _policies(self) -> set[str]:
        return {part.strip() for part in self.value("cleanup.policy").split(",")}

    @cached_property
    def compacted(self) -> bool:
        return "compact" in self._policies

    @cached_property
    def deletes(self) -> bool:
        return "delete" in self._policies

    @cached_property
    def log_append_time(self) -> bool:
        return self.value("message.timestamp.type") == "LogAppendTime"

    @cached_property
    def max_message_bytes(self) -> int:
        return int(self.value("max.message.bytes"))

    @cached_property
    def segment_bytes(self) -> int:
        return int(self.value("segment.bytes"))

    @cached_property
    def segment_ms(self) -> int:
        return int(self.value("segment.ms"))

    @cached_property
    def retention_ms(self) -> int:
        return int(self.value("retention.ms"))

    @cached_property
    def retention_bytes(self) -> int:
        return int(self.value("retention.bytes"))

    @cached_property
    def delete_retention_ms(self) -> int:
        return int(self.value("delete.retention.ms"))

    @cached_property
    def dirty_ratio(self) -> float:
        return float(self.value("min.cleanable.dirty.ratio"))
