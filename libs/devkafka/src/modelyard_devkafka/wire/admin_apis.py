"""Definitions of the APIs for topics, their configuration, and the broker's capabilities."""

from __future__ import annotations

from modelyard_devkafka.wire.api import api

API_VERSIONS = api(
    18, "ApiVersions", "0-3",
    """
    client_software_name string 3+
    client_software_version string 3+
    """,
    """
    error_code int16
    api_keys [
      api_key int16
      min_version int16
      max_version int16
    ]
    throttle_time_ms int32 1+
    """,
    flexible_from=3,
)  # fmt: skip

CREATE_TOPICS = api(
    19, "CreateTopics", "0-4",
    """
    topics [
      name string
      num_partitions int32
      replication_factor int16
      assignments [
        partition_index int32
        broker_ids [int32]
      ]
      configs [
        name string
        value string
      ]
    ]
    timeout_ms int32
    validate_only bool 1+
    """,
    """
    throttle_time_ms int32 2+
    topics [
      name string
      error_code int16
      error_message string 1+
    ]
    """,
)  # fmt: skip

DELETE_TOPICS = api(
    20, "DeleteTopics", "0-3",
    """
    topics [string]
    timeout_ms int32
    """,
    """
    throttle_time_ms int32 1+
    topics [
      name string
      error_code int16
    ]
    """,
)  # fmt: skip

DESCRIBE_CONFIGS = api(
    32, "DescribeConfigs", "0-3",
    """
    resources [
      resource_type int8
      resource_name string
      configuration_keys [string]
    ]
    include_synonyms bool 1+
    include_documentation bool 3+
    """,
    """
    throttle_time_ms int32
    resources [
      error_code int16
      error_message string
      resource_type int8
      resource_name string
      configs [
        name string
        value string
        read_only bool
        is_default bool 0-0
        config_source int8 1+ =-1
        is_sensitive bool
        synonyms [ 1+
          name string
          value string
          source int8
        ]
        config_type int8 3+
        documentation string 3+
      ]
    ]
    """,
)  # fmt: skip

_ALTERED = """
    throttle_time_ms int32
    resources [
      error_code int16
      error_message string
      resource_type int8
      resource_name string
    ]
"""

ALTER_CONFIGS = api(
    33, "AlterConfigs", "0-1",
    """
    resources [
      resource_type int8
      resource_name string
      configs [
        name string
        value string
      ]
    ]
    validate_only bool
    """,
    _ALTERED,
)  # fmt: skip

INCREMENTAL_ALTER_CONFIGS = api(
    44, "IncrementalAlterConfigs", "0",
    """
    resources [
      resource_type int8
      resource_name string
      configs [
        name string
        config_operation int8
        value string
      ]
    ]
    validate_only bool
    """,
    _ALTERED,
)  # fmt: skip

CREATE_PARTITIONS = api(
    37, "CreatePartitions", "0-1",
    """
    topics [
      name string
      count int32
      assignments [
        broker_ids [int32]
      ]
    ]
    timeout_ms int32
    validate_only bool
    """,
    """
    throttle_time_ms int32
    topics [
      name string
      error_code int16
      error_message string
    ]
    """,
)  # fmt: skip

ADMIN_APIS = (
    API_VERSIONS, CREATE_TOPICS, DELETE_TOPICS, DESCRIBE_CONFIGS, ALTER_CONFIGS, INCREMENTAL_ALTER_CONFIGS,
    CREATE_PARTITIONS,
)  # fmt: skip
