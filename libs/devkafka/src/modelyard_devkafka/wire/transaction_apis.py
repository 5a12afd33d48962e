"""Definitions of the APIs for idempotent and transactional producers."""

from __future__ import annotations

from modelyard_devkafka.wire.api import api

INIT_PRODUCER_ID = api(
    22, "InitProducerId", "0-1",
    """
    transactional_id string
    transaction_timeout_ms int32
    """,
    """
    throttle_time_ms int32
    error_code int16
    producer_id int64 =-1
    producer_epoch int16 =-1
    """,
)  # fmt: skip

ADD_PARTITIONS_TO_TXN = api(
    24, "AddPartitionsToTxn", "0-2",
    """
    transactional_id string
    producer_id int64
    producer_epoch int16
    topics [
      name string
      partitions [int32]
    ]
    """,
    """
    throttle_time_ms int32
    topics [
      name string
      partitions [
        index int32
        error_code int16
      ]
    ]
    """,
)  # fmt: skip

ADD_OFFSETS_TO_TXN = api(
    25, "AddOffsetsToTxn", "0-2",
    """
    transactional_id string
    producer_id int64
    producer_epoch int16
    group_id string
    """,
    """
    throttle_time_ms int32
    error_code int16
    """,
)  # fmt: skip

END_TXN = api(
    26, "EndTxn", "0-2",
    """
    transactional_id string
    producer_id int64
    producer_epoch int16
    committed bool
    """,
    """
    throttle_time_ms int32
    error_code int16
    """,
)  # fmt: skip

TXN_OFFSET_COMMIT = api(
    28, "TxnOffsetCommit", "0-3",
    """
    transactional_id string
    group_id string
    producer_id int64
    producer_epoch int16
    generation_id int32 3+ =-1
    member_id string 3+
    group_instance_id string 3+
    topics [
      name string
      partitions [
        index int32
        committed_offset int64
        committed_leader_epoch int32 2+ =-1
        committed_metadata string
      ]
    ]
    """,
    """
    throttle_time_ms int32
    topics [
      name string
      partitions [
        index int32
        error_code int16
      ]
    ]
    """,
    flexible_from=3,
)  # fmt: skip

TRANSACTION_APIS = (INIT_PRODUCER_ID, ADD_PARTITIONS_TO_TXN, ADD_OFFSETS_TO_TXN, END_TXN, TXN_OFFSET_COMMIT)
