"""Definitions of the APIs that carry records."""

from __future__ import annotations

from modelyard_devkafka.wire.api import api

PRODUCE = api(
    0, "Produce", "0-8",
    """
    transactional_id string 3+
    acks int16
    timeout_ms int32
    topics [
      name string
      partitions [
        index int32
        records bytes
      ]
    ]
    """,
    """
    topics [
      name string
      partitions [
        index int32
        error_code int16
        base_offset int64
        log_append_time_ms int64 2+ =-1
        log_start_offset int64 5+ =-1
        record_errors [ 8+
          batch_index int32
          message string
        ]
        error_message string 8+
      ]
    ]
    throttle_time_ms int32 1+
    """,
)  # fmt: skip

FETCH = api(
    1, "Fetch", "4-11",
    """
    replica_id int32
    max_wait_ms int32
    min_bytes int32
    max_bytes int32
    isolation_level int8
    session_id int32 7+
    session_epoch int32 7+ =-1
    topics [
      name string
      partitions [
        index int32
        current_leader_epoch int32 9+ =-1
        fetch_offset int64
        log_start_offset int64 5+ =-1
        max_bytes int32
      ]
    ]
    forgotten_topics [ 7+
      name string
      partitions [int32]
    ]
    rack_id string 11+
    """,
    """
    throttle_time_ms int32
    error_code int16 7+
    session_id int32 7+
    topics [
      name string
      partitions [
        index int32
        error_code int16
        high_watermark int64 =-1
        last_stable_offset int64 =-1
        log_start_offset int64 5+ =-1
        aborted_transactions [
          producer_id int64
          first_offset int64
        ]
        preferred_read_replica int32 11+ =-1
        records bytes
      ]
    ]
    """,
)  # fmt: skip

LIST_OFFSETS = api(
    2, "ListOffsets", "1-5",
    """
    replica_id int32
    isolation_level int8 2+
    topics [
      name string
      partitions [
        index int32
        current_leader_epoch int32 4+ =-1
        timestamp int64
      ]
    ]
    """,
    """
    throttle_time_ms int32 2+
    topics [
      name string
      partitions [
        index int32
        error_code int16
        timestamp int64 =-1
        offset int64 =-1
        leader_epoch int32 4+ =-1
      ]
    ]
    """,
)  # fmt: skip

METADATA = api(
    3, "Metadata", "0-5",
    """
    topics [string]
    allow_auto_topic_creation bool 4+
    """,
    """
    throttle_time_ms int32 3+
    brokers [
      node_id int32
      host string
      port int32
      rack string 1+
    ]
    cluster_id string 2+
    controller_id int32 1+
    topics [
      error_code int16
      name string
      is_internal bool 1+
      partitions [
        error_code int16
        index int32
        leader_id int32
        replica_nodes [int32]
        isr_nodes [int32]
        offline_replicas [int32] 5+
      ]
    ]
    """,
)  # fmt: skip

DELETE_RECORDS = api(
    21, "DeleteRecords", "0-1",
    """
    topics [
      name string
      partitions [
        index int32
        offset int64
      ]
    ]
    timeout_ms int32
    """,
    """
    throttle_time_ms int32
    topics [
      name string
      partitions [
        index int32
        low_watermark int64 =-1
        error_code int16
      ]
    ]
    """,
)  # fmt: skip

OFFSET_FOR_LEADER_EPOCH = api(
    23, "OffsetForLeaderEpoch", "2-3",
    """
    replica_id int32 3+
    topics [
      name string
      partitions [
        index int32
        current_leader_epoch int32
        leader_epoch int32
      ]
    ]
    """,
    """
    throttle_time_ms int32
    topics [
      name string
      partitions [
        error_code int16
        index int32
        leader_epoch int32 =-1
        end_offset int64 =-1
      ]
    ]
    """,
)  # fmt: skip

DATA_APIS = (PRODUCE, FETCH, LIST_OFFSETS, METADATA, DELETE_RECORDS, OFFSET_FOR_LEADER_EPOCH)
