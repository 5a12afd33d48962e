"""Tuning of a consumer: sizes of batches, time-outs, pauses."""

from dataclasses import dataclass
from typing import Any, Final

from modelyard_runtime.brokers import Bootstrap, client_settings

NEVER_MS: Final = 2**31 - 1


@dataclass(frozen=True, kw_only=True)
class ConsumerOptions:
    """Defaults suit events that are handled in milliseconds; a batch is handed on at the first limit it reaches."""

    max_batch_records: int = 500
    max_batch_bytes: int = 8 * 1_048_576
    max_wait_ms: int = 200
    """How long a batch waits to fill after its first record; 0 hands on what was fetched."""
    max_partition_fetch_bytes: int = 1_048_576
    max_poll_interval_ms: int = 30_000
    """How long a rebalance waits for a batch in hand; then it is cancelled, and the next owner handles it again."""
    session_timeout_ms: int = 10_000
    retry_min_s: float = 0.2
    retry_max_s: float = 10.0
    read_committed: bool = True
    auto_offset_reset: str = "earliest"

    def consumer_settings(self, bootstrap: Bootstrap, group: str) -> dict[str, Any]:
        """Arguments of AIOKafkaConsumer."""
        return {
            **client_settings(bootstrap),
            "group_id": group,
            "enable_auto_commit": False,
            "auto_offset_reset": self.auto_offset_reset,
            "isolation_level": "read_committed" if self.read_committed else "read_uncommitted",
            "session_timeout_ms": self.session_timeout_ms,
            "heartbeat_interval_ms": max(100, self.session_timeout_ms // 3),
            # A slow handler keeps its partition: heartbeats show that the process lives, the pump that it works.
            "max_poll_interval_ms": NEVER_MS,
            "rebalance_timeout_ms": self.max_poll_interval_ms + 15_000,
            "max_partition_fetch_bytes": self.max_partition_fetch_bytes,
            "metadata_max_age_ms": 30_000,
            "request_timeout_ms": 40_000,
            "retry_backoff_ms": 100,
        }
