"""Definitions of the APIs for consumer groups and their offsets."""

from __future__ import annotations

from modelyard_devkafka.wire.api import api

OFFSET_COMMIT = api(
    8, "OffsetCommit", "2-7",
    """
    group_id string
    generation_id int32 =-1
    member_id string
    group_instance_id string 7+
    retention_time_ms int64 2-4
    topics [
      name string
      partitions [
        index int32
        committed_offset int64
        committed_leader_epoch int32 6+ =-1
        committed_metadata string
      ]
    ]
    """,
    """
    throttle_time_ms int32 3+
    topics [
      name string
      partitions [
        index int32
        error_code int16
      ]
    ]
    """,
)  # fmt: skip

OFFSET_FETCH = api(
    9, "OffsetFetch", "1-7",
    """
    group_id string
    topics [
      name string
      partitions [int32]
    ]
    require_stable bool 7+
    """,
    """
    throttle_time_ms int32 3+
    topics [
      name string
      partitions [
        index int32
        committed_offset int64 =-1
        committed_leader_epoch int32 5+ =-1
        metadata string
        error_code int16
      ]
    ]
    error_code int16 2+
    """,
    flexible_from=6,
)  # fmt: skip

FIND_COORDINATOR = api(
    10, "FindCoordinator", "0-2",
    """
    key string
    key_type int8 1+
    """,
    """
    throttle_time_ms int32 1+
    error_code int16
    error_message string 1+
    node_id int32
    host string
    port int32
    """,
)  # fmt: skip

JOIN_GROUP = api(
    11, "JoinGroup", "0-5",
    """
    group_id string
    session_timeout_ms int32
    rebalance_timeout_ms int32 1+ =-1
    member_id string
    group_instance_id string 5+
    protocol_type string
    protocols [
      name string
      metadata bytes
    ]
    """,
    """
    throttle_time_ms int32 2+
    error_code int16
    generation_id int32 =-1
    protocol_name string
    leader string
    member_id string
    members [
      member_id string
      group_instance_id string 5+
      metadata bytes
    ]
    """,
)  # fmt: skip

HEARTBEAT = api(
    12, "Heartbeat", "0-3",
    """
    group_id string
    generation_id int32
    member_id string
    group_instance_id string 3+
    """,
    """
    throttle_time_ms int32 1+
    error_code int16
    """,
)  # fmt: skip

LEAVE_GROUP = api(
    13, "LeaveGroup", "0-3",
    """
    group_id string
    member_id string 0-2
    members [ 3+
      member_id string
      group_instance_id string
    ]
    """,
    """
    throttle_time_ms int32 1+
    error_code int16
    members [ 3+
      member_id string
      group_instance_id string
      error_code int16
    ]
    """,
)  # fmt: skip

SYNC_GROUP = api(
    14, "SyncGroup", "0-3",
    """
    group_id string
    generation_id int32
    member_id string
    group_instance_id string 3+
    assignments [
      member_id string
      assignment bytes
    ]
    """,
    """
    throttle_time_ms int32 1+
    error_code int16
    assignment bytes
    """,
)  # fmt: skip

DESCRIBE_GROUPS = api(
    15, "DescribeGroups", "0-4",
    """
    groups [string]
    include_authorized_operations bool 3+
    """,
    """
    throttle_time_ms int32 1+
    groups [
      error_code int16
      group_id string
      group_state string
      protocol_type string
      protocol_data string
      members [
        member_id string
        group_instance_id string 4+
        client_id string
        client_host string
        member_metadata bytes
        member_assignment bytes
      ]
      authorized_operations int32 3+ =-2147483648
    ]
    """,
)  # fmt: skip

LIST_GROUPS = api(
    16, "ListGroups", "0-4",
    """
    states_filter [string] 4+
    """,
    """
    throttle_time_ms int32 1+
    error_code int16
    groups [
      group_id string
      protocol_type string
      group_state string 4+
    ]
    """,
    flexible_from=3,
)  # fmt: skip

DELETE_GROUPS = api(
    42, "DeleteGroups", "0-1",
    """
    groups [string]
    """,
    """
    throttle_time_ms int32
    groups [
      group_id string
      error_code int16
    ]
    """,
)  # fmt: skip

OFFSET_DELETE = api(
    47, "OffsetDelete", "0",
    """
    group_id string
    topics [
      name string
      partitions [
        index int32
      ]
    ]
    """,
    """
    error_code int16
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

GROUP_APIS = (
    OFFSET_COMMIT, OFFSET_FETCH, FIND_COORDINATOR, JOIN_GROUP, HEARTBEAT, LEAVE_GROUP, SYNC_GROUP,
    DESCRIBE_GROUPS, LIST_GROUPS, DELETE_GROUPS, OFFSET_DELETE,
)  # fmt: skip
